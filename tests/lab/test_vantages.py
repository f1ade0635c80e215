"""The places of a lab: what is made there stays there, and reaches what it would reach on a real network."""

from __future__ import annotations

import subprocess
import threading
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.lab.base import Capability, LabError
from lbproof.lab.common.netns import entered
from lbproof.witnesses import http, neighbour, neighbours
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.lab.netns.lab import NetnsLab
    from lbproof.witnesses.kube import Kube

SERVICES = "/api/v1/namespaces/default/services"


@pytest.fixture
def node_port(kube: Kube, serving: Callable[..., Any]) -> int:
    """The node port of a Service with one pod behind it."""
    serving("np")
    service = kube.create(
        SERVICES,
        {
            "metadata": {"name": "np"},
            "spec": {"type": "NodePort", "selector": {"app": "np"}, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    )
    return int(service["spec"]["ports"][0]["nodePort"])


def test_every_tier_answers_where_it_should(lab: NetnsLab, kube: Kube, node_port: int) -> None:
    """A node port answers the client, the far client and the nodes at every node; the cluster address not outside."""
    places = (lab.client(), lab.routed_client(), lab.node("w02"))
    answers = {
        (place.name, node.name): eventually(
            lambda place=place, node=node: http.get(place, node.address, node_port, "/hostname"),  # type: ignore[misc]
            lambda answer: answer.status == 200,
            what="node port",
            within=10,
            ignore=(http.Unreached,),
        ).value.body
        for place in places
        for node in lab.nodes
    }
    cluster = ip_address(kube.get(f"{SERVICES}/np")["spec"]["clusterIP"])
    kube.delete(f"{SERVICES}/np")

    assert set(answers.values()) == {b"np"}
    assert len(answers) == 9
    assert http.connects(lab.client(), cluster, 80, timeout=0.3) != "open"


def test_the_router_is_a_vantage(lab: NetnsLab) -> None:
    """It asks for the address of a node when the far client does, and has no entry once that was removed."""
    router, node = lab.router(), lab.nodes[1]
    http.connects(lab.routed_client(), node.address, 1)
    known = neighbours.entry(router, node.address)
    neighbours.forget(router, node.address)

    assert known
    assert known.mac == node.mac
    assert neighbours.entry(router, node.address) is None
    assert [reply.mac for reply in neighbour.ask(lab.client(), router.address)] == [router.mac]


def test_a_thread_inside_does_not_move_the_others(lab: NetnsLab) -> None:
    """The namespace is the thread's, and it is given back."""
    outside = Path("/proc/thread-self/ns/net").readlink()
    seen: list[Path] = []
    moved = threading.Event()

    def look() -> None:
        moved.wait(5)
        seen.append(Path("/proc/thread-self/ns/net").readlink())

    other = threading.Thread(target=look)
    other.start()
    with entered(lab.client().netns):
        inside = Path("/proc/thread-self/ns/net").readlink()
        moved.set()
        other.join()

    assert seen == [outside]
    assert inside != outside
    assert Path("/proc/thread-self/ns/net").readlink() == outside


def test_a_program_started_at_a_vantage_is_the_lab_s(lab: NetnsLab) -> None:
    """It runs in the vantage's network, is process of the lab, and ends when it is told to."""
    vantage = lab.node("w01")
    with vantage.popen(["ip", "-4", "-o", "addr", "show", "eth0"], stdout=subprocess.PIPE) as process:
        shown = process.communicate()[0].decode()
    with vantage.popen(["sleep", "60"]) as sleeper:
        pidns = Path(f"/proc/{sleeper.pid}/ns/pid").readlink()
        sleeper.terminate()
        code = sleeper.wait(5)

    assert str(vantage.address) in shown
    assert pidns == Path(vantage.pidns).readlink()
    assert code == -15


def test_a_pod_is_a_vantage(lab: NetnsLab, serving: Callable[..., Any]) -> None:
    """A pod reaches another pod on another node and is asked from its own address."""
    here, there = serving("here"), serving("there", node="w02")
    vantage = lab.pod("default", "here")
    answer = http.get(vantage, ip_address(there["status"]["podIP"]), 8080, "/clientip")

    assert str(vantage.address) == here["status"]["podIP"]
    assert answer.body.decode().startswith(str(vantage.address))
    with pytest.raises(LabError, match="no pod default/nowhere runs"):
        lab.pod("default", "nowhere")


def test_a_node_that_is_back_is_asked_anew(lab: NetnsLab) -> None:
    """The probe of the crashed node is in a place that is gone, and is replaced."""
    before = lab.node("w02").probe()
    lab.node_crash("w02").undo()
    after = lab.node("w02").probe()

    assert (before.alive, after.alive) == (False, True)
    assert http.connects(lab.node("w02"), lab.node("w01").address, 9) == "refused"


def test_a_place_is_entered_by_a_command_line(lab: NetnsLab) -> None:
    """`exec_argv` gives what a person would type; an unknown place is answered with those that there are."""
    argv = lab.exec_argv("far", ["ip", "-4", "-o", "addr", "show", "eth0"])
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert str(lab.routed_client().address) in shown
    assert "MASQUERADE" in lab.run("w01", ["iptables", "-t", "nat", "-S", "POSTROUTING"])
    with pytest.raises(LabError, match="client, far, m01, w01, w02, and NAMESPACE/POD"):
        lab.exec_argv("w09", ["true"])
    with pytest.raises(LabError, match="`false` on `w01` failed"):
        lab.run("w01", ["false"])


def test_the_lab_says_what_it_is(lab: NetnsLab) -> None:
    """A report names the environment; it lacks what a topology must ask for, and a wall clock for each node."""
    described = lab.describe()

    assert described["kubernetes"].startswith("v1.")
    assert described["kube-proxy"] == "iptables"
    assert {capability for capability in Capability if not lab.can(capability)} == {
        Capability.AUDIT_LOG,
        Capability.SECOND_SEGMENT,
        Capability.OTHER_SUBNET,
        Capability.CLOCK_BEHIND,
    }
