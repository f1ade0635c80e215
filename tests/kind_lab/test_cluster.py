"""Vantages and faults of a cluster of containers, as the wire shows them: what the netns lab can, this one can."""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.context.manifests import AGNHOST
from lbproof.lab.base import LabError, Role
from lbproof.lab.kind.lab import KindLab
from lbproof.spec.families import Family
from lbproof.witnesses import http, neighbour
from lbproof.witnesses.kube import ApiUnreachable
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lbproof.witnesses.vantage import Vantage

PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"


@pytest.fixture
def serving(lab: KindLab) -> Iterator[dict[str, Any]]:
    """A Ready pod on the worker that serves HTTP on port 8080."""
    container = {
        "name": "web",
        "image": AGNHOST,
        "args": ["netexec", "--http-port=8080"],
        "readinessProbe": {"httpGet": {"path": "/hostname", "port": 8080}, "periodSeconds": 1},
    }
    spec = {"nodeName": lab.nodes[1].name, "terminationGracePeriodSeconds": 1, "containers": [container]}
    # the controller manager makes a namespace's account a moment after the namespace
    made = eventually(
        lambda: lab.cluster.request(
            "POST", PODS, {"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": spec}
        )[0],
        lambda status: status == 201,
        what="the pod is taken",
        within=20,
    )
    assert made.value == 201
    yield when_ready(lab)
    lab.cluster.request("DELETE", f"{PODS}/web?gracePeriodSeconds=0")
    eventually(lambda: lab.cluster.list(PODS), lambda pods: not pods, what="the pod is gone", within=20)


def when_ready(lab: KindLab, restarts: int = 0) -> dict[str, Any]:
    """The pod, once it is Ready and has been started again so often."""

    def good(seen: dict[str, Any]) -> bool:
        ready = any(row["type"] == "Ready" and row["status"] == "True" for row in seen["status"].get("conditions", []))
        return ready and seen["status"]["containerStatuses"][0]["restartCount"] >= restarts

    return eventually(
        lambda: lab.cluster.get(f"{PODS}/web"),
        good,
        what="the pod is Ready",
        within=60,
        show=lambda seen: seen["status"]["phase"],
    ).value


def hears(vantage: Vantage, lab: KindLab, node: str) -> bool:
    """Whether a node's kernel answers for its address."""
    return bool(neighbour.ask(vantage, next(n.address for n in lab.nodes if n.name == node), wait=0.1))


def test_every_vantage_reaches_a_pod_by_its_own_way(lab: KindLab, serving: dict[str, Any]) -> None:
    """The client, the far client through the router, the nodes and the pod itself; the frames show their MACs."""
    worker = lab.nodes[1]
    kubelet = [
        http.connects(place, worker.address, 10250)
        for place in (lab.client(), lab.routed_client(), lab.node(worker.name))
    ]
    pod = lab.pod("default", "web")
    answer = http.get(lab.node(lab.nodes[0].name), pod.address, 8080, "/clientip")

    assert [node.role for node in lab.nodes] == [Role.CONTROL_PLANE, Role.WORKER, Role.WORKER]
    assert kubelet == ["open", "open", "open"]
    assert str(pod.address) == serving["status"]["podIP"]
    assert answer.status == 200
    assert {reply.mac for reply in neighbour.ask(lab.client(), worker.address)} == {worker.mac}
    with pytest.raises(KeyError):
        lab.node("w09")
    with pytest.raises(LabError, match="no place 'w09' in lab"):
        lab.exec_argv("w09", ["true"])
    with pytest.raises(LabError, match="no pod default/none runs in this lab"):
        lab.pod("default", "none")


