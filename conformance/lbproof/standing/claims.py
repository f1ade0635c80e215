"""Judge of the standing promises on the wire: reads who claims which address, in the order of arrival.

It decides without a clock or a probe. A claim is an ARP or NDP message that says where an address is.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.context.acts import ActKind
from lbproof.context.claims import INTERLEAVED_WITHIN, interleaved
from lbproof.lab.base import Capability
from lbproof.spec import BUDGETS
from lbproof.standing.finding import Finding
from lbproof.witnesses import neighbour
from lbproof.witnesses.writes import paths_of, slice_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lbproof.context.claims import Claim
    from lbproof.standing.assignments import Assignment, Assignments
    from lbproof.standing.surroundings import Surroundings

EARLY = 10.0
"""Seconds that an address may be claimed before the watch delivers the status that assigns it. On a busy machine, a
Service of fifty that are created at once is answered for long before the suite has read its status."""
_WITHOUT_API = (Capability.STOP_API.value, Capability.API_CUT.value)
"""Faults after which a client may wait before it asks the API server again (budget `api_back`)."""


class ClaimJudge:
    """Judges each claim once what was assigned at its moment is known."""

    def __init__(
        self,
        surroundings: Surroundings,
        assignments: Assignments,
        *,
        macs: Mapping[str, str],
        budget: Callable[[str], float],
    ) -> None:
        """`macs`: hardware address → node; `budget`: the budgets in force, by name, in seconds."""
        self._around, self._assignments, self._macs, self._budget = surroundings, assignments, macs, budget
        self._recent: dict[str, deque[Claim]] = {}
        """Address → claims of the last `INTERLEAVED_WITHIN` seconds."""

    def claim(self, claim: Claim) -> Iterator[Finding]:
        """Judge the next claim."""
        address, t = str(claim.message.sender_ip), claim.message.t
        yield from self._own_mac(address, claim)
        assigned = self._assignments.at(address, t - self._budget("silent"), t + EARLY)
        if not assigned:
            yield from self._unassigned(address, claim)
            return
        recent = self._recent.setdefault(address, deque())
        while recent and recent[0].message.t < t - INTERLEAVED_WITHIN:
            recent.popleft()
        recent.append(claim)
        yield from self._second(address, claim, list(recent), assigned)

    def _own_mac(self, address: str, claim: Claim) -> Iterator[Finding]:
        message = claim.message
        if message.sender_mac != message.ether_src:
            what = f"{address} is said to be at {message.sender_mac} by a frame of {message.ether_src}"
            yield _finding("own-mac", "L2-02", address, f"{what}, from {claim.by}", [claim])
        elif self._macs.get(message.sender_mac, claim.by) != claim.by:
            what = f"{address} is said to be at {message.sender_mac}, which is {self._macs[message.sender_mac]}'s"
            yield _finding("own-mac", "L2-02", address, f"{what}, by {claim.by}", [claim])

    def _unassigned(self, address: str, claim: Claim) -> Iterator[Finding]:
        t = claim.message.t
        last = self._assignments.last_before(address, t)
        if last is None:
            requirement = "CLASS-02" if address in self._assignments.foreign else "L2-04"
            what = f"{claim.by} claims {address}, which is assigned to nobody"
        elif self._missed_release(last, t):
            return
        else:
            requirement = "RECL-03"
            meta = last.service["metadata"]
            name = f"{meta['namespace']}/{meta['name']}"
            what = f"{claim.by} claims {address}, {t - last.ended:.1f} s after {name} no longer has it"
        yield _finding("unassigned", requirement, address, what, [claim])

    def _missed_release(self, last: Assignment, t: float) -> bool:
        """Return whether a fault kept a node from learning in time that an address was released.

        After the API server was away, a node may learn late of what is released later too.
        """
        acts, since = self._around.acts, last.ended - self._budget("silent")
        learns, asks_again = BUDGETS["silent"].ceiling, BUDGETS["api_back"].ceiling
        disturbed = [*acts.between(since, t, ActKind.FAULT), *acts.between(since, t, ActKind.RESTART)]
        away = acts.between(last.ended - asks_again, t, ActKind.FAULT, _WITHOUT_API)
        return any(act.overlaps(t - learns, t) for act in disturbed) or any(
            act.overlaps(t - asks_again, t) for act in away
        )

    def _second(self, address: str, claim: Claim, recent: list[Claim], assigned: list[Assignment]) -> Iterator[Finding]:
        """Find another node that claims an address between two claims of this one."""
        found = interleaved(recent)
        if not found or self._is_moved(claim.message.t, assigned):
            return
        other = next(one.by for one in found if one.by != claim.by)
        what = f"{address} is claimed by {claim.by} and by {other} at a time, though no check moved it"
        self._recent[address] = deque([claim])
        yield _finding("one-answerer", "L2-01", address, what, found)

    def _is_moved(self, t: float, assigned: list[Assignment]) -> bool:
        """Return whether something that a check did may move an address from one node to another about a moment."""
        around, since = self._around, t - self._budget("one_answerer")
        if len(assigned) > 1:  # the next Service may be announced by another node
            return True
        own, _ = paths_of(assigned[0].service)
        return bool(
            around.acts.between(since, t, ActKind.FAULT)
            or around.acts.between(since, t, ActKind.EXCLUDE)
            or around.acts.between(since, t, ActKind.CONFIGURE)
            or around.acts.between(since, t, ActKind.RESTART, [WorkloadRole.ANNOUNCER])
            or around.writes.between(own, since, t)
            or around.writes.between(slice_of(assigned[0].service), since, t)
            or around.writes.deleted_below("/apis/apps/v1/namespaces/", since, t)
        )


def _finding(promise: str, requirement: str, address: str, what: str, claims: list[Claim]) -> Finding:
    return Finding(
        promise=promise,
        requirement=requirement,
        subject=address,
        what=what,
        begin=claims[0].message.t,
        end=claims[-1].message.t,
        observed=[neighbour.row(claim.message) | {"t": claim.message.t, "node": claim.by} for claim in claims],
    )
