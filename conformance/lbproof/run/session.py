"""Session of one run: boot, install, judge, conclude, take down, report.

The events of the run are its only output; all reports are generated from them at the end, also after a failed boot or
Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import pytest

from lbproof import __version__
from lbproof.adapters.installed import load
from lbproof.adapters.validation import validate_claims
from lbproof.context import CheckContext, RunContext
from lbproof.files import of_environment
from lbproof.lab import provide
from lbproof.lab.base import LabError
from lbproof.report import bundle, model, signature, terminal
from lbproof.run import rerun
from lbproof.run.failures import exit_code_of, first_line, is_install_failure
from lbproof.run.folder import new_folder
from lbproof.run.lab import RunLab
from lbproof.run.schedule import Schedule
from lbproof.run.verdicts import VerdictRecorder
from lbproof.spec import (
    BUDGETS,
    PROFILES,
    REQUIREMENTS,
    SPEC_VERSION,
    BadOption,
    Conclusion,
    Exit,
    UnknownName,
    Verdict,
    claims,
    conclude,
    lacking,
    scope_of,
)
from lbproof.spec.events import FORMAT
from lbproof.spec.requirements import families_of, is_of_family_not_claimed, of_case
from lbproof.witnesses.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lbproof.run.options import Options
    from lbproof.run.schedule import Check

_SEEDS = 1_000_000
"""Number of seeds that a run chooses from, short enough to be typed."""


class ParallelLabs(Protocol):
    """Labs of a run in worker processes of their own, which boot, install and execute checks at the same time."""

    def boot(self) -> dict[str, str]:
        """Boot all labs; return the description of the first one."""
        ...

    def install(self) -> None:
        """Install the implementation in all labs."""
        ...

    def judge_alone(self, index: int) -> None:
        """Execute one check while the other labs have nothing to do."""
        ...

    def judge(self, checks: Sequence[Check]) -> None:
        """Execute all checks."""
        ...

    def stop(self) -> None:
        """Interrupt the running checks and wait until their events have arrived."""
        ...

    def close(self) -> None:
        """Take all labs down."""
        ...

    def kill(self) -> None:
        """Kill all workers."""
        ...


class Session:
    """A run: `open` boots and installs, `close` takes down, concludes and writes the report."""

    def __init__(self, options: Options, *, command: list[str]) -> None:
        """Resolve names without starting anything. Raises `pytest.UsageError` for an unknown implementation."""
        self.options = options
        self.command = command
        try:
            self.adapter = load(options.implementation, "--implementation")
            self.claimed = claims(options.features or self.adapter.features)
            validate_claims(self.adapter, self.claimed, options.implementation)
            again = rerun.cases(options.rerun, self.adapter.name) if options.rerun else ()
            self.order, self.not_run = options.cases(self.claimed, again)
        except (UnknownName, BadOption, model.BadRun) as error:
            raise pytest.UsageError(str(error)) from None
        self.selected: list[str] = []
        """Cases of `order` that pytest kept (`-k`, `-m` and node IDs can deselect more)."""
        self.begins: list[Callable[[RunContext], None]] = []
        """Functions that start background activities before the first check."""
        self.summary: list[str] = []
        self.exit: Exit | None = None
        self.directory: Path | None = None
        self.stopped_by: BaseException | None = None
        """Reason why the run ended before its last check."""
        self.seed = options.seed or secrets.randbelow(_SEEDS) + 1
        self.lab = RunLab(options, self.adapter, self.claimed, seed=self.seed)
        self.labs = 1
        """Number of parallel labs."""
        self.workers: ParallelLabs | None = None
        """Worker processes of the labs; None in a run with one lab."""
        self._running = False
        self._note = ""
        self._checks_began: float | None = None

    def may_judge(self, name: str) -> bool:
        """Return whether there is such a verdict in a run: not for a further family that is not claimed."""
        return not is_of_family_not_claimed(name, self.claimed)

    def schedule(self, checks: Sequence[Check]) -> Schedule:
        """Return the order of checks, which `--random-order` draws from the seed."""
        drawn = random.Random(self.seed) if self.options.random_order else None  # noqa: S311 - no secret
        return Schedule.of(checks, drawn)

    # --- the run

    def open(self, fork_workers: Callable[[], ParallelLabs]) -> None:
        """Boot the labs and install the implementation; close the run on failure.

        `fork_workers` is called when there are several labs. An unusable given lab or an unwritable folder is an error
        before the run begins.
        """
        try:
            self.lab.reserve()
            self.directory = new_folder(self.options.results, self.adapter.name)
            self.journal = Journal(self.directory / "events.ndjson")
        except (LabError, OSError) as error:
            self._give_up(error)
        self.verdicts = VerdictRecorder(self.journal, self.directory, self.claimed)
        self._running = True
        self.live = terminal.LiveTerminal(
            sys.__stderr__ or sys.stderr, color=_color(), width=_width(), stages=self.lab.stages
        )
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
            seed=self.seed,
            command=self.command,
        )
        for case, why in self.not_run.items():
            verdict, _, reason = why.partition(": ")
            self.verdicts.record(case, "", Verdict(verdict), reason=reason)
        try:
            if self.labs > 1:
                self._progress(f"{self.labs} labs in parallel; --labs 1 uses one lab")
                self.workers = fork_workers()
            self._begin()
        except BaseException as error:
            self.stopped_by = error
            self.lab.keep_logs(self.directory / "logs")
            self.close()
            if exit_code_of(error) is Exit.NO_ENVIRONMENT:
                pytest.exit(f"no usable environment: {self._note}", returncode=int(Exit.NO_ENVIRONMENT))
            if is_install_failure(error):
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
        usual = "longest first" if self.labs > 1 else "that of the specification"
        order = "random, drawn from the seed" if self.options.random_order else usual
        self.journal.write(
            "environment", facts=facts | {"labs": str(self.labs), "seed": str(self.seed), "order of cases": order}
        )
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
        """Install the implementation in the lab of this process, start background activities and standing witnesses."""
        self.lab.install(self.journal, self._budgets, begins, self._progress)
        self.lab.watch(self.judges)

    def judges(self, requirement: str) -> bool:
        """Return whether a requirement is judged: claimed, in the profile, and not skipped by the operator."""
        wanted = REQUIREMENTS[requirement]
        names = filter(self.may_judge, wanted.names)
        features = PROFILES[self.options.profile].features
        return not (
            lacking(wanted.needs, self.claimed)
            or lacking(wanted.needs, features)
            or all(self.not_run.get(name, "").startswith("skipped") for name in names)
        )

    def _progress(self, line: str) -> None:
        self.journal.write("stage", name="progress", phase="begin", note=line)

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        self.journal.write("stage", name=name, phase="begin")
        yield
        self.journal.write("stage", name=name, phase="end", seconds=round(time.monotonic() - began, 3))

    def look_again(self, indices: Mapping[str, int], judge: Callable[[int], object]) -> None:
        """With `--second-look`, judge cases that did not pass again, one after the other, while nothing else runs.

        `indices`: case → index of its check; `judge` executes one in this process.
        """
        cases = self.verdicts.worth_a_second_look() if self.options.second_look else []
        self._end_checks()
        if not cases:
            return
        with self._stage("second look"):
            for case in cases:
                self.verdicts.look_again(case)
                if self.workers:
                    self.workers.judge_alone(indices[case])
                else:
                    judge(indices[case])

    def _end_checks(self) -> None:
        if self._checks_began is not None:
            seconds = round(time.monotonic() - self._checks_began, 3)
            self.journal.write("stage", name="checks", phase="end", seconds=seconds)
            self._checks_began = None

    def close(self) -> None:
        """Take down, conclude and write the report, once; what the lab keeps of the run is told, and no verdict."""
        if not self._running:
            return
        self._running, error = False, self.stopped_by
        if self.workers:
            self._stop(self.workers)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._note = "interrupted"
        elif error is not None:
            self._note = of_environment(error) or str(error)
        self._end_checks()
        self.verdicts.end_unreached(self.selected, self._note or "the run ended early")
        kept: BaseException | None = None
        try:
            with self._stage("teardown"):
                if self.workers:
                    self.workers.close()
                else:
                    self.lab.take_down(looks_again=error is None)
        except Exception as failure:
            if exit_code_of(failure) is Exit.BUG:
                raise
            kept = failure
        finally:
            self._conclude(error or kept)
        if kept:
            self.summary.append(f"lbproof: the lab may hold objects of this run still: {first_line(kept)}")

    def _stop(self, workers: ParallelLabs) -> None:
        """Interrupt the workers; a second interrupt kills them immediately."""
        try:
            workers.stop()
        except BaseException:
            workers.kill()
            raise

    def _conclude(self, error: BaseException | None) -> None:
        scope = scope_of(
            self.options.profile,
            self.claimed,
            {case: verdict for case, verdict in self.verdicts.reached.items() if verdict is not Verdict.SKIPPED},
        )
        conclusion = conclude(
            [
                *((of_case(case).level, verdict) for case, verdict in self.verdicts.verdicts.items()),
                *self.verdicts.standing,
            ],
            whole=scope.whole,
            not_claimed=scope.not_claimed,
            flaky=[of_case(case).level for case in self.verdicts.flaky],
        )
        self.exit = Exit.of(conclusion)
        if conclusion is not Conclusion.NOT_CONFORMANT:  # a proven verdict stays valid whatever fails afterwards
            self.exit = exit_code_of(error) or self.exit
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
            failed = [case for case, verdict in self.verdicts.verdicts.items() if verdict is Verdict.FAILED]
            self.summary += [f"{self.adapter.name}: failed {', '.join(failed)}"] if failed else []
            self.summary.append(f"lbproof: the report could not be written: {line}")

    def _report(self) -> None:
        """Write all reports from the events and store the closing lines. Raises `OSError`."""
        directory = self.directory
        assert directory is not None  # noqa: S101 - set on entering, for the type checker
        if self.journal.lost:
            if self.exit is not Exit.NOT_CONFORMANT:
                self.exit = Exit.NO_ENVIRONMENT
            self._note = f"stopped, because events could not be written: {of_environment(self.journal.lost)}"
        bundle.write(directory)
        self.summary = terminal.summary(model.read(directory), width=_width())
        if self.options.sign:
            try:
                signature.sign(directory, self.options.sign)
            except BadOption as error:
                again = f"sign it with lbproof report sign {directory} --key {self.options.sign}"
                self.summary.append(f"lbproof: the report is not signed: {error}; {again}")
        self.summary += self.lab.remaining()
        if self.exit is Exit.NO_ENVIRONMENT or self.journal.lost:
            self.summary.append(f"lbproof: no usable environment: {self._note}")

    # --- one case

    @property
    def context(self) -> RunContext:
        """Return the context shared by all cases. Raises `RuntimeError` outside the run."""
        return self.lab.context

    def check(self, case: str) -> CheckContext:
        """Create a context for the check of one case, for the family that the name of its verdict has."""
        return CheckContext(self.context, case, families=families_of(case))


def _color() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ


def _width() -> int:
    import shutil  # noqa: PLC0415 - once, at the end

    return min(shutil.get_terminal_size((100, 24)).columns, 120)
