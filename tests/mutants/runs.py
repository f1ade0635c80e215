"""Runs of the suite on mutants, in labs that several of them use one after the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.mutants.labs import Labs

from lbproof.lab.netns.provider import NetnsProvider
from lbproof.report.jsonreport import Report
from lbproof.run.schedule import labs_that_pay
from lbproof.spec import REQUIREMENTS, Level
from lbproof.spec.requirements import exactly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.mutants.mutant import Mutant

CLEAN = {"passed", "unsupported"}
"""Verdicts of an implementation that keeps every promise."""
WHOLE_SECONDS = 2400
"""Most seconds for a run of all cases, for both families."""
REPORTED = pytest.StashKey[list[str]]()
"""Lines for the terminal: cases that failed at another line than the matrix says."""
NOT_DRAWN = pytest.StashKey[list[str]]()
"""Verdicts that the run of the unbroken reference leaves out."""
ROOT = Path(__file__).parents[2]
BUDGETS = {
    **dict.fromkeys(("failover", "second_failover", "one_answerer"), 8),
    **dict.fromkeys(("api_away", "api_back"), 8),
    "handed_over": 1,
    **dict.fromkeys(("restarted", "workload_ready", "namespace_emptied"), 90),
}
"""Seconds for the reference with and without a fault: less than the defaults where a mutant is waited for to the end.

More for what is not judged: several labs run at once. Budgets of 5 s and less stay as they are: a machine that runs
several labs may need them.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a run of the suite found."""

    code: int
    """Exit code."""
    verdicts: dict[str, str]
    """Case, with the family where it is a further one → verdict."""
    standing: bool
    """Whether a standing witness found a violation of what binds too."""
    lines: dict[str, str]
    """Case → line of its check that failed: its own assertion, or a step before it."""


def judged(
    implementation: str,
    cases: Iterable[str],
    results: Path,
    *,
    limit: float,
    place: Iterable[str] = (),
    skip: Iterable[str] = (),
) -> Judged:
    """Run these cases (default: all but those to `skip`) where the options of `place` say.

    A case is judged for the first of its families alone: the check is the same for the other. A fault of the other
    names the verdict (`L2-01-IPv6`).
    """
    run = subprocess.run(
        [
            *(sys.executable, "-m", "lbproof", "run", "--implementation", implementation, "--results", str(results)),
            *place,
            *(word for name, most in BUDGETS.items() for word in ("--budget", f"{name}={most}")),
            *(("--budget", "at_rest=10") if cases else ()),  # some mutants never come to rest
            *(word for case in cases for word in ("--requirement", exactly(case))),
            *(word for name in skip for word in ("--skip", name)),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
    )
    assert (results / "latest" / "report.json").exists(), run.stderr
    report = Report.model_validate_json((results / "latest" / "report.json").read_bytes())
    verdicts: dict[str, str] = {case.name: case.verdict for row in report.requirements for case in row.cases}
    events = map(json.loads, (results / "latest" / "events.ndjson").read_text().splitlines())
    lines = {row["case"]: row["where"] for row in events if row["event"] == "check.finished" and row.get("where")}
    standing = any(row.standing and REQUIREMENTS[row.id].level is not Level.SHOULD for row in report.requirements)
    return Judged(code=run.returncode, verdicts=verdicts, standing=standing, lines=lines)


class Runs:
    """Runs of mutants, as many in parallel as this machine can run labs, or as `labs` says."""

    def __init__(
        self, mutants: Iterable[Mutant], folder: Path, *, labs: int = 0, then: Callable[[Mutant, Judged], None]
    ) -> None:
        """Start the runs, those with the most cases first; call `then` after each."""
        mutants = sorted(mutants, key=lambda mutant: len(mutant.cases), reverse=True)
        number = labs or min(labs_that_pay(100, NetnsProvider().capacity()), os.cpu_count() or 1)
        self._labs, self._then = Labs(number), then
        self._pool = ThreadPoolExecutor(number)
        self._runs = {mutant.name: self._pool.submit(self._run, mutant, folder / mutant.name) for mutant in mutants}

    def __getitem__(self, mutant: Mutant) -> Judged:
        """Wait for the run of a mutant and return what it found."""
        return self._runs[mutant.name].result()

    def _run(self, mutant: Mutant, results: Path) -> Judged:
        adapter = f"tests.mutants.adapter:{mutant.name.replace('-', '_')}"
        with self._labs.lent() as lab:
            found = judged(adapter, mutant.cases, results, limit=560, place=("--lab", lab))
        self._then(mutant, found)
        return found

    def close(self) -> None:
        """Cancel queued runs; wait for the running ones; take the labs down."""
        self._pool.shutdown(cancel_futures=True)
        self._labs.close()
