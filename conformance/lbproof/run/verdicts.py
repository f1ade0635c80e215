"""Verdicts of the cases of a run: derived from exceptions, written as events."""

from __future__ import annotations

import linecache
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from lbproof.context import CannotShow
from lbproof.files import of_environment
from lbproof.run import evidence
from lbproof.run.failures import first_line
from lbproof.spec import NOT_REACHED, REQUIREMENTS, Exit, Level, Untestable, Verdict, worst
from lbproof.spec.requirements import family_shown, of_case
from lbproof.witnesses.wait import Violation, WaitFailed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from lbproof.context import CheckContext
    from lbproof.witnesses.journal import Journal

Outcome = Literal["passed", "failed", "skipped"]
_OF_A_LOOK = ("event", "t", "at", "case", "node", "seconds")
"""Fields of `check.finished` that are not what was found."""
_OF_THE_MOMENT = {reason.name for reason in (Untestable.NOT_PROVOKED, Untestable.PREREQUISITE, Untestable.PATH_BROKEN)}
"""Reasons why a case is untestable that another moment may not have, in the same lab."""


class VerdictRecorder:
    """Derives the verdict of each case and writes it to the events; collects evidence of failures."""

    def __init__(self, journal: Journal, directory: Path, claimed: Collection[str]) -> None:
        """Write events to `journal` and evidence below `directory`, the folder of the run. `claimed`: features."""
        self.verdicts: dict[str, Verdict] = {}
        """Verdicts by name."""
        self.standing: list[tuple[Level, Verdict]] = []
        """Level and verdict of what standing witnesses saw: a violation, or an error of a broken one."""
        self.flaky: list[str] = []
        """Cases that passed only on a second look."""
        journal.listeners.append(self.adopt)
        self._journal, self._directory, self._claimed = journal, directory, claimed
        self._details: dict[str, Any] = {}
        self._began: dict[str, float] = {}
        """Case → start of its check (`time.monotonic()`)."""
        self._called = False
        self._measured = False
        """Whether the present case has figures."""
        self._unreached: set[str] = set()
        self._told: dict[str, dict[str, Any]] = {}
        """Case → verdict and details of the last look at it."""
        self._first: dict[str, dict[str, Any]] = {}
        """Case that is looked at again → verdict and details of the first look."""

    def adopt(self, event: dict[str, Any]) -> None:
        """Keep the verdicts of standing witnesses, in this process or in a worker, and whether a case has figures."""
        self._measured |= event["event"] == "measured"
        if event["event"] == "standing":
            self.standing.append((REQUIREMENTS[event["requirement"]].level, Verdict.FAILED))
        elif event["event"] == "witness" and event["state"] == "broken":
            self.standing.append((Level.MUST, Verdict.ERROR))

    @property
    def reached(self) -> dict[str, Verdict]:
        """Verdicts of the cases that were not left over when the run ended."""
        return {case: verdict for case, verdict in self.verdicts.items() if case not in self._unreached}

    def begin(self, case: str, node: str) -> None:
        """Begin a case; stop the run instead if its events can no longer be written."""
        self.refuse_lost_events()
        self.verdicts.pop(case, None)  # of a first look
        self._began[case] = time.monotonic()
        self._details = {}
        self._called = self._measured = False
        self._journal.case = case
        self._journal.write("check.started", case=case, **self._family(case), node=node)

    def refuse_lost_events(self) -> None:
        """Stop the run when its events can no longer be written."""
        if self._journal.lost:
            pytest.exit(of_environment(self._journal.lost) or str(self._journal.lost), int(Exit.NO_ENVIRONMENT))

    def judge(
        self, case: str, error: BaseException, report: pytest.TestReport, check: CheckContext | None, home: Path
    ) -> Outcome:
        """Derive the verdict from an exception in a case; collect evidence if the check has a context.

        `home`: folder of the check's module. An error during cleanup does not replace the failure of the check.
        """
        if self.verdicts.get(case) is Verdict.FAILED:
            self._details["reason"] += f"; during cleanup: {first_line(error)}"
            return "failed"
        if report.when == "call" and is_violation(error, home):
            if of_case(case).level is Level.INFO:
                error = CannotShow(Untestable.NOT_PROVOKED, first_line(error))  # what is measured is not judged
            elif check is not None and (why := check.several_answer()):
                error = CannotShow(Untestable.PREREQUISITE, f"prerequisite L2-01: {why}; {first_line(error)}")
        if isinstance(error, CannotShow):
            verdict = Verdict.UNTESTABLE
            details: dict[str, Any] = {"untestable": error.reason.name, "reason": str(error)}
        elif report.when == "call" and is_violation(error, home):
            verdict, details = Verdict.FAILED, _failure(error, home)
        else:
            verdict = Verdict.ERROR
            call = "not judged: " if isinstance(error, WaitFailed) else ""
            where = {"setup": "before the check: ", "teardown": "during cleanup: "}.get(report.when, call)
            lines = traceback.format_exception(error)
            details = {"reason": where + first_line(error), "traceback": "".join(lines)[-4000:]}
        if self.verdicts.get(case) is Verdict.ERROR:
            self._details["reason"] += f"; during cleanup: {first_line(error)}"
        else:
            self._details = details
        self.verdicts[case] = worst([verdict, self.verdicts.get(case, verdict)])
        if verdict is Verdict.UNTESTABLE:
            return "skipped"
        if check is not None:
            evidence.keep(check, self._directory)
        return "failed"

    def called(self) -> None:
        """Note that the check of the case was executed."""
        self._called = True

    def finish(self, case: str, node: str) -> None:
        """End a case: its verdict is the one from `judge`, or `passed` if the check was executed."""
        verdict = self.verdicts.get(case, Verdict.PASSED)
        if verdict is Verdict.PASSED and not self._called:
            verdict = Verdict.ERROR
            self._details = {
                "reason": "the check was not executed, because of an option of pytest such as --setup-plan"
            }
        elif verdict is Verdict.PASSED and of_case(case).level is Level.INFO and not self._measured:
            verdict = Verdict.ERROR
            self._details = {"reason": "nothing was measured"}
        self.record(case, node, verdict, **self._details)
        self._journal.case = None

    def cut_short(self, case: str, node: str) -> None:
        """Discard the verdict of an interrupted case, unless its failure was already proven."""
        if self.verdicts.get(case) is Verdict.FAILED:
            self._details["reason"] += "; the run was stopped while evidence was collected"
            self.record(case, node, Verdict.FAILED, **self._details)
        else:
            self.record(case, node, Verdict.ERROR, reason="interrupted: the run was stopped during this check")
        self._journal.case = None

    def relay(self, event: dict[str, Any]) -> None:
        """Write an event of a worker, and adopt the verdict in it."""
        if event["event"] == "check.finished":
            case, told = event["case"], {name: value for name, value in event.items() if name not in _OF_A_LOOK}
            event = {name: event[name] for name in _OF_A_LOOK} | self._adopted(case, told)
            self.verdicts[case] = Verdict(event["verdict"])
        self._journal.relay(event)
        if event["event"] == "check.started":
            self._began[event["case"]] = time.monotonic()

    def worth_a_second_look(self) -> list[str]:
        """Return the cases that were judged and did not pass, where another moment may show something else."""
        return [
            case
            for case, told in self._told.items()
            if told["verdict"] in {Verdict.FAILED, Verdict.ERROR} or told.get("untestable") in _OF_THE_MOMENT
        ]

    def look_again(self, case: str) -> None:
        """Take the next verdict on a case as that of a second look."""
        self._first[case] = self._told[case]

    def _adopted(self, case: str, told: dict[str, Any]) -> dict[str, Any]:
        """Return what counts: of two looks a violation, `flaky` if only the second one passed, and else the first."""
        first = self._first.pop(case, None)
        if first is None or (told["verdict"] == Verdict.FAILED != first["verdict"]):
            found = told
        elif told["verdict"] == Verdict.PASSED:
            kept = {name: value for name, value in first.items() if name not in {"verdict", "untestable"}}
            reason = f"passed only on a second look; the first: {first['verdict']}: {first.get('reason', '')}"
            found = {"verdict": Verdict.PASSED.value, "flaky": True} | kept | {"reason": reason}
            self.flaky.append(case)
        else:
            found = first
        self._told[case] = found
        return found

    def lose(self, case: str, node: str, why: str) -> None:
        """Record that the process that executed a case died; a verdict that it has sent stays."""
        if case not in self.verdicts:
            self.record(case, node, Verdict.ERROR, reason=why)

    def end_unreached(self, cases: Iterable[str], why: str) -> None:
        """Record an error for each case without a verdict, because the run ended before it."""
        for case in cases:
            if case not in self.verdicts:
                self._unreached.add(case)
                self.record(case, "", Verdict.ERROR, reason=f"{NOT_REACHED}{why}")

    def record(self, case: str, node: str, verdict: Verdict, **details: Any) -> None:  # noqa: ANN401 - JSON
        """Write the verdict of a case; `node` is the node ID of its check, empty if the check was not executed."""
        seconds = round(time.monotonic() - self._began[case], 3) if node and case in self._began else 0.0
        told = {"verdict": verdict.value, **details}
        if node:
            told = self._adopted(case, told)
        self.verdicts[case] = Verdict(told["verdict"])
        self._journal.write("check.finished", case=case, **self._family(case), node=node, seconds=seconds, **told)

    def _family(self, case: str) -> dict[str, Any]:
        shown = family_shown(case, self._claimed)
        return {"family": shown} if shown else {}


