"""A pod that is reached by `kubectl exec` alone is a vantage like any other."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.lab.common.exec_vantage import ExecVantage
from lbproof.lab.common.probes import Probes
from lbproof.lab.components import ensure
from lbproof.witnesses import http, neighbour
from lbproof.witnesses.capture import Capture
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.kind.lab import KindLab

PODS = "/api/v1/namespaces/default/pods"
HEALTH = 10256
"""Port of kube-proxy's health server, on every address of a node."""


@pytest.fixture
def agent(lab: KindLab, reference_image: str) -> Iterator[ExecVantage]:
    """An ordinary pod on the worker, with the image of another program: it has Python and nothing of the suite's."""
    lab.bring_images([reference_image], list, print)
    container = {
        "name": "agent",
        "image": reference_image,
        "command": ["python3", "-c", "import signal; signal.pause()"],
        "securityContext": {"runAsUser": 0, "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}},
    }
    spec = {"nodeName": lab.nodes[1].name, "terminationGracePeriodSeconds": 0, "containers": [container]}
    eventually(
        lambda: lab.cluster.request("POST", PODS, {"metadata": {"name": "agent"}, "spec": spec})[0],
        lambda status: status == 201,
        what="the pod is taken",
        within=20,
    )
    pod: dict[str, Any] = eventually(
        lambda: lab.cluster.get(f"{PODS}/agent"),
        lambda seen: "running" in seen["status"].get("containerStatuses", [{"state": {}}])[0]["state"],
        what="the pod runs",
        within=60,
        show=lambda seen: seen["status"]["phase"],
    ).value
    probes = Probes()
    kubectl = ensure(["kubectl"], progress=print)["kubectl"]
    yield ExecVantage.of_pod(pod, [str(kubectl), f"--kubeconfig={lab.kubeconfig}"], probes)
    probes.close()
    lab.cluster.request("DELETE", f"{PODS}/agent?gracePeriodSeconds=0")
    eventually(lambda: lab.cluster.list(PODS), lambda pods: not pods, what="the pod is gone", within=20)


def test_a_pod_reached_by_exec_alone_is_a_vantage(lab: KindLab, agent: ExecVantage) -> None:
    """HTTP, frames on its own interface, who answers for an address, and the offset of its clock."""
    worker = lab.nodes[1]
    gateway = ip_network(lab.cluster.get(f"/api/v1/nodes/{worker.name}")["spec"]["podCIDR"])[1]
    with Capture(agent) as capture:
        answer = http.get(agent, worker.address, HEALTH, "/healthz")
        closed = http.connects(agent, worker.address, 9)
    towards = [frame for _, frame in capture.frames() if frame[30:34] == worker.address.packed]
    replies = neighbour.ask(agent, gateway)

    assert (answer.status, closed) == (200, "refused")
    assert {frame[6:12].hex(":") for frame in towards} == {agent.mac}
    assert len(replies) == 1
    assert replies[0].mac not in {agent.mac, worker.mac}
    assert agent.probe().clock.uncertainty == 0  # one kernel here
    agent.probe().synchronize()
    assert abs(agent.probe().clock.offset) <= agent.probe().clock.uncertainty < 1


def test_a_measurement_has_a_process_of_its_own(agent: ExecVantage) -> None:
    """In the same container."""
    with agent.start_probe() as own:
        assert own.pid != agent.probe().pid