@pytest.mark.parametrize("family", Family)
def test_a_node_port_of_each_family_serves_the_clients(
    lab: KindLab,
    serving: dict[str, Any],  # noqa: ARG001 - it serves
    family: Family,
) -> None:
    """The one on the segment and the one behind the router; each node answers for its own address by ARP or NDP."""
    ports = [{"port": 80, "targetPort": 8080}]
    spec = {"type": "NodePort", "selector": {"app": "web"}, "ports": ports, "ipFamilies": [family.label]}
    port = lab.cluster.create(SERVICES, {"metadata": {"name": "np"}, "spec": spec})["spec"]["ports"][0]["nodePort"]
    answers = {
        eventually(
            lambda place=place, node=node: http.get(place, node.address_for(family), port, "/hostname"),  # type: ignore[misc]
            lambda answer: answer.status == http.OK,
            what=f"{place.name} is served at {node.name}",
            within=20,
            ignore=(http.Unreached,),
        ).value.text
        for place in (lab.client(), lab.routed_client())
        for node in lab.nodes
    }
    lab.cluster.delete(f"{SERVICES}/np")
    found = neighbour.sweep(lab.client(), [node.address_for(family) for node in lab.nodes])

    assert answers == {"web"}
    assert found == {node.address_for(family): {node.mac} for node in lab.nodes}


def test_another_process_finds_the_lab_by_its_name(lab: KindLab) -> None:
    """`lab exec` and `run --lab` attach to it."""
    found = KindLab.attach(lab.name)

    assert found.nodes == lab.nodes
    assert found.segment == lab.segment
    assert found.run(lab.nodes[1].name, ["hostname"]).strip() == lab.nodes[1].name


def test_a_power_cut_is_at_once_and_the_node_boots_again(lab: KindLab, serving: dict[str, Any]) -> None:
    """The link is dead when the call returns; after the undo the node has its address and runs its pods again."""
    worker = lab.nodes[1]
    fault = lab.node_crash(worker.name)
    silent = not hears(lab.client(), lab, worker.name)
    with pytest.raises(LabError, match="has crashed"):
        lab.freeze(worker.name)
    fault.undo()
    fault.undo()
    when_ready(lab, restarts=1)

    assert serving["spec"]["nodeName"] == worker.name
    assert silent
    assert lab.nodes[1].address == worker.address
    assert hears(lab.client(), lab, worker.name)
    assert http.connects(lab.routed_client(), worker.address, 10250) == "open"


def test_nodes_that_were_dead_together_keep_their_addresses(lab: KindLab) -> None:
    """Also when the one that died last returns first: the engine would give it the lower address of the other."""
    before = lab.nodes
    faults = [lab.node_crash(worker.name) for worker in before[1:]]
    for fault in reversed(faults):
        fault.undo()

    assert [node.addresses for node in lab.nodes] == [node.addresses for node in before]
    assert all(hears(lab.client(), lab, node.name) for node in before)


def test_a_pulled_cable_takes_the_carrier(lab: KindLab) -> None:
    """The node notices; plugged in, it is heard again."""
    worker = lab.nodes[1].name
    fault = lab.link_down(worker)
    link = lab.run(worker, ["ip", "-br", "link", "show", "eth0"])
    silent = not hears(lab.client(), lab, worker)
    fault.undo()
    heard = eventually(lambda: hears(lab.client(), lab, worker), bool, what="the worker is heard", within=5)

    assert "DOWN" in link
    assert silent
    assert heard.value


def test_a_silent_cut_leaves_the_carrier(lab: KindLab) -> None:
    """Nothing reaches the node, and it cannot notice; mended, it is heard again."""
    worker = lab.nodes[1].name
    fault = lab.blackhole(worker)
    link = lab.run(worker, ["ip", "-br", "link", "show", "eth0"])
    silent = not hears(lab.client(), lab, worker)
    fault.undo()

    assert "LOWER_UP" in link
    assert silent
    assert hears(lab.client(), lab, worker)


def test_a_partition_is_between_two_nodes_alone(lab: KindLab) -> None:
    """Neither hears the other, the client hears both."""
    control, worker, _ = (node.name for node in lab.nodes)
    fault = lab.partition(control, worker)
    deaf = [hears(lab.node(one), lab, other) for one, other in ((control, worker), (worker, control))]
    others = [hears(lab.client(), lab, node) for node in (control, worker)]
    fault.undo()

    assert deaf == [False, False]
    assert others == [True, True]
    assert hears(lab.node(control), lab, worker)
    with pytest.raises(LabError, match=f"not {worker} twice"):
        lab.partition(worker, worker)


