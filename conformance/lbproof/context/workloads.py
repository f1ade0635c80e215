"""Workloads of the implementation: readiness by their kind, pods by their role, restarts."""

from __future__ import annotations

import functools
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.context.acts import ActKind, Acts
from lbproof.context.cannot import CannotShow
from lbproof.lab.base import Capability
from lbproof.lab.common.conditions import is_ready
from lbproof.spec import Untestable
from lbproof.text import words
from lbproof.witnesses.wait import EventuallyFailed, Violation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from lbproof.adapters.base import Adapter, Object, Workload, WorkloadRole
    from lbproof.lab.base import Lab
    from lbproof.witnesses.kube import Kube
    from lbproof.witnesses.wait import Waiter

_COUNTED = ("Deployment", "StatefulSet")
"""Kinds with a number of replicas."""
_NOWHERE = "lbproof.dev/nowhere"
"""Label that no node has."""


class Workloads:
    """Workloads that an adapter names, in a cluster."""

    def __init__(self, lab: Lab, cluster: Kube, adapter: Adapter, waiter: Waiter, acts: Acts | None = None) -> None:
        """Read nothing yet. `acts`: where restarts are noted."""
        self._lab, self._cluster, self._wait = lab, cluster, waiter
        self._acts = acts or Acts()
        self.all = adapter.workloads

    def of(self, role: WorkloadRole) -> list[Workload]:
        """Return the workloads with a role. Raises `CannotShow` when there is none."""
        found = [workload for workload in self.all if role in workload.roles]
        if not found:
            raise CannotShow(Untestable.NO_WORKLOAD, f"none is {role}")
        return found

    def rolled_out(self, *workloads: Workload) -> None:
        """Wait until every pod of the workloads (of all by default) is of the newest template and ready.

        The budget applies to each pod.
        """
        for workload in workloads or self.all:
            state = _Rollout(updated=-1)
            while not state.ready:
                state = self._wait.eventually(
                    functools.partial(self._rollout, workload),
                    functools.partial(_further, state),
                    what=f"{workload} is ready, or one more pod of it is new",
                    budget="restarted",
                    every=0.05,  # each look lists the pods
                    show=lambda seen: seen.text,
                )

    def _rollout(self, workload: Workload) -> _Rollout:
        pods = self._pods(workload)
        if workload.kind == "StaticPod":
            ready = sum(is_ready(pod) for pod in pods)
            return _Rollout(updated=ready, ready=0 < ready == len(pods), text=f"{len(pods)} there, {ready} ready")
        return _rollout(self._cluster.get(self._path(workload)), pods)

    def _pods(self, workload: Workload) -> list[Object]:
        selector = ",".join(f"{key}={value}" for key, value in workload.selector.items())
        return self._cluster.list(f"/api/v1/namespaces/{workload.namespace}/pods", labelSelector=selector)

    def pods(self, role: WorkloadRole) -> list[tuple[str, str, str]]:
        """Return node, namespace and name of each running pod with a role. Raises `CannotShow` as `of` does."""
        return self.running(*self.of(role))

    def running(self, *workloads: Workload) -> list[tuple[str, str, str]]:
        """Return node, namespace and name of each running pod of some workloads."""
        return [
            (pod["spec"]["nodeName"], workload.namespace, pod["metadata"]["name"])
            for workload in workloads
            for pod in self._pods(workload)
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    def ended(self, *workloads: Workload) -> list[str]:
        """Return `namespace/pod on node (times)` of each pod, by default of all workloads, whose containers ended."""
        return [
            f"{workload.namespace}/{_name(pod)} on {pod['spec'].get('nodeName')} ({_restarts(pod)} times)"
            for workload in workloads or self.all
            for pod in self._pods(workload)
            if _restarts(pod)
        ]

    def pod_on(self, role: WorkloadRole, node: str) -> tuple[str, str]:
        """Return namespace and name of the running pod with a role on a node. Raises `CannotShow` without one."""
        for where, namespace, name in self.pods(role):
            if where == node:
                return namespace, name
        raise CannotShow(Untestable.NO_WORKLOAD, f"no {role} runs on {node}")

    def restart(self, role: WorkloadRole) -> None:
        """Replace every pod with a role, as `replace` does. Raises `CannotShow` as `of` does."""
        self.replace(*self.of(role))

    @contextmanager
    def stopped(self, role: WorkloadRole) -> Iterator[None]:
        """Have no pod with a role during the block, and wait after it until all are ready again.

        Raises `CannotShow` as `of` does, and for a static pod, which the API cannot end.
        """
        workloads = self.of(role)
        if fixed := [workload for workload in workloads if workload.kind == "StaticPod"]:
            raise CannotShow(Untestable.NO_SUCH_FAULT, f"{fixed[0]} cannot be stopped by the API")
        sizes = [self._cluster.get(self._path(workload))["spec"].get("replicas", 1) for workload in workloads]
        with self._restarting(*workloads):
            try:
                for workload in workloads:
                    self._cluster.patch(self._path(workload), _of_size(workload, 0))
                self.ended_all(*workloads)
                yield
            finally:
                for workload, size in zip(workloads, sizes, strict=True):
                    self._cluster.patch(self._path(workload), _of_size(workload, size))
                self.rolled_out(*workloads)

    @contextmanager
    def copies(self, role: WorkloadRole, count: int) -> Iterator[None]:
        """Have at least that many pods of each workload with a role during the block, and as many as before after it.

        All run when the block begins, and are ready if they become ready: one that waits for another to end need not.
        Raises `CannotShow` as `of` does, for a workload without a number of pods, and where so many do not run.
        """
        workloads = self.of(role)
        if fixed := [workload for workload in workloads if workload.kind not in _COUNTED]:
            raise CannotShow(Untestable.NO_WORKLOAD, f"{fixed[0]} has no number of pods that can be chosen")
        sizes = [self._cluster.get(self._path(workload))["spec"].get("replicas", 1) for workload in workloads]
        with self._acts.during(ActKind.COPIES, role):
            try:
                for workload, size in zip(workloads, sizes, strict=True):
                    self._cluster.patch(self._path(workload), _of_size(workload, max(size, count)))
                self.copies_run(role, count)
                with suppress(EventuallyFailed), self._wait.tentative():
                    self.rolled_out(*workloads)
                yield
            finally:
                with self._restarting(*workloads):
                    for workload, size in zip(workloads, sizes, strict=True):
                        self._cluster.patch(self._path(workload), _of_size(workload, size))
                    self.rolled_out(*workloads)

    def copies_run(self, role: WorkloadRole, count: int) -> None:
        """Wait until at least that many pods of each workload with a role run. Raises `CannotShow` if they do not."""
        workloads = self.of(role)
        try:
            self._wait.eventually(
                lambda: [len(self.running(workload)) for workload in workloads],
                lambda numbers: min(numbers) >= count,
                what=f"{count} pods of {words([str(workload) for workload in workloads])} run",
                budget="restarted",
            )
        except EventuallyFailed as error:
            raise CannotShow(Untestable.NOT_PROVOKED, str(error)) from error

    def kill_pod(self, role: WorkloadRole, name: str) -> None:
        """Kill the processes of a pod with a role; wait until its kubelet has started them again.

        Raises `CannotShow` where nothing can be killed.
        """
        with self._restarting(*self.of(role)):
            for workload in self.of(role):
                self._kill(workload, [name])

    def delete_pod(self, role: WorkloadRole, name: str) -> None:
        """Delete a pod with a role, which ends in order, and wait until it is gone."""
        with self._restarting(*self.of(role)):
            for workload in self.of(role):
                self._discard(workload, [name for pod in self._pods(workload) if _name(pod) == name])

    @contextmanager
    def _restarting(self, *workloads: Workload) -> Iterator[None]:
        """Note that the roles of some workloads restart during the block."""
        with ExitStack() as noted:
            for role in {role for workload in workloads for role in workload.roles}:
                noted.enter_context(self._acts.during(ActKind.RESTART, role))
            yield

    @staticmethod
    def _path(workload: Workload) -> str:
        return f"/apis/apps/v1/namespaces/{workload.namespace}/{workload.kind.lower()}s/{workload.name}"

    def stop_on(self, role: WorkloadRole, node: str) -> None:
        """Delete the pods with a role on a node, which end in order, and wait until their successors are ready.

        Raises `CannotShow` where there is none, and for a static pod, which the API does not end.
        """
        self.pod_on(role, node)
        for workload in self.of(role):
            if workload.kind == "StaticPod":
                raise CannotShow(Untestable.NO_SUCH_FAULT, f"{workload} cannot be told to stop")
            with self._restarting(workload):
                self._discard(workload, [_name(p) for p in self._pods(workload) if p["spec"].get("nodeName") == node])
                self.rolled_out(workload)

    def ended_all(self, *workloads: Workload) -> None:
        """Wait until no pod of some workloads, which were deleted, is left."""
        self._wait.eventually(
            lambda: [_name(pod) for workload in workloads for pod in self._pods(workload)],
            lambda left: not left,
            what=f"no pod of {words([str(workload) for workload in workloads])} is left",
            budget="restarted",
        )

    def replace(self, *workloads: Workload) -> None:
        """Replace every pod of some workloads, as an upgrade does, and wait until the new ones are ready.

        Static pods cannot be replaced by the API: their processes are killed, and their kubelet starts them again.
        Raises `Violation` when containers of new pods have ended.
        """
        with self._restarting(*workloads):
            self._replace(workloads)

    def kill_on(self, role: WorkloadRole, node: str) -> None:
        """Kill the processes with a role on a node; wait until its kubelet has started them and they are ready.

        Raises `CannotShow` as `of` and `pod_on` do, and where nothing can be killed.
        """
        _, name = self.pod_on(role, node)
        with self._acts.during(ActKind.RESTART, role):
            for workload in self.of(role):
                self._kill(workload, [name])
            self.rolled_out(*self.of(role))

    def _replace(self, workloads: Sequence[Workload]) -> None:
        for workload in workloads:
            if workload.kind == "StaticPod":
                self._kill(workload, [_name(pod) for pod in self._pods(workload)])
            else:
                self._delete(workload)
        try:
            self.rolled_out(*workloads)
        except EventuallyFailed as error:
            replaced = [workload for workload in workloads if workload.kind != "StaticPod"]
            if replaced and (ended := self.ended(*replaced)):
                raise Violation(f"containers have ended after a restart: {words(ended)}") from error
            raise

    def _delete(self, workload: Workload) -> None:
        self._discard(workload, [_name(pod) for pod in self._pods(workload)])

    def _discard(self, workload: Workload, names: Sequence[str]) -> None:
        paths = [f"/api/v1/namespaces/{workload.namespace}/pods/{name}" for name in names]
        for path in paths:
            self._cluster.discard(path)
        for path in paths:
            self._wait.eventually(
                lambda path=path: "there" if self._cluster.exists(path) else "gone",  # type: ignore[misc]
                lambda state: state == "gone",
                what=f"{path} is gone",
                budget="restarted",
            )

    def _kill(self, workload: Workload, names: Collection[str]) -> None:
        if not self._lab.can(Capability.KILL):
            raise CannotShow(Untestable.NO_SUCH_FAULT, Capability.KILL.value)
        before = {name: _restarts(pod) for pod in self._pods(workload) if (name := _name(pod)) in names}
        for name in before:
            self._lab.kill(workload.namespace, name)
        self._wait.eventually(
            lambda: {_name(pod): _restarts(pod) for pod in self._pods(workload)},
            lambda now: all(now.get(name, 0) > count for name, count in before.items()),
            what=f"the kubelets have started {workload.namespace}/{workload.name} again",
            budget="restarted",
        )


def _of_size(workload: Workload, replicas: int) -> Object:
    """Return a patch by which a workload has that many pods; a DaemonSet has none, or one on each of its nodes.

    It has none while it selects a label that no node has.
    """
    if workload.kind in _COUNTED:
        return {"spec": {"replicas": replicas}}
    return {"spec": {"template": {"spec": {"nodeSelector": {_NOWHERE: None if replicas else "true"}}}}}


def _name(pod: Object) -> str:
    name: str = pod["metadata"]["name"]
    return name


def _restarts(pod: Object) -> int:
    return sum(row.get("restartCount", 0) for row in pod["status"].get("containerStatuses", []))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rollout:
    """Rollout progress of a workload."""

    updated: int
    """Number of pods of the newest template."""
    ready: bool = False
    text: str = "not yet seen by its controller"


def _further(before: _Rollout, now: _Rollout) -> bool:
    return now.ready or now.updated > before.updated


def _rollout(workload: Object, pods: list[Object]) -> _Rollout:
    status, generation = workload.get("status", {}), workload["metadata"]["generation"]
    if status.get("observedGeneration") != generation:
        return _Rollout(updated=-1)
    wanted = status.get("desiredNumberScheduled", workload["spec"].get("replicas", 1))
    updated = status.get("updatedNumberScheduled", status.get("updatedReplicas", 0))
    ready = status.get("numberReady", status.get("readyReplicas", 0))
    leaving = sum("deletionTimestamp" in pod["metadata"] for pod in pods)
    return _Rollout(
        updated=updated,
        ready=wanted > 0 and (updated, ready, leaving, len(pods)) == (wanted, wanted, 0, wanted),
        text=f"{wanted} wanted, {updated} updated, {ready} ready, {leaving} leaving",
    )
