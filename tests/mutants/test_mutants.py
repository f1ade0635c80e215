"""Each mutant fails the cases that are named for it: a check that no implementation fails is useless."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.mutants.catalogue import CAUGHT, Mutant
from tests.mutants.labs import Labs

from lbproof.lab.netns.provider import NetnsProvider
from lbproof.run.schedule import labs_that_pay
from lbproof.spec import Level
from lbproof.spec.requirements import of_case

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
BUDGETS = {
    **dict.fromkeys(("address_assigned", "refusal_visible", "announced", "serves", "silent"), 3),
    **dict.fromkeys(("reclaimed", "pool_applied", "event_seen", "annotation_seen"), 3),
    **dict.fromkeys(("failover", "second_failover", "one_answerer"), 8),
    **dict.fromkeys(("restarted", "workload_ready", "namespace_emptied"), 90),
}
"""Seconds for the reference with and without a fault: less than the defaults where a mutant is waited for to the end.

More for what is not judged: several labs run at once.
"""


def judged(
    implementation: str, cases: Iterable[str], results: Path, *, limit: float, place: Iterable[str] = ()
) -> tuple[int, dict[str, str]]:
    """Run these cases (default: all) where the options of `place` say; return exit code and verdicts."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "lbproof", "run", "--implementation", implementation, "--results", str(results)),
            *place,
            *(word for name, most in BUDGETS.items() for word in ("--budget", f"{name}={most}")),
            *(("--budget", "at_rest=10") if cases else ()),  # some mutants never come to rest
            *(word for case in cases for word in ("--requirement", case)),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
    )
    assert (results / "latest" / "report.json").exists(), run.stderr
    report = json.loads((results / "latest" / "report.json").read_text())
    return run.returncode, {case["id"]: case["verdict"] for r in report["requirements"] for case in r["cases"]}


def failed_at(results: Path) -> dict[str, str]:
    """Case → line of its check that failed: its own assertion, or a step before it."""
    rows = map(json.loads, (results / "latest" / "events.ndjson").read_text().splitlines())
    return {row["case"]: row["where"] for row in rows if row["event"] == "check.finished" and row.get("where")}


class Runs:
    """Runs of the selected mutants, as many in parallel as this machine can run labs."""

    def __init__(self, mutants: Iterable[Mutant], folder: Path) -> None:
        """Start the runs, those with the most cases first."""
        mutants = sorted(mutants, key=lambda mutant: len(mutant.cases), reverse=True)
        number = min(labs_that_pay(len(CAUGHT), NetnsProvider().capacity()), os.cpu_count() or 1)
        self._labs = Labs(number)
        self._pool = ThreadPoolExecutor(number)
        self._runs = {mutant.name: self._pool.submit(self._run, mutant, folder / mutant.name) for mutant in mutants}

    def __getitem__(self, mutant: Mutant) -> tuple[int, dict[str, str], dict[str, str]]:
        """Wait for the run of a mutant; return its exit code, its verdicts, and where its cases failed."""
        return self._runs[mutant.name].result()

    def _run(self, mutant: Mutant, results: Path) -> tuple[int, dict[str, str], dict[str, str]]:
        adapter = f"tests.mutants.adapter:{mutant.name.replace('-', '_')}"
        with self._labs.lent() as lab:
            code, verdicts = judged(adapter, mutant.cases, results, limit=560, place=("--lab", lab))
        return code, verdicts, failed_at(results)

    def close(self) -> None:
        """Cancel queued runs; wait for the running ones; take the labs down."""
        self._pool.shutdown(cancel_futures=True)
        self._labs.close()


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Runs of all mutants whose tests were selected."""
    selected: list[Any] = [
        item.callspec.params["mutant"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
    ]
    made = Runs(selected, tmp_path_factory.mktemp("mutants"))
    yield made
    made.close()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mutant", CAUGHT.values(), ids=CAUGHT)
def test_each_case_that_is_named_for_it_catches_it(mutant: Mutant, runs: Runs) -> None:
    """Each case fails with the verdict `failed`, and the run is not conformant if a requirement is mandatory.

    The line that failed is printed (`-rP`): a step before the case's own assertion proves nothing of that.
    """
    code, verdicts, lines = runs[mutant]
    for case, line in lines.items():
        print(f"{mutant.name}: {case} fails at {line}")  # noqa: T201 - the record

    assert lines.keys() == set(mutant.cases)
    assert verdicts == dict.fromkeys(mutant.cases, "failed")
    assert code == (0 if all(of_case(case).level is Level.SHOULD for case in mutant.cases) else 1)


@pytest.mark.timeout(600)
def test_the_unbroken_reference_passes_every_case(tmp_path: Path) -> None:
    """The reference without a fault passes every case within the same budgets, so no mutant fails by them alone."""
    code, verdicts = judged("reference", [], tmp_path, limit=590)

    assert {case: verdict for case, verdict in verdicts.items() if verdict != "passed"} == {}
    assert code == 0
