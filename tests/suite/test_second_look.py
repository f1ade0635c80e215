"""`--second-look`: what did not pass is judged again at the end, and what passes only then is flaky and never clean."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest
from tests.suite.sources import HEAD, PASSES

from lbproof.report import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.suite.conftest import Run

LOOKS = (
    HEAD
    + """
from pathlib import Path
here = Path(__file__).parent

def look(name, *looks):
    \"\"\"Do in each look at a case what `looks` say: raise an exception, or nothing.\"\"\"
    seen = here / name
    number = len(seen.read_text()) if seen.exists() else 0
    with seen.open("a") as file, (here / "order").open("a") as order:
        file.write("x")
        order.write(name + " ")
    if any(looks[number:][:1]):
        raise looks[number]

def wrong(text): return AssertionError(text)

@proves("POOL-01")
def test_steady(check): look("POOL-01", None)
@proves("L2-01", disruptive=True)
def test_flaky(check):
    check.undo.later("nothing", lambda: None)
    if not (here / "L2-01").exists():
        look("L2-01", None)
        assert 1 == 2, "two nodes answer"
    look("L2-01", None, None)
@proves("L2-02")
def test_failed_twice(check):
    assert look("L2-02", None, None) == 1, f"look {len((here / 'L2-02').read_text())}"
@proves("L2-03")
def test_error(check): look("L2-03", OSError("no space"), None)
@proves("L2-06")
def test_broken_then_wrong(check):
    look("L2-06", OSError("no space"), None)
    assert 1 == 2, "announced late"
@proves("L2-07")
def test_wrong_then_broken(check):
    if not (here / "L2-07").exists():
        look("L2-07", None)
        assert 1 == 2, "not announced"
    look("L2-07", None, OSError("no space"))
@proves("ETP-02")
def test_waits_for_a_moment(check): look("ETP-02", CannotShow(Untestable.NOT_PROVOKED, "no move"), None)
@proves("EVT-02", "a")
def test_cannot_show(check): look("EVT-02a", CannotShow(Untestable.TOO_FEW_NODES, "2 nodes"))
"""
)


def looked(done: Run) -> dict[str, tuple[str, bool]]:
    """Case → verdict, and whether it is flaky."""
    cases = [c for r in done.report["requirements"] for c in r["cases"] if c["verdict"] != "unsupported"]
    return {c["id"]: (c["verdict"], c["flaky"]) for c in cases}


@pytest.mark.parametrize("labs", ["1", "2"])
def test_what_did_not_pass_is_judged_again_at_the_end(run: Callable[..., Run], tmp_path: Path, labs: str) -> None:
    """The better of two looks counts only where it passed, as flaky; a violation is never taken back by an error."""
    done = run(LOOKS, "--second-look", "--labs", labs)

    assert looked(done) == {
        "POOL-01": ("passed", False),
        "L2-01": ("passed", True),
        "L2-02": ("failed", False),
        "L2-03": ("passed", True),
        "L2-06": ("failed", False),
        "L2-07": ("failed", False),
        "ETP-02": ("passed", True),
        "EVT-02a": ("untestable", False),
    }, done.screen
    order = (tmp_path / "checks" / "order").read_text().split()
    again = {"L2-01", "L2-02", "L2-03", "L2-06", "L2-07", "ETP-02"}
    assert sorted(order[-6:]) == sorted(again)
    assert sorted(order[:-6]) == sorted([*again, "POOL-01", "EVT-02a"])
    assert done.exit == 1
    assert verify.verify(done.directory) == []


def test_a_case_that_is_flaky_is_not_clean(run: Callable[..., Run]) -> None:
    """The conclusion is inconclusive; every report says that only the second look passed, and what the first saw."""
    done = run(LOOKS, "--second-look", "--labs", "1", "--requirement", "L2-01", "--requirement", "POOL-01")

    assert (done.exit, done.report["conclusion"]) == (2, "inconclusive")
    (case,) = [c for r in done.report["requirements"] for c in r["cases"] if c["id"] == "L2-01"]
    assert case["reason"].startswith("passed only on a second look; the first: failed: two nodes answer")
    assert "passed, flaky" in (done.directory / "report.html").read_text()
    assert "second look" in done.screen
    assert "1 passed, 1 flaky" in done.screen
    suite: Any = ET.parse(done.directory / "junit.xml").getroot()  # noqa: S314 - written by the run
    (error,) = suite.iter("error")
    assert error.attrib["type"] == "flaky"
    assert suite.attrib["errors"] == "1"
    assert len(done.events("check.finished")) == 3
    assert verify.verify(done.directory) == []


def test_a_lenient_case_that_is_flaky_changes_no_conclusion(run: Callable[..., Run]) -> None:
    """As its failure does not; it is shown all the same."""
    source = LOOKS.replace('"L2-01", disruptive=True', '"PEND-02"')
    done = run(source, "--second-look", "--labs", "1", "--requirement", "PEND-02", "--requirement", "POOL-01")

    assert (done.exit, done.report["conclusion"]) == (0, "partial"), done.screen


def test_a_report_that_hides_a_second_look_is_not_valid(run: Callable[..., Run]) -> None:
    """Neither the mark nor the conclusion can be changed."""
    done = run(LOOKS, "--second-look", "--labs", "1", "--requirement", "L2-01")
    report = done.directory / "report.json"
    told = json.loads(report.read_text())
    told |= {"conclusion": "partial", "exit": 0}
    report.write_text(json.dumps(told))

    assert any("conclusion: is partial, but the verdicts give inconclusive" in line for line in verify.verify(report))


def test_without_the_option_nothing_is_judged_again(run: Callable[..., Run]) -> None:
    """One look at each case."""
    done = run(LOOKS, "--labs", "1")

    assert looked(done)["L2-01"] == ("failed", False)
    assert len(done.events("check.finished")) == len({event["case"] for event in done.events("check.finished")})


def test_nothing_is_looked_at_again_when_all_passes(run: Callable[..., Run]) -> None:
    """There is no stage of second looks."""
    done = run(PASSES, "--second-look")

    assert [event["name"] for event in done.events("stage") if event["name"] == "second look"] == []


def test_a_flaky_case_is_judged_by_a_rerun(run: Callable[..., Run]) -> None:
    """`--rerun` chooses it, though its verdict is passed."""
    done = run(LOOKS, "--second-look", "--labs", "1", "--requirement", "L2-01", "--requirement", "POOL-01")
    again = run(LOOKS, "--rerun", str(done.directory), "--labs", "1")

    assert again.verdicts() == {"L2-01": "passed"}


def test_the_evidence_of_both_looks_is_kept(run: Callable[..., Run]) -> None:
    """That of the second does not replace that of the first."""
    done = run(LOOKS, "--second-look", "--labs", "1", "--requirement", "L2-02")

    folders = {path.name for path in (done.directory / "evidence").iterdir()}
    assert folders == {"L2-02", "L2-02-second-look"}
