"""Context of one run: lab, cluster, implementation, and the resources that all checks share.

Each check has its own `CheckContext` on top of this one. Checks do not modify shared resources: the web workload,
whose readiness takes seconds on a real kubelet, and the free addresses of the segment, which are used in turn so that
no check finds an ARP cache entry of the previous one.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from lbproof.context import manifests
from lbproof.context.undo import Undo
from lbproof.lab.base import Capability, LabError
from lbproof.lab.common.conditions import is_node_usable
from lbproof.spec import Untestable
from lbproof.spec.families import Family, host_port
from lbproof.witnesses import http
from lbproof.witnesses.kube import ApiError
from lbproof.witnesses.wait import EventuallyFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lbproof.adapters.base import Adapter, Object, Workload
    from lbproof.lab.base import Lab
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.journal import Journal
    from lbproof.witnesses.kube import Kube
    from lbproof.witnesses.vantage import Vantage
    from lbproof.witnesses.wait import Waiter

NAMESPACE = "lbproof"
"""Namespace of the shared workload, and prefix of each check's own namespace."""
WEB = "web"
WEB_REPLICAS = 3


class CannotShow(Exception):  # noqa: N818 - a verdict, not an error
    """The lab cannot show the requirement: the verdict is `untestable`, for one of a closed list of reasons."""

    def __init__(self, reason: Untestable, detail: str = "") -> None:
        """`detail` says what is missing in this lab."""
        super().__init__(f"{reason.value}{': ' + detail if detail else ''}")
        self.reason = reason


