"""Each mutant fails the cases named for it: a check that no implementation fails is useless."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.mutants.broken import MUTANTS, Mutant

from lbproof.spec import Level
from lbproof.spec.requirements import of_case

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]


def judged(implementation: str, cases: Iterable[str], results: Path, *, limit: float) -> tuple[int, dict[str, str]]:
    """Run these cases; return the exit code and the verdict of each case."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "lbproof", "run", "--implementation", implementation, "--results", str(results)),
            *("--budget", "serves=4", "--budget", "reclaimed=5"),
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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_each_case_that_is_named_for_it_catches_it(mutant: Mutant, tmp_path: Path) -> None:
    """Each case fails with the verdict `failed`, and the run is not conformant if a requirement is mandatory."""
    adapter = f"tests.mutants.adapter:{mutant.name.replace('-', '_')}"

    code, verdicts = judged(adapter, mutant.cases, tmp_path, limit=290)

    assert verdicts == dict.fromkeys(mutant.cases, "failed")
    assert code == (0 if all(of_case(case).level is Level.SHOULD for case in mutant.cases) else 1)


@pytest.mark.timeout(300)
def test_the_unbroken_reference_fails_none_of_them(tmp_path: Path) -> None:
    """The reference without a fault passes the same cases."""
    cases = sorted({case for mutant in MUTANTS.values() for case in mutant.cases})

    code, verdicts = judged("reference", cases, tmp_path, limit=290)

    assert verdicts == dict.fromkeys(cases, "passed")
    assert code == 0
