"""The faults that a benchmark of outages does: the lab's, and those that anyone does through the API.

Each knows its undo and when it took effect: the lab's between two readings of the clock (`Fault.before` and `began`);
of one that is done through the API, time runs from the moment that its request was sent. What a fault is done to is the
announcer of the one address that is measured.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lbproof.lab.base import Capability, Fault, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lbproof_perf.sut.deployment import Deployment


_SLOW = 4.0
"""Seconds for what is meant to cost nothing: the harm may come late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A fault by its case's name."""

    name: str
    text: str
    """For a reader, as a sentence's end: `the announcer's power is cut`."""
    act: Callable[[Deployment, Node], Fault]
    capability: Capability | None = None
    """What the lab must be able to do."""
    heals: bool = False
    """Whether its undo is watched too, as a trial of the case `heal`: both sides may claim the address then."""
    controller: bool = False
    """Whether it is done to the controller, which not every arm has."""
    watch: float = 1.0
    """Seconds without a lost sample after which it is got over."""
    over: Callable[[Deployment], None] | None = None
    """Waits until what takes its time has been done, from which on it can be got over."""


def _speaker(deployment: Deployment, node: Node) -> tuple[str, str]:
    workload = deployment.run.adapter.announcer
    return workload.namespace, deployment.run.pods(workload)[node.name]


def _killed(deployment: Deployment, node: Node) -> Fault:
    return deployment.lab.kill(*_speaker(deployment, node))


def _frozen(deployment: Deployment, node: Node) -> Fault:
    return deployment.lab.freeze_pod(*_speaker(deployment, node))


def _stopped(deployment: Deployment, node: Node) -> Fault:
    """Delete the announcer's pod as an upgrade does, with its grace period. There is nothing to undo."""
    namespace, pod = _speaker(deployment, node)
    began = time.monotonic()
    deployment.run.cluster.delete(f"/api/v1/namespaces/{namespace}/pods/{pod}")
    return Fault(kind="stop", target=f"{pod} on {node.name}", began=began, undo_with=lambda: None)


def _controller_killed(deployment: Deployment, _: Node) -> Fault:
    workload = deployment.run.adapter.controller
    return deployment.lab.kill(workload.namespace, next(iter(deployment.run.pods(workload).values())))


def _excluded(deployment: Deployment, node: Node) -> Fault:
    """Keep the node from announcing by Kubernetes' well-known label."""
    path, label = f"/api/v1/nodes/{node.name}", "node.kubernetes.io/exclude-from-external-load-balancers"

    def label_as(value: str | None) -> None:
        deployment.run.cluster.patch(path, {"metadata": {"labels": {label: value}}})

    began = time.monotonic()
    label_as("")
    return Fault(kind="exclude", target=f"node {node.name}", began=began, undo_with=lambda: label_as(None))


def _drained(deployment: Deployment, node: Node) -> Fault:
    """`kubectl drain`: no new pods, and all but a DaemonSet's are evicted (API-initiated eviction, policy/v1)."""
    cluster, path = deployment.run.cluster, f"/api/v1/nodes/{node.name}"
    began = time.monotonic()
    cluster.patch(path, {"spec": {"unschedulable": True}})
    for pod in cluster.list("/api/v1/pods", fieldSelector=f"spec.nodeName={node.name}"):
        owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences", [])}
        if "DaemonSet" in owners:
            continue
        meta = {key: pod["metadata"][key] for key in ("namespace", "name")}
        where = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction"
        cluster.create(where, {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta})

    def uncordon() -> None:
        cluster.patch(path, {"spec": {"unschedulable": None}})

    return Fault(kind="drain", target=f"node {node.name}", began=began, undo_with=uncordon)


def _rolling_restart(deployment: Deployment, _: Node) -> Fault:
    """`kubectl rollout restart` of the announcers' DaemonSet."""
    workload = deployment.run.adapter.announcer
    path = f"/apis/apps/v1/namespaces/{workload.namespace}/{workload.kind.lower()}s/{workload.name}"
    note = {"kubectl.kubernetes.io/restartedAt": datetime.now(UTC).isoformat()}
    began = time.monotonic()
    deployment.run.cluster.patch(path, {"spec": {"template": {"metadata": {"annotations": note}}}})
    return Fault(kind="rollout", target=workload.name, began=began, undo_with=lambda: None)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="power-cut",
            text="the announcer's power is cut",
            act=lambda deployment, node: deployment.lab.node_crash(node.name),
            capability=Capability.NODE_CRASH,
        ),
        Kind(
            name="power-back",
            text="the announcer's power is cut and comes back",
            act=lambda deployment, node: deployment.lab.node_crash(node.name),
            capability=Capability.NODE_CRASH,
            heals=True,
        ),
        Kind(
            name="cable",
            text="the announcer's cable is pulled, and it sees that it has no carrier",
            act=lambda deployment, node: deployment.lab.link_down(node.name),
            capability=Capability.LINK_DOWN,
            heals=True,
        ),
        Kind(
            name="silent",
            text="the segment carries nothing from or to the announcer, which keeps its carrier",
            act=lambda deployment, node: deployment.lab.blackhole(node.name),
            capability=Capability.BLACKHOLE,
            heals=True,
        ),
        Kind(name="speaker-killed", text="the announcing speaker is killed", act=_killed, capability=Capability.KILL),
        Kind(
            name="frozen",
            text="the announcing speaker stands still",
            act=_frozen,
            capability=Capability.FREEZE_POD,
            heals=True,
        ),
        Kind(name="planned", text="the announcing speaker is stopped in an orderly way", act=_stopped),
        Kind(
            name="controller-killed",
            text="the controller is killed",
            act=_controller_killed,
            capability=Capability.KILL,
            controller=True,
            watch=_SLOW,
        ),
        Kind(
            name="api-stopped",
            text="the API server stops",
            act=lambda deployment, _: deployment.lab.stop_api(),
            capability=Capability.STOP_API,
            watch=_SLOW,
        ),
        Kind(name="drained", text="the announcer's node is drained", act=_drained, watch=_SLOW),
        Kind(name="excluded", text="the announcer's node is labelled as none that announces", act=_excluded, watch=2.0),
        Kind(
            name="rolling-restart",
            text="all speakers are restarted, one after the other",
            act=_rolling_restart,
            over=lambda deployment: deployment.run.rolled_out(deployment.run.adapter.announcer),
        ),
    )
}