class RunContext:
    """Lab, cluster and implementation of one run, and the resources that all checks share."""

    def __init__(
        self,
        *,
        lab: Lab,
        cluster: Kube,
        adapter: Adapter,
        journal: Journal,
        waiter: Waiter,
        programs: Mapping[str, object],
    ) -> None:
        """Create nothing yet; `install` does."""
        self.lab = lab
        self.cluster = cluster
        self.adapter = adapter
        self.journal = journal
        self.wait = waiter
        self.programs = programs
        self.undo = Undo()
        self.kept: dict[str, Any] = {}
        """Background activities that check modules started before the first check, by name."""
        self._next = dict.fromkeys(Family, 0)
        """Index of the next free address of each family."""
        self._reserved: set[IPAddress] = set()
        self._namespaces: list[str] = []

    def install(self, progress: Callable[[str], None]) -> None:
        """Install the implementation and wait until its workloads are ready."""
        objects = self.adapter.manifests(self.programs)
        self.lab.bring_images(manifests.images_of(objects), lambda: self.adapter.images(self.programs), progress)
        for manifest in objects:
            self.make(manifest)
        for workload in (self.adapter.controller, self.adapter.announcer):
            progress(f"{self.adapter.name}: waiting for {workload.kind} {workload.name}")
            self.rolled_out(workload)
        for address in self.lab.segment.free_for(Family.IPV4)[:1]:
            for made in self.adapter.pool("lbproof-probe", [str(address)]):
                self.write(made)
                self.remove(made)

    def make(self, manifest: Object) -> Object:
        """Apply an object, after waiting for the deletion of one of the same name that is still terminating.

        In a lab that is reused, objects deleted by the previous run may still exist: the API server rejects new objects
        in a terminating namespace (403), and changes applied to a terminating object are lost (404).
        """
        meta = manifest["metadata"]
        self._wait_if_terminating(
            self.cluster.path_of(manifest["apiVersion"], manifest["kind"], meta.get("namespace"), meta["name"])
        )
        return self.cluster.apply(manifest)

    def namespace(self, name: str) -> None:
        """Create a namespace that all checks share; `close` deletes it and waits until it is gone."""
        self.make(manifests.namespace(name))
        path = f"/api/v1/namespaces/{name}"
        self._namespaces.append(path)
        self.undo.later(f"namespace {name}", lambda: self.cluster.discard(path))

    def _wait_if_terminating(self, path: str) -> None:
        def state() -> str:
            try:
                found = self.cluster.get(path)
            except ApiError as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
                return "absent"
            return "terminating" if "deletionTimestamp" in found["metadata"] else "there"

        if state() == "terminating":
            self.wait.eventually(
                state,
                lambda seen: seen != "terminating",
                what=f"{path}, which is being deleted, is gone",
                budget="namespace_emptied",
                every=0.1,
            )

    def write(self, made: Object) -> None:
        """Apply an object of one of the implementation's kinds.

        Its admission webhook may start to answer shortly after its pod is ready, and until then the API server fails
        (5xx): such errors are retried. A rejection (4xx) is raised immediately.
        """
        refusal: list[ApiError] = []

        def attempt() -> str:
            try:
                self.make(made)
            except ApiError as error:
                if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    return str(error)
                refusal.append(error)
            return "written"

        self.wait.eventually(
            attempt,
            lambda outcome: outcome == "written",
            what=f"the API server takes {made['kind']} {made['metadata']['name']}",
            budget="restarted",
            every=0.1,
        )
        if refusal:
            raise refusal[0]

    def rolled_out(self, workload: Workload) -> None:
        """Wait until every pod of a workload has the newest template and is ready; the budget applies to each pod."""
        path = f"/apis/apps/v1/namespaces/{workload.namespace}/{workload.kind.lower()}s/{workload.name}"
        state = _Rollout(updated=-1)
        while not state.ready:
            state = self.wait.eventually(
                lambda: _rollout(self.cluster.get(path), self._pods(workload)),
                functools.partial(_further, state),
                what=f"{workload.kind} {workload.namespace}/{workload.name} is ready, or one more pod of it is new",
                budget="restarted",
                show=lambda seen: seen.text,
            )

    def _pods(self, workload: Workload) -> list[Object]:
        selector = ",".join(f"{key}={value}" for key, value in workload.selector.items())
        return self.cluster.list(f"/api/v1/namespaces/{workload.namespace}/pods", labelSelector=selector)

    def pods(self, workload: Workload) -> dict[str, str]:
        """Map each node to the name of the workload's running pod on it."""
        return {
            pod["spec"]["nodeName"]: pod["metadata"]["name"]
            for pod in self._pods(workload)
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        }

    def remove(self, made: Object) -> None:
        """Delete an object, if it exists."""
        meta = made["metadata"]
        self.cluster.discard(
            self.cluster.path_of(made["apiVersion"], made["kind"], meta.get("namespace"), meta["name"])
        )

    def addresses(self, count: int, family: Family = Family.IPV4) -> list[IPAddress]:
        """Return `count` consecutive free addresses of the segment, after those of the previous call.

        Raises `CannotShow` when the segment has no such block.
        """
        free, begin = self.lab.segment.free_for(family), self._next[family]
        for start in (*range(begin, len(free)), *range(begin)):
            block = free[start : start + count]
            consecutive = len(block) == count and int(block[-1]) - int(block[0]) == count - 1
            if consecutive and self._reserved.isdisjoint(block):
                self._next[family] = (start + count) % len(free)
                return list(block)
        subnets = ", ".join(map(str, self.lab.segment.subnets))
        detail = f"{count} of {family.label} in a row wanted, {len(free)} on {subnets}"
        raise CannotShow(Untestable.NO_FREE_ADDRESS, detail)

    @contextmanager
    def reserved(self, block: Sequence[IPAddress]) -> Iterator[None]:
        """Keep particular free addresses of the segment out of `addresses` during the block.

        Raises `CannotShow` when one is not a free address of the segment.
        """
        taken = set(block)
        if not taken <= set(self.lab.segment.free):
            subnets = ", ".join(map(str, self.lab.segment.subnets))
            raise CannotShow(Untestable.NO_FREE_ADDRESS, f"{block[0]} to {block[-1]} are not all free on {subnets}")
        self._reserved |= taken
        try:
            yield
        finally:
            self._reserved -= taken

    @functools.cached_property
    def web(self) -> str:
        """Create the shared workload, verify that clients reach it by a node port, and return its `app` label.

        Raises `CannotShow` when the path to a plain pod is broken, so that the implementation is not blamed for it.
        """
        self.namespace(NAMESPACE)
        self.cluster.apply(manifests.web(NAMESPACE, WEB, replicas=WEB_REPLICAS))
        self.ready(NAMESPACE, WEB)
        plain = manifests.service(NAMESPACE, "plain", type="NodePort", selector={"app": WEB})
        port = self.cluster.apply(plain)["spec"]["ports"][0]["nodePort"]
        worker = self.lab.nodes[-1]
        for vantage in (
            self.lab.client(),
            *([self.lab.routed_client()] if self.lab.can(Capability.ROUTED_CLIENT) else []),
        ):
            self._plain_path(vantage, worker.address, port)
        self.remove(plain)
        return WEB

    def _plain_path(self, vantage: Vantage, address: IPAddress, port: int) -> None:
        try:
            self.served(vantage, address, port, "/hostname", what=f"{vantage.name} reaches a plain pod")
        except EventuallyFailed as error:
            raise CannotShow(Untestable.PATH_BROKEN, str(error)) from error

    def served(
        self,
        vantage: Vantage,
        address: IPAddress,
        port: int,
        path: str = "/",
        *,
        what: str,
        in_a_row: int = 1,
        budget: str = "serves",
    ) -> http.Answer:
        """Wait for HTTP status 200 with a body from an address, and return the last answer."""
        timeouts = http.patience()
        return self.wait.eventually(
            lambda: http.get(vantage, address, port, path, timeout=next(timeouts)),
            lambda answer: answer.status == http.OK and answer.text,
            what=f"{what} at {host_port(address, port)}",
            budget=budget,
            in_a_row=in_a_row,
            ignore=(http.Unreached,),
            show=lambda answer: f"{answer.status} {answer.text.partition(chr(10))[0][:40]}",
        )

    def ready(self, namespace: str, name: str) -> None:
        """Wait until all replicas of one of the suite's Deployments are ready."""
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
        self.wait.eventually(
            lambda: _deployment(self.cluster.get(path)),
            lambda state: state == "ready",
            what=f"deployment {namespace}/{name} is ready",
            budget="workload_ready",
        )

    def nodes_ready(self) -> None:
        """Wait until every node is Ready and has no `node.kubernetes.io/` taint."""
        self.wait.eventually(
            lambda: ", ".join(self._unusable_nodes()) or "all",
            lambda state: state == "all",
            what="every node is Ready",
            budget="node_back",
            every=0.1,
        )

    def _unusable_nodes(self) -> list[str]:
        nodes = self.cluster.list("/api/v1/nodes")
        return [node["metadata"]["name"] for node in nodes if not is_node_usable(node)]

    def need(self, capability: Capability) -> None:
        """Raise `CannotShow` when the lab lacks a capability."""
        if not self.lab.can(capability):
            vantage = capability in {
                Capability.ROUTED_CLIENT,
                Capability.NODE_VANTAGE,
                Capability.POD_VANTAGE,
                Capability.CAPTURE,
            }
            reason = Untestable.NO_SUCH_VANTAGE if vantage else Untestable.NO_SUCH_FAULT
            raise CannotShow(reason, capability.value)

    def close(self) -> None:
        """Remove shared resources and wait until their namespaces are gone, so that another run can follow.

        The implementation stays installed; a lab of this run is removed together with it.
        """
        self.undo.close()
        for path in self._namespaces:
            self._wait_if_terminating(path)


def require(found: object, what: str) -> None:
    """Raise `LabError` when something that the lab must provide is missing."""
    if not found:
        raise LabError(what)


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


def _deployment(deployment: Object) -> str:
    status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
    ready = status.get("readyReplicas", 0)
    current = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return "ready" if current and ready == wanted == status.get("updatedReplicas", 0) else f"{ready} of {wanted} ready"
