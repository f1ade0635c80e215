"""Each mutant fails the cases that are named for it: a check that no wrong implementation can fail proves nothing."""

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
    """The exit code of a run of these cases, and the verdict of each."""
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
    """By a verdict `failed` and not by an error; the run ends as not conformant where a requirement binds."""
    adapter = f"tests.mutants.adapter:{mutant.name.replace('-', '_')}"

    code, verdicts = judged(adapter, mutant.cases, tmp_path, limit=290)

    assert verdicts == dict.fromkeys(mutant.cases, "failed")
    assert code == (0 if all(of_case(case).level is Level.SHOULD for case in mutant.cases) else 1)


@pytest.mark.timeout(300)
def test_the_unbroken_reference_fails_none_of_them(tmp_path: Path) -> None:
    """What catches a mutant catches it for its fault."""
    cases = sorted({case for mutant in MUTANTS.values() for case in mutant.cases})

    code, verdicts = judged("reference", cases, tmp_path, limit=290)

    assert verdicts == dict.fromkeys(cases, "passed")
    assert code == 0
