"""Every fault and its undo, as the wire shows them."""

from __future__ import annotations

import subprocess
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.lab import registry
from lbproof.lab.base import LabError, Topology
from lbproof.lab.netns import leftovers
from lbproof.lab.netns.lab import NetnsLab
from lbproof.witnesses import http, neighbour
from lbproof.witnesses.kube import ApiUnreachable, Kube
from lbproof.witnesses.wait import consistently, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lbproof.witnesses.vantage import Vantage

NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/default/pods"


def hears(vantage: Vantage, lab: NetnsLab, node: str) -> bool:
    """Whether a node's kernel answers for its address."""
    return bool(neighbour.ask(vantage, lab.node(node).address, wait=0.05))


def node_ready(kube: Kube, node: str) -> str:
    """What the cluster says of a node: `True`, `False` or `Unknown`."""
    rows = kube.get(f"{NODES}/{node}")["status"]["conditions"]
    return str(next(row["status"] for row in rows if row["type"] == "Ready"))


def rules(lab: NetnsLab) -> list[str]:
    """The tables of the segment's own packet filter, where faults are kept."""
    argv = ["nsenter", f"--net=/proc/{leftovers.init_of(registry.find(lab.name))}/ns/net", "nft", "list", "tables"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]


def test_a_power_cut_is_at_once_and_the_node_boots_again(
    lab: NetnsLab, kube: Kube, serving: Callable[..., Any], pod_when: Callable[..., dict[str, Any]]
) -> None:
    """Link and processes go within the call; after the undo the node is new, and its pods have their addresses."""
    before = serving("cut", node="w02")
    lab.run("w02", ["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"])
    asked = time.monotonic()
    fault = lab.node_crash("w02")
    silent = not hears(lab.client(), lab, "w02")
    fault.undo()
    fault.undo()
    after = pod_when("cut", lambda seen: ready(seen) and restarts(seen) == 1)

    assert asked <= fault.earliest < fault.began < asked + 0.05
    assert silent
    assert after["status"]["podIP"] == before["status"]["podIP"]
    assert http.get(lab.client(), lab.node("w02").address, 10256, "/healthz").status == 200
    assert "10.9.9.9" not in lab.run("w02", ["ip", "addr", "show", "lo"])
    assert node_ready(kube, "w02") == "True"


def test_a_node_without_power_is_given_up_and_taken_back(
    lab: NetnsLab, kube: Kube, serving: Callable[..., Any]
) -> None:
    """The node controller sees it within the grace; what was deleted meanwhile is gone when it is back."""
    serving("given-up", node="w02")
    fault = lab.node_crash("w02")
    eventually(lambda: node_ready(kube, "w02"), lambda seen: seen == "Unknown", what="w02 is given up", within=20)
    kube.delete(f"{PODS}/given-up", gracePeriodSeconds=1)
    fault.undo()
    listed = eventually(
        lambda: [pod["metadata"]["name"] for pod in kube.list(PODS)],
        lambda names: "given-up" not in names,
        what="the pod goes",
        within=10,
    )

    taint = eventually(lambda: taints(kube, "w02"), lambda seen: not seen, what="w02 has no taint", within=5)

    assert node_ready(kube, "w02") == "True"
    assert "given-up" not in listed.value
    assert taint.value == []


def test_a_pulled_cable_takes_the_carrier_and_the_lease(lab: NetnsLab, kube: Kube, serving: Callable[..., Any]) -> None:
    """The node notices, its pods run on, the cluster gives it up; plugged in, all is as before."""
    pod = serving("cable", node="w02")
    fault = lab.link_down("w02")
    assert fault.earliest < fault.began
    carrier = lab.run("w02", ["cat", "/sys/class/net/eth0/operstate"])
    link = lab.run("w02", ["ip", "-br", "link", "show", "eth0"])
    alive = http.get(lab.node("w02"), ip_address(pod["status"]["podIP"]), 8080, "/hostname").status
    eventually(lambda: node_ready(kube, "w02"), lambda seen: seen == "Unknown", what="w02 is given up", within=20)
    fault.undo()
    eventually(lambda: node_ready(kube, "w02"), lambda seen: seen == "True", what="w02 is back", within=10)

    assert "NO-CARRIER" in link, carrier
    assert alive == 200
    assert restarts(kube.get(f"{PODS}/cable")) == 0


