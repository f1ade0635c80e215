"""Faults of a check: which node is chosen, by what is seen, and what is done to it until the check ends."""

from __future__ import annotations

import functools
import threading
import time
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.context.acts import ActKind
from lbproof.context.cannot import CannotShow
from lbproof.context.observations import Observations
from lbproof.context.run import NAMESPACE
from lbproof.context.undo import Undo
from lbproof.lab.base import Capability, Role
from lbproof.spec import Untestable
from lbproof.text import words
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lbproof.context.objects import Service
    from lbproof.context.run import RunContext
    from lbproof.lab.base import Node
    from lbproof.lab.fault import Fault
    from lbproof.spec.families import IPAddress

_BY_THE_KUBELET = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
"""Conditions of a node that are Unknown when its kubelet no longer reports (kubernetes, `tryUpdateNodeHealth`)."""

_EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


class Faults(Observations):
    """Faults available to a check; `injected` ends those that the check itself does not end."""

    def __init__(self, run: RunContext) -> None:
        """Nothing is broken."""
        super().__init__(run)
        self.undo = Undo()
        self.injected = Undo()
        """Faults, undone before anything else: without them everything else can be undone."""
        self._faults: set[Capability] = set()
        """Kinds of the faults that there were: the next check starts when the lab is at rest again."""

    @contextmanager
    def precondition(self, requirement: str = "") -> Iterator[None]:
        """Do something that the check needs and that another requirement judges. Raises `CannotShow` when it fails.

        `requirement`: that one, if it can be named: the verdict is then `untestable` for that prerequisite.
        """
        try:
            yield
        except Violation as error:
            if requirement:
                raise CannotShow(Untestable.PREREQUISITE, f"prerequisite {requirement}: {error}") from error
            raise CannotShow(Untestable.NOT_PROVOKED, str(error)) from error

    def known_to_every_node(self, service: Service) -> None:
        """Wait until the kube-proxy of each node knows a Service, and so what was changed before it was created."""
        if self.lab.can(Capability.NODE_VANTAGE):
            with self.precondition("TIER-05"):
                for node in self.lab.nodes:
                    self.serves(self.lab.node(node.name), service.cluster_ip())

    def exclude(self, node: str) -> None:
        """Exclude a node from announcing, by Kubernetes' well-known label, until the check ends."""
        self.undo.enter(f"label of {node}", self.excluded(node))

    @contextmanager
    def excluded(self, node: str, value: str = "") -> Iterator[None]:
        """Exclude a node from announcing, by Kubernetes' well-known label, unless it has that label."""
        before = self._exclusion(node)
        with nullcontext() if before is not None else self._labelled(node, value, before):
            yield

    @contextmanager
    def admitted(self, node: str) -> Iterator[None]:
        """Remove that label from a node, as the control plane has it, during the block; nothing if it has none."""
        before = self._exclusion(node)
        with nullcontext() if before is None else self._labelled(node, None, before):
            yield

    def _exclusion(self, node: str) -> str | None:
        """Return the value of the label that excludes a node; None: it has none."""
        value: str | None = self.cluster.get(f"/api/v1/nodes/{node}")["metadata"].get("labels", {}).get(_EXCLUDED)
        return value

    @contextmanager
    def _labelled(self, node: str, value: str | None, before: str | None) -> Iterator[None]:
        path = f"/api/v1/nodes/{node}"
        with self.run.acts.during(ActKind.EXCLUDE, node):
            try:
                self.cluster.patch(path, {"metadata": {"labels": {_EXCLUDED: value}}})
                yield
            finally:
                self.cluster.patch(path, {"metadata": {"labels": {_EXCLUDED: before}}})

    @contextmanager
    def cordoned(self, *nodes: str) -> Iterator[None]:
        """Mark nodes as unschedulable, as `kubectl cordon` does, during the block."""
        paths = [f"/api/v1/nodes/{node}" for node in nodes]
        with ExitStack() as noted:
            for node in nodes:
                noted.enter_context(self.run.acts.during(ActKind.EXCLUDE, node))
            try:
                for path in paths:
                    self.cluster.patch(path, {"spec": {"unschedulable": True}})
                yield
            finally:
                for path in paths:
                    self.cluster.patch(path, {"spec": {"unschedulable": None}})

    @contextmanager
    def network_unavailable(self, node: str) -> Iterator[None]:
        """Set a node's condition NetworkUnavailable, as a controller of routes does, during the block."""
        told = {"type": "NetworkUnavailable", "status": "True", "reason": "lbproof", "message": "set by a check"}
        with self.run.acts.during(ActKind.EXCLUDE, node):
            try:
                self._set_condition(node, told)
                yield
            finally:
                self._set_condition(node, told | {"status": "False"})

    @contextmanager
    def kubelet_silent(self, node: str) -> Iterator[None]:
        """Have a node's kubelet report nothing during the block; the node and its pods go on.

        What the node controller says of such a node after its grace period, Ready Unknown, is said at once. The kubelet
        replaces it after the block. Raises `CannotShow` where the lab lacks it.
        """
        told = {"status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
        silent = functools.partial(self.lab.silent_kubelet, node)
        with self.run.acts.during(ActKind.EXCLUDE, node), self.fault(Capability.SILENT_KUBELET, silent):
            self._set_condition(node, *({"type": kind} | told for kind in _BY_THE_KUBELET))
            yield

    def _set_condition(self, node: str, *conditions: Mapping[str, str]) -> None:
        path = f"/api/v1/nodes/{node}"
        found = self.cluster.get(path)["status"].get("conditions", [])
        set_now = {condition["type"] for condition in conditions}
        others = [one for one in found if one["type"] not in set_now]
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        told = [{**condition, "lastHeartbeatTime": at, "lastTransitionTime": at} for condition in conditions]
        self.cluster.patch(f"{path}/status", {"status": {"conditions": [*others, *told]}})

    def stop_announcer(self, node: str) -> None:
        """Delete the announcer's pod on a node, which ends in order, and wait until its successor is ready."""
        self._faults.add(Capability.KILL)  # as after the death of its process
        self.run.workloads.stop_on(WorkloadRole.ANNOUNCER, node)

    def an_announcer(self, address: IPAddress) -> Node:
        """Wait until somebody answers for an address; return a node that does, any one: L2-01 judges how many do."""
        with self.precondition("L2-01"):
            return self.node_among(self.holders(address)[address], address)

    def node_among(self, names: Sequence[str], address: IPAddress) -> Node:
        """Return the first node among those who answer for an address. Raises `Violation` when there is none."""
        for node in self.lab.nodes:
            if node.name in names:
                return node
        raise Violation(f"{address} is answered for by {words(list(names))}, and by no node")

    def worker_that_announces(self, addresses: Sequence[IPAddress]) -> tuple[Node, list[IPAddress]]:
        """Return the worker that answers for most of some addresses, to be cut, and those that it answers for.

        The control plane is not cut. Where it alone answers, its label and the end of its announcer's process may move
        an address away. Raises `CannotShow` when they do not, and for a lab with one worker.
        """
        workers = [node for node in self.lab.nodes if node.role is Role.WORKER]
        if len(workers) < 2:  # noqa: PLR2004 - another takes over
            raise CannotShow(Untestable.TOO_FEW_NODES, "two workers are needed, one of which takes over")
        names = {node.name for node in workers}
        with self.precondition("L2-01"):
            held = self.holders(*addresses)
        for leave in (self._label_control_planes, self._kill_announcers_of_control_planes):
            if any(names & {*who} for who in held.values()):
                break
            leave()
            with suppress(Violation), self.wait.tentative():
                held = self._answered(addresses, lambda who: bool(names & {*who}), "a worker", "", "failover")
        found = {node: [address for address, who in held.items() if node.name in who] for node in workers}
        most = max(workers, key=lambda node: len(found[node]))
        if not found[most]:
            shown = {str(address): who for address, who in held.items()}
            raise CannotShow(Untestable.NOT_PROVOKED, f"no worker takes an address: {words(shown)}")
        return most, found[most]

    def _label_control_planes(self) -> None:
        for node in self.lab.nodes:
            if node.role is Role.CONTROL_PLANE:
                self.exclude(node.name)

    def _kill_announcers_of_control_planes(self) -> None:
        for node in self.lab.nodes:
            if node.role is Role.CONTROL_PLANE and self.lab.can(Capability.KILL):
                namespace, pod = self.run.workloads.pod_on(WorkloadRole.ANNOUNCER, node.name)
                with self.fault(Capability.KILL, functools.partial(self.lab.kill, namespace, pod)):
                    pass

    def not_announcing(self, *addresses: IPAddress, role: Role | None = None) -> list[Node]:
        """Return the nodes that answer for none of some addresses, those of a role alone if one is given.

        Raises `CannotShow` when there is none.
        """
        with self.precondition("L2-01"):
            held = self.holders(*addresses)
        able = [node for node in self.lab.nodes if role in {None, node.role}]
        found = [node for node in able if all(node.name not in names for names in held.values())]
        if found:
            return found
        several = [f"{address}: {words(names)}" for address, names in held.items() if len(names) > 1]
        if several:
            raise CannotShow(Untestable.PREREQUISITE, f"prerequisite L2-01: {'; '.join(several)} answer")
        raise CannotShow(Untestable.TOO_FEW_NODES, f"each of {len(able)} announces one of the addresses")

    @contextmanager
    def fault(self, capability: Capability, act: Callable[[], Fault]) -> Iterator[Fault]:
        """Inject a fault; it is undone at the end of the block, or at the end of the check if the block fails."""
        self.run.need(capability)
        self._faults.add(capability)
        noted = self.run.acts.begin(ActKind.FAULT, capability.value)
        try:
            done = act()
        except BaseException:
            self.run.acts.end(noted)
            raise
        noted.target = done.target
        journal = self.run.journal
        journal.write("fault", t=journal.t(done.earliest), kind=done.kind, target=done.target, phase="begin")
        once = threading.Lock()

        def undo() -> None:
            if once.acquire(blocking=False):
                done.undo()
                self.run.acts.end(noted)
                journal.write("fault", kind=done.kind, target=done.target, phase="end")

        self.injected.later(f"{done.kind} of {done.target}", undo)
        yield done
        undo()

    def settled_after_fault(self) -> None:
        """Wait until all nodes and the implementation are ready again after a fault was undone."""
        self.run.nodes_ready()
        self.run.workloads.rolled_out()
        if "web" in vars(self.run):
            self.run.ready(NAMESPACE, self.run.web)
