"""Judge of the standing promise that an assigned address is answered for: reads questions and claims, in order.

It decides without a clock or a probe. A single silence may be the machine's, on which everything stalls at times: two,
each while no check did anything that may silence an address, are the implementation's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbproof.context.acts import ActKind
from lbproof.spec.promises import SILENCES, UNANSWERED
from lbproof.standing.finding import Finding
from lbproof.witnesses import neighbour
from lbproof.witnesses.writes import paths_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lbproof.context.claims import Claim
    from lbproof.standing.assignments import Assignment, Assignments
    from lbproof.standing.surroundings import Surroundings

LASTS = 1.0
"""Seconds without a claim that are a silence: those after which Linux asks again (RFC 4861, RetransTimer)."""


@dataclass(slots=True)
class _Address:
    """What was heard of one address."""

    last: Claim
    questions: list[float] = field(default_factory=list)
    """Moments of the questions since then."""


class SilenceJudge:
    """Judges each question once what was assigned and provoked at its moment is known."""

    def __init__(self, surroundings: Surroundings, assignments: Assignments, *, budget: Callable[[str], float]) -> None:
        """`budget`: the budgets in force, by name, in seconds."""
        self._around, self._assignments, self._budget = surroundings, assignments, budget
        self._heard: dict[str, _Address] = {}
        self._silences: list[Finding] = []
        """The first silence of several addresses at a time is kept alone."""

    def claim(self, claim: Claim) -> None:
        """Take the next claim of an address."""
        self._heard[str(claim.message.sender_ip)] = _Address(claim)

    def question(self, t: float, address: str) -> Iterator[Finding]:
        """Judge the time since the last claim, when a question for an address is sent at a moment."""
        heard = self._heard.get(address)
        if heard is None:
            return
        began = heard.last.message.t
        if len(heard.questions) >= UNANSWERED and t - began >= LASTS and self._is_undisturbed(address, began, t):
            yield from self._silence(address, heard, t)
            del self._heard[address]
        else:
            heard.questions.append(t)

    def _silence(self, address: str, heard: _Address, t: float) -> Iterator[Finding]:
        claim, asked = heard.last, len(heard.questions)
        began = claim.message.t
        if any(one.begin <= t and began <= one.end for one in self._silences):
            return
        row = neighbour.row(claim.message) | {"t": began, "node": claim.by, "unanswered": asked}
        what = f"nobody answers for {address} for {t - began:.1f} s and {asked} requests, after {claim.by} did"
        silence = Finding(
            promise="answered", requirement="L2-01", subject=address, what=what, begin=began, end=t, observed=[row]
        )
        self._silences.append(silence)
        if len(self._silences) >= SILENCES:
            silence.observed = [row for one in self._silences[-SILENCES:] for row in one.observed[-1:]]
            silence.what += f"; {len(self._silences)} times so far, while no check did anything that may silence it"
            yield silence

    def _is_undisturbed(self, address: str, began: float, t: float) -> bool:
        """Return whether one Service had the address all the time, and nothing that a check did may silence it."""
        assigned = self._assignments.at(address, began, t)
        if len(assigned) != 1 or assigned[0].began > began or assigned[0].ended < t:
            return False
        return not self._is_provoked(assigned[0], began, t)

    def _is_provoked(self, assignment: Assignment, began: float, t: float) -> bool:
        acts, writes = self._around.acts, self._around.writes
        since = began - self._budget("one_answerer")
        known = max(since, assignment.began)
        """What was done to pools and objects before the assignment did not prevent the first answer."""
        return bool(
            any(acts.between(since, t, kind) for kind in ActKind)
            or len(set(acts.pools(known, t))) > 1
            or any(writes.between(path, known, t) for path in paths_of(assignment.service))
            or writes.changed_between(known, t)
        )
