"""What a check holds in its hands: it makes Services and pools, does faults, and sees (`Looks`) what comes of them.

Every wait is a named budget, everything made is undone, and everything seen goes into the events of the run.
"""

from __future__ import annotations

import functools
import secrets
import threading
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import Ask
from lbproof.lab.base import Ability
from lbproof.observe.capture import Capture
from lbproof.observe.frames import Op
from lbproof.observe.wait import NotSettled
from lbproof.stage import manifests
from lbproof.stage.ground import NAMESPACE, Ground
from lbproof.stage.looks import Looks
from lbproof.stage.objects import Pool, Service
from lbproof.undo import Undo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lbproof.adapters.base import Object, Workload
    from lbproof.lab.base import Fault

AT_REST = 6
"""Addresses that are looked at to tell whether all announcers see each other again."""


class Stage(Looks):
    """One check's means. `close` undoes what it made, also when one undo fails."""

    def __init__(self, ground: Ground, case: str, *, capture: bool = True) -> None:
        """`case` is the ID that is being judged; names of what is made come from it. `capture`: the client's frames."""
        super().__init__(ground)
        self.case = case
        self.undo = Undo()
        self.services: list[Service] = []
        self._pools = 0
        self._faulted = False
        self._capture = Capture(self.client) if capture and ground.lab.can(Ability.CAPTURE) else None
        if self._capture:
            self._capture.__enter__()

    @functools.cached_property
    def namespace(self) -> str:
        """A namespace of this check's own, made when first asked for."""
        name = f"{NAMESPACE}-{self.case.lower()}-{secrets.token_hex(2)}"
        self.cluster.apply(manifests.namespace(name))
        # not waited for: its name is used once, and what matters of its content is removed before
        self.undo.later(f"namespace {name}", lambda: self.cluster.discard(f"/api/v1/namespaces/{name}"))
        return name

    # --- making things

    def pool(self, blocks: int | Sequence[str] = 4, *, addresses: Sequence[str] = (), **kind: bool) -> Pool:
        """A pool of so many free addresses, or of the blocks as written (`addresses` then says what is in them).

        `kind`: `automatic`, `whole`, `advertised`, as `Adapter.pool` has them.
        """
        if isinstance(blocks, int):
            addresses = self.ground.addresses(blocks)
            blocks = [f"{addresses[0]}-{addresses[-1]}"]
        self._pools += 1
        pool = Pool(f"{self.case.lower()}-{self._pools}", addresses)
        self.used += addresses
        for made in self.ground.adapter.pool(pool.name, blocks, **kind):
            self.ground.write(made)
            self.undo.later(f"{made['kind']} {pool.name}", functools.partial(self.ground.remove, made))
        return pool

    def change_pool(self, pool: Pool, blocks: Sequence[str]) -> None:
        """Let a pool hold other blocks from now on."""
        for made in self.ground.adapter.pool(pool.name, blocks):
            self.ground.write(made)

    def start_over(self) -> None:
        """Undo everything that was made so far, and go on with nothing."""
        self.undo.close()
        self.undo = Undo()
        vars(self).pop("namespace", None)

    def exclude(self, node: str) -> None:
        """Keep a node from announcing, by Kubernetes' well-known label, until the check ends."""
        path, label = f"/api/v1/nodes/{node}", "node.kubernetes.io/exclude-from-external-load-balancers"
        if label in self.cluster.get(path)["metadata"].get("labels", {}):
            return
        self.cluster.patch(path, {"metadata": {"labels": {label: ""}}})
        self.undo.later(f"label of {node}", lambda: self.cluster.patch(path, {"metadata": {"labels": {label: None}}}))

    def service(
        self,
        name: str = "web",
        *,
        serving: bool = False,
        ask: str = "",
        how: Ask = Ask.ANNOTATION,
        pool: Pool | str = "",
        change: Callable[[Object], None] | None = None,
        **fields: Any,  # noqa: ANN401 - fields of ServiceSpec
    ) -> Service:
        """Create a Service of type LoadBalancer; it is deleted when the check ends.

        `serving`: in front of the shared workload, else with no endpoints. `ask`: the address that it asks for, and
        `how`. `pool`: the pool that it names. `change`: a last hand on the manifest.
        """
        namespace = NAMESPACE if serving else self.namespace
        if serving:
            name = f"{self.case.lower()}-{name}"
            fields.setdefault("selector", {"app": self.ground.web})
        made = manifests.service(namespace, name, **fields)
        if ask:
            self.ground.adapter.ask(made, ask, how)
            self.used.append(ask)
        if pool:
            self.ground.adapter.ask_pool(made, pool if isinstance(pool, str) else pool.name)
        if change:
            change(made)
        self.cluster.create(f"/api/v1/namespaces/{namespace}/services", made)
        service = Service(self.cluster, namespace, name)
        self.services.append(service)
        self.undo.later(f"service {service}", lambda: self.delete(service))
        return service

    def delete(self, service: Service) -> None:
        """Delete a Service and wait until it is gone; one that is gone already is as good."""
        self.cluster.discard(service.path)
        self.gone(service.path)

    def web(self, name: str, *, replicas: int = 1, nodes: Sequence[str] = ()) -> str:
        """A workload of this check's own next to the shared one; gives its `app` label."""
        _ = self.ground.web  # the namespace, and a path that is known to work
        name = f"{self.case.lower()}-{name}"
        made = manifests.web(NAMESPACE, name, replicas=replicas, nodes=nodes)
        self.cluster.apply(made)
        self.undo.later(f"deployment {name}", functools.partial(self.ground.remove, made))
        self.ground.ready(NAMESPACE, name)
        return name

    def pods(self, app: str) -> list[tuple[str, str]]:
        """`(name, node)` of the running pods of a workload in the suite's namespace."""
        found = self.cluster.list(f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector=f"app={app}")
        return [
            (pod["metadata"]["name"], pod["spec"]["nodeName"])
            for pod in found
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    # --- faults

    @contextmanager
    def fault(self, ability: Ability, act: Callable[[], Fault]) -> Iterator[Fault]:
        """Do something to the lab; it is undone at the end of the block, or with the check when that is not reached."""
        self.ground.need(ability)
        self._faulted = True
        done = act()
        journal = self.ground.journal
        journal.write("fault", t=journal.t(done.earliest), kind=done.kind, target=done.target, phase="begin")
        once = threading.Lock()

        def undo() -> None:
            if once.acquire(blocking=False):
                done.undo()
                journal.write("fault", kind=done.kind, target=done.target, phase="end")

        self.undo.later(f"{done.kind} of {done.target}", undo)
        yield done
        undo()

    def settled_after_fault(self) -> None:
        """Wait until every node and the implementation are as before a fault that was undone."""
        self.ground.nodes_ready()
        self.ground.rolled_out(self.ground.adapter.announcer)
        self.ground.rolled_out(self.ground.adapter.controller)
        if "web" in vars(self.ground):
            self.ground.ready(NAMESPACE, self.ground.web)

    def restart(self, workload: Workload) -> None:
        """Delete every pod of a workload, as an upgrade does, and wait until others are ready in their place."""
        before = self.ground.pods(workload)
        for pod in before.values():
            self.cluster.delete(f"/api/v1/namespaces/{workload.namespace}/pods/{pod}")
        for pod in before.values():
            self.gone(f"/api/v1/namespaces/{workload.namespace}/pods/{pod}")
        self.ground.rolled_out(workload)

    def keep_frames(self, folder: Path, note: Callable[[str, str, Path], None], most: int) -> None:
        """Write the client's capture, and the ARP frames about this check's addresses into the events of the run."""
        if self._capture is None:
            return
        path = folder / "client.pcap"
        self._capture.write(path)
        note("pcap", "Frames at the client", path)
        about, names = set(self.used), self.mac_names() | {self.client.mac: self.client.name}
        heard = [f for f in self._capture.arp() if {f.sender_ip, f.target_ip} & about][-most:]
        if heard:
            rows = [asdict(f) | {"op": Op(f.op).name.lower(), "node": names.get(f.sender_mac, "")} for f in heard]
            for row in rows:
                row["t"] = self.ground.journal.t(row["t"])
            self.ground.journal.write("exchange", title="ARP at the client", vantage=self.client.name, frames=rows)

    def _come_to_rest(self) -> None:
        """After a fault, wait until new addresses have one announcer each: the next check is to meet a whole cluster.

        Several, since speakers that do not see each other may still agree about one of them. What a fault costs is
        judged by the check that did it; how long it lasts beyond that is kept here, not judged.
        """
        pool = self.pool(AT_REST)
        services = [self.service(f"rest-{n}", serving=True) for n in range(AT_REST)]
        try:
            self.wait.settles(
                lambda: self._sweep([address for service in services for address in service.addresses()]),
                lambda seen: [len(who) for who in seen.values()] == [1] * len(pool.addresses),
                what=f"at rest after the fault: one node answers for each of {AT_REST} new addresses",
                budget="at_rest",
                in_a_row=3,
            )
        except NotSettled as error:
            self.saw("arp", "not at rest after the fault", error.seen)

    def close(self, *, rest: bool = True) -> None:
        """Undo everything; with `rest`, leave the cluster as whole as it was met."""
        try:
            self.start_over()
            if rest and self._faulted:
                self._come_to_rest()
        finally:
            try:
                self.undo.close()
            finally:
                if self._capture:
                    self._capture.__exit__()
