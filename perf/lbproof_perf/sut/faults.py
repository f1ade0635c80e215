"""The faults that a benchmark of outages does: the lab's, and those that anyone does through the API.

Each knows its undo and when it took effect: the lab's between two readings of the clock (`Fault.before` and `began`);
of one that is done through the API, time runs from the moment that its first request was sent. What a fault is done to
is the announcer of the one address that is measured.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.context.cannot import CannotShow
from lbproof.lab.fault import Fault
from lbproof.spec import Untestable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lbproof.lab.base import Node
    from lbproof_perf.sut.deployment import Deployment


_SLOW = 4.0
"""Seconds for what is meant to cost nothing: the harm may come late."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a case does."""

    text: str
    """For a reader: `the announcing node loses power`."""
    act: Callable[[Deployment, Node], Fault]
    heals: bool = False
    """Whether its undo is watched too, as a trial of the case `heal`: both sides may claim the address then."""
    role: WorkloadRole | None = None
    """Role of the workload that it is done to; an arm without one has no such case."""
    watch: float = 1.0
    """Seconds without a lost sample after which it is got over."""
    over: Callable[[Deployment], None] | None = None
    """Waits until what takes its time has been done, from which on it can be got over."""


def _speaker(deployment: Deployment, node: Node) -> tuple[str, str]:
    return deployment.run.workloads.pod_on(WorkloadRole.ANNOUNCER, node.name)


def _controller(deployment: Deployment) -> tuple[str, str]:
    for _, namespace, pod in deployment.run.workloads.pods(WorkloadRole.CONTROLLER):
        return namespace, pod
    raise CannotShow(Untestable.NO_WORKLOAD, "no pod of the controller runs")


def _by_api(kind: str, target: str, act: Callable[[], object], undo: Callable[[], object] | None = None) -> Fault:
    """A fault that is requests to the API server, as is its undo if it has one."""

    def undo_with() -> None:
        if undo:
            undo()

    began = time.monotonic()
    act()
    return Fault(kind=kind, target=target, began=began, undo_with=undo_with)


def _stop(deployment: Deployment, node: Node) -> Fault:
    """Delete the announcer's pod as an upgrade does, with its grace period."""
    namespace, pod = _speaker(deployment, node)
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
    return _by_api("stop", f"{pod} on {node.name}", lambda: deployment.run.cluster.delete(path))


def _exclude(deployment: Deployment, node: Node) -> Fault:
    """Keep the node from announcing by Kubernetes' well-known label."""

    def label(value: str | None) -> None:
        labels = {"node.kubernetes.io/exclude-from-external-load-balancers": value}
        deployment.run.cluster.patch(f"/api/v1/nodes/{node.name}", {"metadata": {"labels": labels}})

    return _by_api("exclude", f"node {node.name}", lambda: label(""), lambda: label(None))


def _drain(deployment: Deployment, node: Node) -> Fault:
    """`kubectl drain`: no new pods, and all but a DaemonSet's are evicted (API-initiated eviction, policy/v1)."""
    cluster = deployment.run.cluster

    def cordon(value: bool | None) -> None:
        cluster.patch(f"/api/v1/nodes/{node.name}", {"spec": {"unschedulable": value}})

    def drain() -> None:
        cordon(True)
        for pod in cluster.list("/api/v1/pods", fieldSelector=f"spec.nodeName={node.name}"):
            if any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences", [])):
                continue
            meta = {key: pod["metadata"][key] for key in ("namespace", "name")}
            path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction"
            cluster.create(path, {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta})

    return _by_api("drain", f"node {node.name}", drain, lambda: cordon(None))


def restart_speakers(deployment: Deployment) -> Fault:
    """`kubectl rollout restart` of each workload that announces. Raises `CannotShow` for static pods."""
    workloads = deployment.run.workloads.of(WorkloadRole.ANNOUNCER)
    if any(workload.kind == "StaticPod" for workload in workloads):
        raise CannotShow(Untestable.NO_WORKLOAD, "static pods have no rollout")
    note = {"kubectl.kubernetes.io/restartedAt": datetime.now(UTC).isoformat()}
    patch = {"spec": {"template": {"metadata": {"annotations": note}}}}

    def restart() -> None:
        for workload in workloads:
            path = f"/apis/apps/v1/namespaces/{workload.namespace}/{workload.kind.lower()}s/{workload.name}"
            deployment.run.cluster.patch(path, patch)

    return _by_api("rollout", ", ".join(workload.name for workload in workloads), restart)


KINDS: Mapping[str, Kind] = {
    "power-cut": Kind("the announcing node loses power", lambda it, node: it.lab.node_crash(node.name)),
    "power-back": Kind(
        "the announcing node loses power and gets it back",
        lambda it, node: it.lab.node_crash(node.name),
        heals=True,
    ),
    "cable": Kind(
        "the announcing node's cable is pulled: it loses carrier",
        lambda it, node: it.lab.link_down(node.name),
        heals=True,
    ),
    "silent": Kind(
        "the announcing node's frames are dropped: it keeps carrier",
        lambda it, node: it.lab.blackhole(node.name),
        heals=True,
    ),
    "speaker-killed": Kind(
        "the announcing speaker is killed",
        lambda it, node: it.lab.kill(*_speaker(it, node)),
        role=WorkloadRole.ANNOUNCER,
    ),
    "frozen": Kind(
        "the announcing speaker is frozen",
        lambda it, node: it.lab.freeze_pod(*_speaker(it, node)),
        heals=True,
        role=WorkloadRole.ANNOUNCER,
    ),
    "controller-killed": Kind(
        "the controller is killed",
        lambda it, _: it.lab.kill(*_controller(it)),
        role=WorkloadRole.CONTROLLER,
        watch=_SLOW,
    ),
    "api-stopped": Kind("the API server is stopped", lambda it, _: it.lab.stop_api(), watch=_SLOW),
    "planned": Kind("the announcing speaker is stopped in an orderly way", _stop, role=WorkloadRole.ANNOUNCER),
    "excluded": Kind("the announcing node is labelled as none that announces", _exclude, watch=2.0),
    "drained": Kind("the announcing node is drained", _drain, watch=_SLOW),
    "rolling-restart": Kind(
        "the speakers are restarted one after the other",
        lambda it, _: restart_speakers(it),
        role=WorkloadRole.ANNOUNCER,
        over=lambda it: it.run.workloads.rolled_out(*it.run.workloads.of(WorkloadRole.ANNOUNCER)),
    ),
}
"""Case → what it does."""
