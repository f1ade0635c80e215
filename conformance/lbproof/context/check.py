"""The context of one check: it creates Services and pools, injects faults, and observes the results.

Every wait has a named budget, created objects are deleted, and observations are written to the events of the run.
"""

from __future__ import annotations

import functools
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from lbproof.context.objects import Service, points_of
from lbproof.context.rest import MANY, after_faults, after_many
from lbproof.context.services import Services
from lbproof.context.undo import Undo
from lbproof.lab.base import Capability
from lbproof.spec.families import Family, family_of
from lbproof.text import words
from lbproof.witnesses import neighbour, neighbours
from lbproof.witnesses.capture import Capture
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lbproof.context.objects import Pool
    from lbproof.context.run import RunContext
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

_ROOM = 2
"""Addresses that are free beside those of Services whose addresses must stay: a lower one, and a higher one."""


class CheckContext(Services):
    """Creates objects and injects faults for one check; `close` undoes all of them, even when one undo fails."""

    def __init__(self, run: RunContext, case: str, *, families: Sequence[Family] = (), capture: bool = True) -> None:
        """`case`: name of the verdict, used in the names of created objects. `capture`: record frames at the client.

        `families`: that which is judged; none when it makes no difference. Raises `CannotShow` when the lab lacks it.
        """
        super().__init__(run, case)
        run.need_families(families)
        run.family = next(iter(families), family_of(run.lab.segment.subnets[0]))
        self._controls = 0
        self._capture = Capture(self.client) if capture and run.lab.can(Capability.CAPTURE) else None
        if self._capture:
            self._capture.open()

    def start_over(self) -> None:
        """Undo everything so far, faults first, and start again without objects."""
        with ExitStack() as ends:
            ends.callback(self.undo.close)
            ends.callback(lambda: self.delete_all(*self.services))
            self.injected.close()
        self.services = []
        self.undo = Undo()
        vars(self).pop("namespace", None)
        vars(self).pop("second_namespace", None)

    @contextmanager
    def room(self, **fields: Any) -> Iterator[None]:  # noqa: ANN401 - of `service`
        """Have an address free afterwards that was given before those of the Services that are created in the block.

        For checks that an address stays. An implementation that releases an address and gives one out anew, the first
        that is free or any, gives another one then, and not by necessity the same.
        """
        first = self.service("makes-room", **fields)
        self.assigned(first)
        yield
        self.delete(first)

    @contextmanager
    def pool_with_room(self, count: int) -> Iterator[Pool]:
        """Create a pool for that many Services, which are created in the block, with `room` below and above theirs."""
        pool = self.pool(count + _ROOM)
        with self.room():
            yield pool

    def waits(self, *services: Service) -> None:
        """Wait until the implementation has acted on something newer than some Services that it cannot serve.

        Raises `CannotShow` when one of them has an address then.
        """
        controls = self.apart()
        for asks in controls:
            self.control(**asks)
        with self.precondition():
            if not controls:
                self.stays_pending(*services)
            if found := {str(s): points for s in services if (points := points_of(s.read()))}:
                raise Violation(f"given an address where none is free: {words(found)}")

    def control(
        self,
        *,
        budget: str = "address_assigned",
        seen: bool = False,
        **fields: Any,  # noqa: ANN401 - of `service`
    ) -> IPAddress:
        """Create a Service that can be given an address, wait until it is, and return that.

        For checks that something does not happen: the implementation has then acted on something newer than what must
        be left alone, so that the watch that follows is no watch of an implementation that has seen nothing yet.
        `seen`: also wait until the assignment shows on the wire and by an Event (`shown`).
        """
        self._controls += 1
        with self.precondition():
            service = self.service(f"control-{self._controls}", **fields)
            address = self.assigned(service, budget=budget)
            if seen:
                self.shown(service, address)
        return address

    def keeps_apart(self) -> bool:
        """Return whether pools can be kept for the Services that ask for them or for their addresses."""
        return self.run.claims("auto-assign") and (self.run.claims("pool-select") or self.run.claims("explicit-ip"))

    def apart(self, count: int = 1) -> list[dict[str, Any]]:
        """Create a pool for the Services that ask for it or for its addresses; return the requests of that many.

        Without the features for that there is none, which is recorded.
        """
        if not self.keeps_apart():
            self.saw("api", "no control: the implementation does not claim pools that are kept for who asks", [])
            return []
        pool = self.pool(count, auto_assign=False)
        by_name = self.run.claims("pool-select")
        return [{"pool": pool} if by_name else {"ask": address} for address in pool.addresses]

    def control_apart(self) -> None:
        """Run a control where no address is free, in a pool apart if there can be one."""
        for asks in self.apart():
            self.control(**asks)

    def control_in_turn(
        self, waiting: Sequence[Service], leaving: Sequence[Service] = (), *, budget: str = "address_assigned"
    ) -> tuple[list[Service], list[Service]]:
        """Run a control where no address is free and no pool can be kept apart; otherwise `control_apart` is one.

        Delete Services, or create a pool where none are given. Wait until as many as one of those that wait, or of new
        ones, have an address, and verify that no more addresses are given than that. Return those that have one, and
        those that wait, the new ones included.
        """
        if self.keeps_apart():
            return [], [*waiting]
        self._controls += 1
        free = [point for service in leaving for point in points_of(service.known)]
        for service in leaving:
            self.cluster.discard(service.path)
        if not leaving:
            free = [str(address) for address in self.pool(1).addresses]
        among = [*waiting, *(self.service(f"newer-{self._controls}-{n}") for n in range(len(free)))]

        def given() -> list[str]:
            return sorted(point for service in among for point in points_of(service.read()))

        with self.precondition():
            self.wait.eventually(
                given,
                lambda found: len(found) >= len(free),
                what=f"{words(free)} is given to a Service that waits or is new",
                budget=budget,
            )
        self.delete_all(*leaving)  # a finalizer may keep them until the implementation acts
        self.wait.consistently(
            given,
            lambda found: len(found) == len(free) and set(found) <= set(free),
            what=f"{words(free)}, which alone was free, is all that is given to Services that wait or are new",
            budget="stays_pending",
        )
        served = [service for service, held in self.statuses(*among).items() if held]
        return served, [service for service in among if service not in served]

    def serves_without_entry(self, vantage: Vantage, *addresses: IPAddress, hop: Vantage) -> None:
        """Wait until a client is served at each address, three times in a row, when the next hop has to ask for it.

        `hop`: host whose neighbour entry is removed before each request. An announcement makes no entry (RFC 826), but
        completes one for which it has asked in vain, so that an answer after one does not count (`cold_answer`).
        """
        with neighbour.Listener(hop) as heard:
            for address in addresses:
                self.undo.later(f"the entry of {hop.name}", functools.partial(neighbours.forget, hop, address))
                self.wait.eventually(
                    lambda address=address: self.cold_answer(vantage, address, hop=hop, heard=heard),  # type: ignore[misc]
                    lambda pod: pod.startswith(self.run.web),
                    what=f"{vantage.name} is served at {address} when {hop.name} has no entry for it",
                    budget="serves",
                    in_a_row=3,
                )

    # --- end

    def keep_frames(self, folder: Path, note: Callable[[str, str, Path], None], most: int) -> None:
        """Write the client's capture to a file, and what it has of this check's addresses to the events of the run."""
        if self._capture is None:
            return
        captured = self._capture.captured()
        path = folder / "client.pcap"
        captured.write(path)
        note("pcap", "Frames at the client", path)
        if captured.lost:
            self.saw("capture", "frames that the capture at the client lost", captured.lost)
        about, names = set(self.used), self.mac_names() | {self.client.mac: self.client.name}
        for family, title in ((Family.IPV4, "ARP at the client"), (Family.IPV6, "NDP at the client")):
            heard = [m for m in captured.neighbour_messages(family) if {m.sender_ip, m.target_ip} & about][-most:]
            rows = [
                neighbour.row(message) | {"t": self.run.journal.t(message.t), "node": names.get(message.sender_mac, "")}
                for message in heard
            ]
            if rows:
                self.run.journal.write("exchange", title=title, vantage=self.client.name, frames=rows)

    def forget_frames(self) -> None:
        """End the capture at the client, before frames by the thousand that are no evidence of anything."""
        if self._capture:
            self._end_capture(self._capture)
            self._capture = None

    def _end_capture(self, capture: Capture) -> None:
        """Stop the capture. Its failure is a note: it is evidence alone."""
        try:
            capture.close()
        except ProbeError as error:
            self.saw("capture", "the capture at the client failed", str(error))

    def close(self, *, rest: bool = True) -> None:
        """Undo everything; with `rest`, also wait for recovery from faults, and from many Services."""
        self.run.note_clocks()
        try:
            created = len(self.services)
            self.start_over()
            if rest and self._faults:
                after_faults(self, self._faults)
            elif rest and created >= MANY and self.run.claims("pool"):
                after_many(self, created)
        finally:
            try:
                self.undo.close()
            finally:
                if self._capture:
                    self._end_capture(self._capture)
