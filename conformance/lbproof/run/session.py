"""Session of one run: boot, install, judge, conclude, take down, report.

The events of the run are its only output; all reports are generated from them at the end, also after a failed boot or
Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import pytest

from lbproof import __version__
from lbproof.adapters.base import load
from lbproof.context import CannotShow, CheckContext, RunContext
from lbproof.files import of_environment
from lbproof.lab import provide, registry
from lbproof.lab.base import LabError
from lbproof.report import bundle, model, terminal
from lbproof.run import evidence
from lbproof.run.folder import new_folder
from lbproof.run.lab import RunLab
from lbproof.run.workers import WorkerError, Workers
from lbproof.spec import (
    BUDGETS,
    NOT_REACHED,
    SPEC_VERSION,
    BadOption,
    Conclusion,
    Exit,
    UnknownName,
    Verdict,
    conclude,
    scope_of,
    worst,
)
from lbproof.spec.events import FORMAT
from lbproof.spec.requirements import of_case
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.kube import ApiError, ApiUnreachable
from lbproof.witnesses.wait import ConsistentlyFailed, EventuallyFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from lbproof.run.options import Options

Outcome = Literal["passed", "failed", "skipped"]


class Session:
    """A run: `open` boots and installs, `close` takes down, concludes and writes the report."""

    def __init__(self, options: Options, *, command: list[str]) -> None:
        """Resolve names without starting anything. Raises `pytest.UsageError` for an unknown implementation."""
        self.options = options
        self.command = command
        try:
            self.adapter = load(options.implementation, "--implementation")
        except (UnknownName, BadOption) as error:
            raise pytest.UsageError(str(error)) from None
        self.claimed = frozenset(options.features or self.adapter.features)
        self.order, self.not_run = options.cases(self.claimed)
        self.selected: list[str] = []
        """Cases of `order` that pytest kept (`-k`, `-m` and node IDs can deselect more)."""
        self.begins: list[Callable[[RunContext], None]] = []
        """Functions that start background activities before the first check."""
        self.summary: list[str] = []
        self.exit: Exit | None = None
        self.directory: Path | None = None
        self.stopped_by: BaseException | None = None
        """Reason why the run ended before its last check."""
        self._running = False
        self._verdicts: dict[str, Verdict] = {}
        self._unreached: set[str] = set()
        self._details: dict[str, Any] = {}
        self._note = ""
        self.lab = RunLab(options, self.adapter)
        self._case_began = 0.0
        self._called = False
        self._checks_began: float | None = None
        self.labs = 1
        """Number of parallel labs."""
        self.workers: Workers | None = None
        """Worker processes of the labs; None in a run with one lab."""

    # --- the run

    def open(self, pytest_session: pytest.Session) -> None:
        """Boot the labs and install the implementation; close the run on failure.

        An unusable given lab or an unwritable folder is an error before the run begins.
        """
        try:
            if self.options.lab:
                registry.find(self.options.lab)
            self.directory = new_folder(self.options.results, self.adapter.name)
            self.journal = Journal(self.directory / "events.ndjson")
        except (LabError, OSError) as error:
            self._give_up(error)
        self._running = True
        self.live = terminal.LiveTerminal(sys.__stderr__ or sys.stderr, color=_color(), width=_width())
        self.journal.listeners.append(self.live)
        overrides = {
            **provide.budgets(self.options.lab_provider, self.options.lab),
            **self.adapter.budgets,
            **self.options.budgets,
        }
        self._budgets = budgets = {name: overrides.get(name, budget.default) for name, budget in BUDGETS.items()}
        self.journal.write(
            "run.started",
            format=FORMAT,
            spec=SPEC_VERSION,
            suite=__version__,
            implementation=self.adapter.name,
            version=self.adapter.version,
            claimed=sorted(self.claimed),
            profile=self.options.profile,
            selected=self.selected,
            left_out={c: why for c, why in self.not_run.items() if why.startswith("skipped")},
            budgets=budgets,
            command=self.command,
        )
        for case, why in self.not_run.items():
            verdict, _, reason = why.partition(": ")
            self._verdict(case, "", Verdict(verdict), reason=reason)
        try:
            if self.labs > 1:
                self._progress(f"{self.labs} labs side by side; --labs 1 judges in one")
                self.workers = Workers(self, pytest_session, self.labs)
            self._begin()
        except BaseException as error:
            self.stopped_by = error
            self.lab.keep_logs(self.directory / "logs")
            self.close()
            if _exit(error) is Exit.NO_ENVIRONMENT:
                pytest.exit(f"no usable environment: {self._note}", returncode=int(Exit.NO_ENVIRONMENT))
            if isinstance(error, (EventuallyFailed, ApiError)) or getattr(error, "of_implementation", False):
                pytest.exit(
                    f"{self.adapter.name} could not be installed: {error}", returncode=int(self.exit or Exit.BUG)
                )
            raise

    def _give_up(self, error: LabError | OSError) -> NoReturn:
        """Exit before the run begins. Raises the failure again if the lab or the machine did not cause it."""
        line = str(error) if isinstance(error, LabError) else of_environment(error)
        if not line:
            raise error
        self.exit = Exit.NO_ENVIRONMENT
        self.summary = [f"lbproof: no usable environment: {line}"]
        pytest.exit(self.summary[0], returncode=int(self.exit))

    def _begin(self) -> None:
        with self._stage("boot"):
            facts = self.workers.boot() if self.workers else self.boot()
        self.journal.write("environment", facts=facts | {"labs": str(self.labs)})
        with self._stage("install"):
            if self.workers:
                self.workers.install()
            else:
                self.install(self.begins)
        self._checks_began = time.monotonic()
        self.journal.write("stage", name="checks", phase="begin")

    def boot(self) -> dict[str, str]:
        """Boot the lab of this process; return its description for the report."""
        return self.lab.boot(self._progress)

    def install(self, begins: Iterable[Callable[[RunContext], None]]) -> None:
        """Install the implementation in the lab of this process and start the background activities."""
        self.lab.install(self.journal, self._budgets, begins, self._progress)

    def _progress(self, line: str) -> None:
        self.journal.write("stage", name="progress", phase="begin", note=line)

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        self.journal.write("stage", name=name, phase="begin")
        yield
        self.journal.write("stage", name=name, phase="end", seconds=round(time.monotonic() - began, 3))

    def close(self) -> None:
        """Take down, conclude and write the report, once; a failure here is reported as a bug of lbproof."""
        if not self._running:
            return
        self._running, error = False, self.stopped_by
        if self.workers:
            self._stop(self.workers)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._note = "interrupted"
        elif error is not None:
            self._note = of_environment(error) or str(error)
        if self._checks_began is not None:
            self.journal.write(
                "stage", name="checks", phase="end", seconds=round(time.monotonic() - self._checks_began, 3)
            )
        for case in self.selected:
            if case not in self._verdicts:
                self._unreached.add(case)
                self._verdict(case, "", Verdict.ERROR, reason=f"{NOT_REACHED}{self._note or 'the run ended early'}")
        try:
            with self._stage("teardown"):
                if self.workers:
                    self.workers.close()
                else:
                    self.lab.take_down()
        finally:
            self._conclude(error)

    def _stop(self, workers: Workers) -> None:
        """Interrupt the workers; a second interrupt kills them immediately."""
        try:
            workers.stop()
        except BaseException:
            workers.kill()
            raise

    # --- messages between a worker and its parent

    def serve(self, send: Callable[[dict[str, Any]], None]) -> None:
        """Worker: send all events to the parent, with the run's clock, instead of writing them."""
        began = self.journal.began
        self.journal.close()  # closes the file in this process only; the parent's stays open
        self.journal = Journal(None)
        self.journal.began = began
        self.journal.listeners.append(send)
        self.workers = None

    def receive(self, event: dict[str, Any]) -> None:
        """Parent: write an event of a worker."""
        self.journal.relay(event)
        if event["event"] == "check.finished":
            self._verdicts[event["case"]] = Verdict(event["verdict"])

    def lose(self, case: str, node: str, why: str) -> None:
        """Parent: record that the process that executed a case died."""
        if case not in self._verdicts:
            self._verdict(case, node, Verdict.ERROR, reason=why)

    def failed(self, error: BaseException) -> tuple[str, int | None, bool]:
        """Worker: convert an exception to the arguments of `WorkerError`."""
        code = _exit(error)
        if code is Exit.BUG:
            traceback.print_exception(error, file=sys.__stderr__)
        text = of_environment(error) or _first_line(error)
        return text, None if code is None else int(code), isinstance(error, (EventuallyFailed, ApiError))

    def _conclude(self, error: BaseException | None) -> None:
        reached = {case: verdict for case, verdict in self._verdicts.items() if case not in self._unreached}
        scope = scope_of(
            self.options.profile,
            self.claimed,
            {case: verdict for case, verdict in reached.items() if verdict is not Verdict.SKIPPED},
        )
        conclusion = conclude(
            ((of_case(case).level, verdict) for case, verdict in self._verdicts.items()),
            whole=scope.whole,
            not_claimed=scope.not_claimed,
        )
        self.exit = Exit.of(conclusion)
        if conclusion is not Conclusion.NOT_CONFORMANT:  # a proven verdict stays valid whatever fails afterwards
            self.exit = _exit(error) or self.exit
        note: dict[str, Any] = {"note": self._note} if self._note else {}
        self.journal.write("run.finished", conclusion=conclusion, exit=int(self.exit), seconds=self.journal.t(), **note)
        self.journal.close()
        try:
            self._report()
        except OSError as lost:
            if not (line := of_environment(lost)):
                raise
            if conclusion is not Conclusion.NOT_CONFORMANT:
                self.exit = Exit.NO_ENVIRONMENT
            failed = [case for case, verdict in self._verdicts.items() if verdict is Verdict.FAILED]
            self.summary += [f"{self.adapter.name}: failed {', '.join(failed)}"] if failed else []
            self.summary.append(f"lbproof: the report could not be written: {line}")

    def _report(self) -> None:
        """Write all reports from the events and store the closing lines. Raises `OSError`."""
        directory = self.directory
        assert directory is not None  # noqa: S101 - set on entering, for the type checker
        if self.journal.lost:
            if self.exit is not Exit.NOT_CONFORMANT:
                self.exit = Exit.NO_ENVIRONMENT
            self._note = f"stopped, since its events could not be written: {of_environment(self.journal.lost)}"
        bundle.write(directory)
        self.summary = terminal.summary(model.read(directory), width=_width())
        if self.exit is Exit.NO_ENVIRONMENT or self.journal.lost:
            self.summary.append(f"lbproof: no usable environment: {self._note}")

    # --- one case

    @property
    def context(self) -> RunContext:
        """Return the context shared by all cases. Raises `RuntimeError` outside the run."""
        return self.lab.context

    def check(self, case: str) -> CheckContext:
        """Create a context for the check of one case."""
        return CheckContext(self.context, case)

    def begin(self, case: str, node: str) -> None:
        """Begin a case; stop the run instead if its events can no longer be written."""
        self.refuse_lost_events()
        self._case_began = time.monotonic()
        self._details = {}
        self._called = False
        self.journal.case = case
        self.journal.write("check.started", case=case, node=node)

    def refuse_lost_events(self) -> None:
        """Stop the run when its events can no longer be written."""
        if self.journal.lost:
            pytest.exit(of_environment(self.journal.lost) or str(self.journal.lost), int(Exit.NO_ENVIRONMENT))

    def judge(self, case: str, error: BaseException, report: pytest.TestReport, check: CheckContext | None) -> Outcome:
        """Derive the verdict from an exception in a case; collect evidence if the check has a context.

        An error during cleanup does not replace the failure of the check.
        """
        if self._verdicts.get(case) is Verdict.FAILED:
            self._details["reason"] += f"; while undoing: {_first_line(error)}"
            return "failed"
        if isinstance(error, CannotShow):
            verdict = Verdict.UNTESTABLE
            self._details = {"untestable": error.reason.name, "reason": str(error)}
        elif isinstance(error, AssertionError) and report.when == "call":
            verdict = Verdict.FAILED
            self._details = _failure(error)
        else:
            verdict = Verdict.ERROR
            where = {"setup": "before the check: ", "teardown": "while undoing: "}.get(report.when, "")
            lines = traceback.format_exception(error)
            self._details = {"reason": where + _first_line(error), "traceback": "".join(lines)[-4000:]}
        self._verdicts[case] = worst([verdict, self._verdicts.get(case, verdict)])
        if verdict is Verdict.UNTESTABLE:
            return "skipped"
        if check is not None and self.directory is not None:
            evidence.keep(check, self.directory)
        return "failed"

    def called(self) -> None:
        """Note that the check of the case was executed."""
        self._called = True

    def finish(self, case: str, node: str) -> None:
        """End a case: its verdict is the one from `judge`, or `passed` if the check was executed."""
        verdict = self._verdicts.get(case, Verdict.PASSED)
        if verdict is Verdict.PASSED and not self._called:
            verdict = Verdict.ERROR
            self._details = {"reason": "the check was not executed: an option of pytest left it out (--setup-plan)"}
        self._verdict(case, node, verdict, **self._details)
        self.journal.case = None

    def cut_short(self, case: str, node: str) -> None:
        """Discard the verdict of an interrupted case, unless its failure was already proven."""
        if self._verdicts.get(case) is Verdict.FAILED:
            self._details["reason"] += "; the run was stopped while the evidence was kept"
            self._verdict(case, node, Verdict.FAILED, **self._details)
        else:
            self._verdict(case, node, Verdict.ERROR, reason="cut short: the run was stopped while it was judged")
        self.journal.case = None

    def _verdict(self, case: str, node: str, verdict: Verdict, **details: Any) -> None:  # noqa: ANN401 - JSON
        self._verdicts[case] = verdict
        seconds = round(time.monotonic() - self._case_began, 3) if node else 0.0
        self.journal.write("check.finished", case=case, node=node, verdict=verdict.value, seconds=seconds, **details)


def _exit(error: BaseException | None) -> Exit | None:
    """Return the exit code of a run that ended early; None when the verdicts decide it."""
    if isinstance(error, WorkerError):
        return error.exit
    if isinstance(error, (LabError, ApiUnreachable)) or of_environment(error):
        return Exit.NO_ENVIRONMENT
    stopped = (KeyboardInterrupt, SystemExit, pytest.exit.Exception, pytest.Session.Interrupted, pytest.Session.Failed)
    expected = (EventuallyFailed, ApiError, *stopped)
    return None if error is None or isinstance(error, expected) else Exit.BUG


def _failure(error: AssertionError) -> dict[str, Any]:
    if isinstance(error, (EventuallyFailed, ConsistentlyFailed)):
        return {"reason": _first_line(error), "expected": error.what, "observed": error.seen}
    return {"reason": _first_line(error)}


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


def _color() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ


def _width() -> int:
    import shutil  # noqa: PLC0415 - once, at the end

    return min(shutil.get_terminal_size((100, 24)).columns, 120)