def is_violation(error: BaseException, home: Path) -> bool:
    """Return whether an exception of a check shows that the implementation does not keep the requirement.

    Only two kinds do: a `Violation`, except a wait without a budget or by one that does not judge
    (`Budget.judges`), and an assertion of the check itself, of a module in its folder `home`, or of one that checks of
    several areas share. Everything else is a fault of the suite or the lab.
    """
    if isinstance(error, WaitFailed):
        return error.judges
    if isinstance(error, Violation):
        return True
    if not isinstance(error, AssertionError):
        return False
    return any(_root_of(path, home) for path, _ in _lines(error)[-1:])


def _failure(error: BaseException, home: Path) -> dict[str, Any]:
    found = {"reason": first_line(error), "where": _where(error, home)}
    if isinstance(error, WaitFailed):
        found |= {"reason": error.reason, "expected": error.what, "observed": error.seen}
    return found


def _where(error: BaseException, home: Path) -> str:
    """Return the innermost line of checks in a traceback: an assertion, or a step before it that failed.

    Its file is named from the check's own folder; one of another area begins with the name of that.
    """
    for path, line in reversed(_lines(error)):
        if root := _root_of(path, home):
            return f"{path.relative_to(root)}:{line}: {linecache.getline(str(path), line).strip()}"
    return ""


def _root_of(path: Path, home: Path) -> Path | None:
    """Return the folder of checks in which a file is: `home`, or that of lbproof's own; None: in neither."""
    from lbproof import checks  # noqa: PLC0415 - a test's checks take its place

    folders = (home.resolve(), Path(str(checks.__file__)).parent.resolve())
    return next((folder for folder in folders if path.is_relative_to(folder)), None)


def _lines(error: BaseException) -> list[tuple[Path, int]]:
    """Return file and number of each line of a traceback, from the outermost on.

    The file is that of the module as it was imported: code that was compiled before its folder was moved has another.
    """
    walked = traceback.walk_tb(error.__traceback__)
    return [(Path(frame.f_globals.get("__file__") or "?").resolve(), line) for frame, line in walked]
