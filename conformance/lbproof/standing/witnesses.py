"""Standing witnesses of one lab: started before its first check, judged after each, and looked at again at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lbproof.standing.assignments import Assignments
from lbproof.standing.segment_witness import NoPorts, SegmentWitness
from lbproof.standing.service_witness import ServiceWitness
from lbproof.standing.surroundings import Surroundings
from lbproof.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lbproof.context import RunContext
    from lbproof.spec.promises import Witness
    from lbproof.standing.finding import Finding

_ROWS = 40
"""Maximum number of observations of a violation in the events."""


class _Witness(Protocol):
    """Witness of one kind."""

    def start(self) -> None:
        """Start to watch."""
        ...

    def judge(self) -> Iterator[Finding]:
        """Judge what has arrived since the last call."""
        ...

    def finish(self) -> Iterator[Finding]:
        """Judge everything up to now, and look again at what was released or restarted."""
        ...

    def stop(self) -> None:
        """End."""
        ...


@dataclass(slots=True)
class _Case:
    """Case that ran; moments are of `time.monotonic()`."""

    name: str
    began: float
    ended: float = float("inf")


class StandingWitnesses:
    """The witnesses of one lab. A broken one makes errors, and is not asked again."""

    def __init__(self, run: RunContext, judged: Callable[[str], bool]) -> None:
        """Watch nothing yet. `judged`: whether a requirement is judged in this run, by its ID."""
        self._journal, self._judged = run.journal, judged
        around = Surroundings(adapter=run.adapter, claims=run.claims, writes=run.cluster.writes, acts=run.acts)
        assignments = Assignments(around)
        self._witnesses: dict[Witness, _Witness] = {
            "services": ServiceWitness(run, around, assignments),
            "segment": SegmentWitness(run, around, assignments),
        }
        self._cases: list[_Case] = []

    def start(self) -> None:
        """Start all witnesses, and write which of them watch."""
        for kind, witness in list(self._witnesses.items()):
            try:
                witness.start()
            except NoPorts as error:
                del self._witnesses[kind]
                self._journal.write("witness", witness=kind, state="unavailable", why=str(error))
            except Exception as error:  # noqa: BLE001 - whatever broke it
                self._broke(kind, error)
            else:
                self._journal.write("witness", witness=kind, state="watching")

    def begin(self, case: str) -> None:
        """Note that a case begins: what is seen from now on was seen while it ran."""
        self._cases.append(_Case(case, time.monotonic()))

    def judge(self) -> None:
        """Judge the time until now, at the end of the present case."""
        self._look(lambda witness: witness.judge())
        if self._cases:
            self._cases[-1].ended = time.monotonic()

    def end(self, *, looks_again: bool) -> None:
        """Judge the rest of the run, with `looks_again` after second looks, and end the witnesses."""
        self._look(lambda witness: witness.finish() if looks_again else witness.judge())
        for kind, witness in list(self._witnesses.items()):
            try:
                witness.stop()
            except Exception as error:  # noqa: BLE001 - whatever broke it
                self._broke(kind, error)

    def _look(self, judge: Callable[[_Witness], Iterable[Finding]]) -> None:
        found: list[Finding] = []
        for kind, witness in list(self._witnesses.items()):
            try:
                for one in judge(witness):  # what was found before it broke counts
                    found.append(one)  # noqa: PERF402
            except Exception as error:  # noqa: BLE001 - whatever broke it, the run is told
                self._broke(kind, error)
        groups: dict[tuple[str, str, str], list[Finding]] = {}
        for one in found:
            groups.setdefault((one.promise, one.requirement, self._during(one.begin)), []).append(one)
        for (promise, requirement, during), findings in groups.items():
            if self._judged(requirement):
                first, more = findings[0], len(findings) - 1
                self._journal.write(
                    "standing",
                    promise=promise,
                    requirement=requirement,
                    during=during,
                    what=f"{first.what}; {more} more of this kind" if more else first.what,
                    begin=self._journal.t(first.begin),
                    end=self._journal.t(max(one.end for one in findings)),
                    observed=[row | {"t": self._journal.t(row["t"])} for row in first.observed[:_ROWS]],
                )

    def _during(self, moment: float) -> str:
        """Return the case that ran at a moment; empty between two cases."""
        return next((case.name for case in reversed(self._cases) if case.began <= moment <= case.ended), "")

    def _broke(self, kind: Witness, error: Exception) -> None:
        """Write that a witness broke, which is an error of the run, and ask it no more."""
        del self._witnesses[kind]
        self._journal.write("witness", witness=kind, state="broken", why=printable(f"{type(error).__name__}: {error}"))
