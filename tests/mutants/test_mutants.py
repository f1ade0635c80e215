"""Each mutant fails the cases that are named for it: a check that no wrong implementation can fail proves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.mutants.broken import MUTANTS, Mutant

from lbproof.run.schedule import labs_that_pay
from lbproof.spec import Level
from lbproof.spec.requirements import of_case

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]


def judged(
    implementation: str, cases: Iterable[str], results: Path, *, limit: float, labs: int = 0
) -> tuple[int, dict[str, str]]:
    """The exit code of a run of these cases (of all for none), and the verdict of each; `labs` 0: what pays."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "lbproof", "run", "--implementation", implementation, "--results", str(results)),
            *("--budget", "serves=4", "--budget", "reclaimed=5", "--labs", str(labs)),
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


class Runs:
    """Runs of the mutants that were selected, as many at once as this machine carries labs."""

    def __init__(self, mutants: Iterable[Mutant], folder: Path) -> None:
        """Start them in the order of their tests."""
        self._pool = ThreadPoolExecutor(labs_that_pay(len(MUTANTS)))
        self._runs = {mutant.name: self._pool.submit(self._run, mutant, folder / mutant.name) for mutant in mutants}

    def __getitem__(self, mutant: Mutant) -> tuple[int, dict[str, str]]:
        """Exit code and verdicts of the run of a mutant, once it has ended."""
        return self._runs[mutant.name].result()

    @staticmethod
    def _run(mutant: Mutant, results: Path) -> tuple[int, dict[str, str]]:
        adapter = f"tests.mutants.adapter:{mutant.name.replace('-', '_')}"
        return judged(adapter, mutant.cases, results, limit=290, labs=1)

    def close(self) -> None:
        """Start no more; wait for those that run."""
        self._pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """The runs of all mutants whose tests were selected."""
    selected: list[Any] = [
        item.callspec.params["mutant"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
    ]
    made = Runs(selected, tmp_path_factory.mktemp("mutants"))
    yield made
    made.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_each_case_that_is_named_for_it_catches_it(mutant: Mutant, runs: Runs) -> None:
    """By a verdict `failed` and not by an error; the run ends as not conformant where a requirement binds."""
    code, verdicts = runs[mutant]

    assert verdicts == dict.fromkeys(mutant.cases, "failed")
    assert code == (0 if all(of_case(case).level is Level.SHOULD for case in mutant.cases) else 1)


@pytest.mark.timeout(600)
def test_the_unbroken_reference_passes_every_case(tmp_path: Path) -> None:
    """In several labs, as `make conformance` judges it: what catches a mutant catches it for its fault."""
    code, verdicts = judged("reference", [], tmp_path, limit=590)

    assert {case: verdict for case, verdict in verdicts.items() if verdict != "passed"} == {}
    assert code == 0