def test_pods_of_a_node_that_was_not_heard_are_ready_again(
    lab: NetnsLab, serving: Callable[..., Any], pod_when: Callable[..., dict[str, Any]]
) -> None:
    """The node controller sets their Ready=False when it gives the node up; a DaemonSet waits for them to be Ready."""
    serving("unheard", node="w02")
    fault = lab.link_down("w02")
    pod_when("unheard", lambda seen: not ready(seen), within=30)
    fault.undo()
    seen = pod_when("unheard", ready, within=15)

    assert restarts(seen) == 0


def test_a_silent_cut_leaves_the_carrier(lab: NetnsLab, kube: Kube, serving: Callable[..., Any]) -> None:
    """Nothing reaches the node nor leaves it, and it cannot notice; mended, it is heard again and its pods ran on."""
    pod = serving("silent", node="w02")
    fault = lab.blackhole("w02")
    assert fault.earliest < fault.began
    link = lab.run("w02", ["ip", "-br", "link", "show", "eth0"])
    reached = [hears(lab.client(), lab, "w02"), hears(lab.node("w02"), lab, "w01")]
    others = hears(lab.client(), lab, "w01")
    alive = http.get(lab.node("w02"), ip_address(pod["status"]["podIP"]), 8080, "/hostname").status
    fault.undo()
    fault.undo()

    assert "LOWER_UP" in link
    assert reached == [False, False]
    assert others
    assert alive == 200
    assert hears(lab.client(), lab, "w02")
    assert rules(lab) == []
    assert restarts(kube.get(f"{PODS}/silent")) == 0
    with pytest.raises(LabError, match="no node w09 in this lab"):
        lab.blackhole("w09")


def test_a_partition_is_between_two_nodes_alone(lab: NetnsLab) -> None:
    """Neither hears the other, both hear the rest, and the undo leaves no rule."""
    fault = lab.partition("w01", "w02")
    assert fault.earliest < fault.began
    deaf = [hears(lab.node(one), lab, other) for one, other in (("w01", "w02"), ("w02", "w01"))]
    others = [hears(lab.node(node), lab, "m01") and hears(lab.client(), lab, node) for node in ("w01", "w02")]
    fault.undo()

    assert deaf == [False, False]
    assert others == [True, True]
    assert hears(lab.node("w01"), lab, "w02")
    assert rules(lab) == []
    with pytest.raises(LabError, match="not w01 twice"):
        lab.partition("w01", "w01")


def test_a_frozen_node_s_kernel_goes_on(lab: NetnsLab, serving: Callable[..., Any]) -> None:
    """Its address answers ARP, its programs answer nobody; thawed, they go on where they stood."""
    pod = serving("frozen", node="w02")
    fault = lab.freeze("w02")
    assert fault.earliest < fault.began
    kernel = hears(lab.client(), lab, "w02")
    with pytest.raises(http.Unreached) as stopped:
        http.get(lab.node("w01"), ip_address(pod["status"]["podIP"]), 8080, "/hostname", timeout=0.3)
    fault.undo()
    answer = http.get(lab.node("w01"), ip_address(pod["status"]["podIP"]), 8080, "/hostname")

    assert kernel
    assert stopped.value.kind == "silent"
    assert answer.status == 200


def test_a_frozen_pod_leaves_its_node_alone(lab: NetnsLab, kube: Kube, serving: Callable[..., Any]) -> None:
    """Its processes answer nobody while a neighbour's do; thawed, the same processes go on where they stood."""
    frozen, neighbour = (ip_address(serving(name, node="w02")["status"]["podIP"]) for name in ("stands", "runs"))
    fault = lab.freeze_pod("default", "stands")
    assert fault.earliest < fault.began
    with pytest.raises(http.Unreached) as stopped:
        http.get(lab.node("w01"), frozen, 8080, "/hostname", timeout=0.3)
    other = http.get(lab.node("w01"), neighbour, 8080, "/hostname").text
    fault.undo()
    answer = http.get(lab.node("w01"), frozen, 8080, "/hostname")

    assert (fault.kind, fault.target) == ("freeze-pod", "stands on w02")
    assert stopped.value.kind == "silent"
    assert other == "runs"
    assert answer.text == "stands"
    assert restarts(kube.get(f"{PODS}/stands")) == 0
    with pytest.raises(LabError, match="nobody"):
        lab.freeze_pod("default", "nobody")


def test_a_frozen_pod_can_be_killed(
    lab: NetnsLab, serving: Callable[..., Any], pod_when: Callable[..., dict[str, Any]]
) -> None:
    """It is started again as any other is, and the undo has nothing left to wake."""
    serving("stood")
    fault = lab.freeze_pod("default", "stood")
    assert fault.earliest < fault.began
    lab.kill("default", "stood")
    after = pod_when("stood", lambda seen: ready(seen) and restarts(seen) == 1, within=10)
    fault.undo()

    assert http.get(lab.node("w02"), ip_address(after["status"]["podIP"]), 8080, "/hostname").status == 200