def test_a_share_of_packets_is_lost(lab: KindLab) -> None:
    """About as many as asked, towards that node alone, and none any more after the undo."""
    control, worker, _ = (node.name for node in lab.nodes)
    fault = lab.drop(worker, 0.5)
    some = sum(hears(lab.client(), lab, worker) for _ in range(40))
    other = all(hears(lab.client(), lab, control) for _ in range(10))
    fault.undo()

    assert 6 <= some <= 34
    assert other
    assert all(hears(lab.client(), lab, worker) for _ in range(10))
    with pytest.raises(LabError, match="from 0 to 1"):
        lab.drop(worker, 1.5)


def test_a_frozen_nodes_kernel_goes_on(lab: KindLab, serving: dict[str, Any]) -> None:
    """Its address answers ARP, its programs answer nobody; thawed, they go on where they stood."""
    control, worker, _ = (node.name for node in lab.nodes)
    address = ip_address(serving["status"]["podIP"])
    fault = lab.freeze(worker)
    kernel = hears(lab.client(), lab, worker)
    with pytest.raises(http.Unreached) as stopped:
        http.get(lab.node(control), address, 8080, "/hostname", timeout=0.5)
    fault.undo()
    answer = http.get(lab.node(control), address, 8080, "/hostname")

    assert kernel
    assert stopped.value.kind == "silent"
    assert answer.status == 200


def test_a_frozen_pod_leaves_its_node_alone(lab: KindLab, serving: dict[str, Any]) -> None:
    """Its processes answer nobody; thawed, the same processes go on where they stood."""
    control, worker, _ = (node.name for node in lab.nodes)
    address = ip_address(serving["status"]["podIP"])
    fault = lab.freeze_pod("default", "web")
    with pytest.raises(http.Unreached) as stopped:
        http.get(lab.node(control), address, 8080, "/hostname", timeout=0.5)
    fault.undo()
    answer = http.get(lab.node(control), address, 8080, "/hostname")

    assert fault.target == f"web on {worker}"
    assert stopped.value.kind == "silent"
    assert answer.status == 200


def test_a_killed_pod_is_started_again_by_its_node(lab: KindLab, serving: dict[str, Any]) -> None:
    """Same pod, same address, one restart more."""
    before = serving["status"]["containerStatuses"][0]["restartCount"]
    fault = lab.kill("default", "web")
    after = when_ready(lab, restarts=before + 1)
    fault.undo()

    assert fault.target == f"web on {lab.nodes[1].name}"
    assert after["status"]["podIP"] == serving["status"]["podIP"]


def test_the_api_server_stops_and_starts(lab: KindLab) -> None:
    """Nobody answers for it, it stays away, and it has forgotten nothing."""
    before = lab.cluster.get("/api/v1/namespaces/default")["metadata"]["uid"]
    fault = lab.stop_api()
    asked = time.monotonic()
    with pytest.raises(ApiUnreachable):
        lab.cluster.get("/version")
    with pytest.raises(LabError, match="stopped already"):
        lab.stop_api()
    fault.undo()

    assert fault.began <= asked
    assert lab.cluster.get("/api/v1/namespaces/default")["metadata"]["uid"] == before


def test_logs_of_every_node_are_exported(lab: KindLab, tmp_path: Path) -> None:
    """Kind's own, each node's journal and its containers', bounded."""
    lab.export_logs(tmp_path / "logs")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "logs").iterdir()}

    assert "kind.log" in sizes
    assert all(sizes[f"{node.name}.journal.log"] for node in lab.nodes)
    assert any("kube-apiserver" in name for name in sizes)
    assert max(size for name, size in sizes.items() if "journal" not in name) <= 256 * 1024


def test_the_report_says_what_the_cluster_is_made_of(lab: KindLab) -> None:
    """Which kind, which image, which Docker."""
    facts = lab.describe()

    assert facts["provider"] == "kind"
    assert facts["address families"] == "IPv4 and IPv6"
    assert "by kind v" in facts["nodes"]
    assert facts["docker"]
