"""`lbproof list --coverage`: what stands behind each requirement, and no claim without a recorded run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from click.testing import CliRunner
from tests.suite.sources import FAILS, PASSES

from lbproof.run.cli import cli
from lbproof.run.coverage import Seen, coverage, killers, proofs, seen
from lbproof.spec import REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.suite.conftest import Run

ROOT = Path(__file__).parents[2]


def row(name: str, verdict: str = "passed", lab: str = "netns", who: str = "acme") -> Seen:
    """A recorded verdict."""
    return Seen(implementation=who, version="2", lab=lab, name=name, verdict=verdict, day="2026-11-27")


def test_each_case_has_a_check() -> None:
    """Of the sources, with the function that proves it."""
    assert proofs().keys() == {case for one in REQUIREMENTS.values() for case in one.case_ids}
    assert proofs()["FAIL-05"].module == "lbproof.checks.fail.test_another_node_takes_over"


def test_without_a_recorded_run_nobody_passes() -> None:
    """Neither labs nor implementations are named."""
    found = coverage(REQUIREMENTS["POOL-03"], [])

    assert (found.labs, found.passes, found.fails) == ((), (), ())
    assert ("passes", "no recorded run") in found.lines()


def test_who_passed_is_told_with_lab_and_part() -> None:
    """A violation is told too, and takes the pass away; what is not claimed is no part."""
    cases = REQUIREMENTS["POOL-03"].case_ids
    recorded = [
        *(row(case) for case in cases),
        *(row(case, "passed" if case != cases[1] else "untestable", lab="kind") for case in cases),
        *(row(case, "passed" if case != cases[1] else "unsupported", who="other") for case in cases),
        *(row(case, "passed" if case != cases[1] else "failed", who="wrong") for case in cases),
        *(row(case, "untestable", who="unseen", lab="existing") for case in cases),
        row("L2-01", "failed"),
    ]

    found = coverage(REQUIREMENTS["POOL-03"], recorded)

    of = len(cases)
    assert found.labs == ("kind", "netns")
    assert found.passes == (f"acme 2 in kind ({of - 1} of {of} verdicts)", "acme 2 in netns", "other 2 in netns")
    assert found.fails == ("wrong 2 in netns",)


def test_a_verdict_of_some_cases_alone_is_a_part() -> None:
    """A run of one case does not show the others."""
    found = coverage(REQUIREMENTS["POOL-03"], [row("POOL-03a")])

    assert found.passes == (f"acme 2 in netns (1 of {len(REQUIREMENTS['POOL-03'].case_ids)} verdicts)",)


def test_the_list_says_what_stands_behind_a_requirement() -> None:
    """Check, mutants by case, labs and implementations; as JSON with the names of the mutants."""
    shown = CliRunner().invoke(cli, ["list", "--coverage", "l2-03", "L2-04a"]).output
    (nonic, silent) = json.loads(CliRunner().invoke(cli, ["list", "--coverage", "--json", "L2-03", "L2-04"]).output)

    assert "checks/l2/test_the_address_is_on_no_interface.py" in shown
    assert [line for line in shown.splitlines() if line.startswith("L2-0")] == [
        f"{name:<10}  {REQUIREMENTS[name].level:6}  {REQUIREMENTS[name].text}" for name in ("L2-03", "L2-04")
    ]
    assert nonic["mutants"]["L2-03"] == list(killers()["L2-03"])
    assert silent["mutants"].keys() == set(REQUIREMENTS["L2-04"].case_ids)


def recorded(path: Path, done: Run) -> subprocess.CompletedProcess[str]:
    """Record a run in a file."""
    argv = [sys.executable, str(ROOT / "tools" / "record_run.py"), "--into", str(path), str(done.directory)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_a_run_is_recorded(run: Callable[..., Run], tmp_path: Path) -> None:
    """With implementation, lab and day; a later run of it replaces what it judged again."""
    path = tmp_path / "seen.csv"
    first = run(FAILS)
    assert recorded(path, first).returncode == 0
    rows = {one.name: one for one in seen(path)}
    assert (rows["POOL-01"].verdict, rows["L2-01"].verdict) == ("passed", "failed")
    assert rows["POOL-01"].day == first.report["at"][:10]

    again = run(PASSES + '@proves("L2-01")\ndef test_holds(check): pass\n', "--requirement", "L2-01")
    assert recorded(path, again).returncode == 0
    told = {one.name: one.verdict for one in seen(path) if one.verdict != "unsupported"}
    assert told == {"POOL-01": "passed", "L2-01": "passed"}


def test_a_run_that_is_not_valid_is_not_recorded(run: Callable[..., Run], tmp_path: Path) -> None:
    """One line says why, and nothing is written."""
    path, done = tmp_path / "seen.csv", run(FAILS)
    (done.directory / "report.json").write_text(json.dumps(done.report | {"conclusion": "conformant"}))

    asked = recorded(path, done)

    assert asked.returncode == 1
    assert "not recorded: conclusion: is conformant" in asked.stderr
    assert not path.exists()