def test_a_killed_pod_is_started_again_by_its_node(
    lab: NetnsLab, serving: Callable[..., Any], pod_when: Callable[..., dict[str, Any]]
) -> None:
    """Same pod, same address, one restart more."""
    before = serving("killed")
    fault = lab.kill("default", "killed")
    assert fault.earliest < fault.began
    after = pod_when("killed", lambda seen: ready(seen) and restarts(seen) == 1, within=10)
    fault.undo()

    assert fault.target == "killed on w01"
    assert after["status"]["podIP"] == before["status"]["podIP"]
    assert after["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137


def test_the_api_server_stops_and_starts(lab: NetnsLab, kube: Kube, serving: Callable[..., Any]) -> None:
    """Nobody answers for it, nodes see to their pods alone, and it has forgotten nothing."""
    pod = serving("outlives")
    fault = lab.stop_api()
    assert fault.earliest < fault.began
    with pytest.raises(ApiUnreachable):
        kube.get(NODES)
    lab.kill("default", "outlives")
    alive = eventually(
        lambda: http.get(lab.node("w02"), ip_address(pod["status"]["podIP"]), 8080, "/hostname").status,
        lambda seen: seen == 200,
        what="its node starts it again",
        within=5,
        ignore=(http.Unreached,),
    ).value
    with pytest.raises(LabError, match="stopped already"):
        lab.stop_api()
    fault.undo()

    assert alive == 200
    assert kube.get(f"{PODS}/outlives")["metadata"]["uid"] == pod["metadata"]["uid"]


def test_a_share_of_packets_is_lost(lab: NetnsLab) -> None:
    """About as many as asked, towards that node alone, and none any more after the undo."""
    fault = lab.drop("w02", 0.5)
    assert fault.earliest < fault.began
    some = sum(hears(lab.client(), lab, "w02") for _ in range(60))
    other = consistently(lambda: hears(lab.client(), lab, "w01"), bool, what="w01 hears all", during=0.5)
    fault.undo()

    assert 12 <= some <= 48
    assert other.value
    assert all(hears(lab.client(), lab, "w02") for _ in range(10))
    assert rules(lab) == []
    with pytest.raises(LabError, match="from 0 to 1"):
        lab.drop("w02", 1.5)


def test_the_control_plane_comes_back_from_a_power_cut(programs: Mapping[str, Path]) -> None:
    """The cluster runs on without it, and its data is there when it is back.

    In a lab of its own: real kube-proxies take half a minute to notice that their connections are dead.
    """
    lab = NetnsLab.up(registry.free_name("cut"), Topology(workers=1), programs=programs)
    kube = Kube(lab.kubeconfig)
    kube.create("/api/v1/namespaces", {"metadata": {"name": "kept"}})
    fault = lab.node_crash("m01")
    alive = http.get(lab.client(), lab.node("w01").address, 10256, "/healthz").status
    silent = not hears(lab.client(), lab, "m01")
    fault.undo()
    kept = eventually(
        lambda: kube.get("/api/v1/namespaces/kept"), bool, what="the API", within=10, ignore=(ApiUnreachable,)
    ).value
    ready = node_ready(kube, "m01")
    kube.close()
    lab.down()

    assert alive == 200
    assert silent
    assert kept["metadata"]["name"] == "kept"
    assert ready == "True"


def test_what_is_not_there_cannot_be_hurt(lab: NetnsLab) -> None:
    """An unknown node and a node without power are named in one line."""
    with pytest.raises(LabError, match="no node w09 in this lab; it has m01, w01, w02"):
        lab.freeze("w09")
    fault = lab.node_crash("w02")
    with pytest.raises(LabError, match="node w02 has crashed"):
        lab.link_down("w02")
    fault.undo()


def ready(seen: dict[str, Any]) -> bool:
    """Whether a pod is Ready."""
    return any(row["type"] == "Ready" and row["status"] == "True" for row in seen["status"].get("conditions", []))


def restarts(seen: dict[str, Any]) -> int:
    """How often a pod's container was started again."""
    return int(seen["status"]["containerStatuses"][0]["restartCount"])


def taints(kube: Kube, node: str) -> list[dict[str, Any]]:
    """A node's taints."""
    return list(kube.get(f"{NODES}/{node}")["spec"].get("taints", []))
