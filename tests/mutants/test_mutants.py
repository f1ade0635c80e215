"""Each mutant fails the case that is named for it: a check that no wrong implementation can fail proves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.mutants.broken import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_the_case_that_is_named_for_it_catches_it(mutant: Mutant, tmp_path: Path) -> None:
    """The run ends as not conformant, by a verdict `failed` and not by an error."""
    adapter = f"tests.mutants.adapter:{mutant.name.replace('-', '_')}"
    run = subprocess.run(
        [
            *(sys.executable, "-m", "lbproof", "run", "--implementation", adapter),
            *("--requirement", mutant.case, "--results", str(tmp_path)),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )

    report = json.loads((tmp_path / "latest" / "report.json").read_text())
    verdicts = {case["id"]: case["verdict"] for r in report["requirements"] for case in r["cases"]}
    assert verdicts == {mutant.case: "failed"}, run.stderr
    assert run.returncode in {0, 1}
