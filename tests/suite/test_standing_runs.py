"""A run with standing witnesses: a violation fails its requirement, a broken witness is an error of the run."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.suite.sources import PASSES

from lbproof.report import bundle

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.suite.conftest import Run

SEEN = ("POOL-01", "POOL-02")


def test_a_violation_fails_the_requirement_and_names_the_case_that_ran(run: Callable[..., Run]) -> None:
    """POOL-02 was not selected, and is failed; the report is valid."""
    done = run(PASSES, env={"FAKE_STANDING": "violation"})

    assert done.exit == 1, done.screen
    assert done.verdicts() == {"POOL-01": "passed"}
    assert [(row["id"], row["verdict"]) for row in done.report["requirements"] if row["id"] in SEEN] == [
        ("POOL-01", "passed"),
        ("POOL-02", "failed"),
    ]
    assert "while POOL-01 ran: 192.0.2.170 was given to ns/b while ns/a had it" in " ".join(done.screen.split())
    assert bundle.verify(done.directory) == []


def test_plain_pytest_fails_as_well(run: Callable[..., Run]) -> None:
    """All tests passed, and pytest's exit is 1."""
    command = [sys.executable, "-m", "fake_lab", "run", "--results", "runs", "--", "-q"]
    done = run(PASSES, command=command, env={"FAKE_STANDING": "violation"}, home=True)

    assert done.exit == 1, done.screen


def test_a_broken_witness_is_an_error_of_the_run(run: Callable[..., Run]) -> None:
    """The case passed; the run is inconclusive and says why."""
    done = run(PASSES, env={"FAKE_STANDING": "broken"})

    assert done.exit == 2, done.screen
    assert done.verdicts() == {"POOL-01": "passed"}
    assert done.report["witnesses"]["services"]["state"] == "broken"
    assert "the API server does not answer" in " ".join(done.screen.split())
    assert bundle.verify(done.directory) == []


def test_a_requirement_that_the_operator_skipped_is_not_judged(run: Callable[..., Run]) -> None:
    """The run is inconclusive for the skipped requirement, as without a witness."""
    done = run(PASSES, "--skip", "POOL-02", env={"FAKE_STANDING": "violation"})

    assert done.exit == 2, done.screen
    assert "while POOL-01 ran" not in " ".join(done.screen.split())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"observed": []}, "its observations do not show it"),
        ({"promise": "own-mac"}, "no such promise of this requirement"),
        ({"during": "FAIL-02"}, "FAIL-02, which is said to have run, is no case of the run"),
        ({"end": 9999.0}, "s in a run of"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_a_forged_violation_is_found(run: Callable[..., Run], change: dict[str, Any], problem: str) -> None:
    """A violation is judged again by its observations, and compared with the run."""
    done = run(PASSES, env={"FAKE_STANDING": "violation"})
    told = done.report
    told["requirements"][1]["standing"][0] |= change

    (done.directory / "report.json").write_text(json.dumps(told))
    found = bundle.verify(done.directory)

    assert any(problem in line for line in found), found
    assert "report.json: what standing witnesses saw of POOL-02 differs from events.ndjson" in found


def test_a_violation_that_is_left_out_is_found(run: Callable[..., Run]) -> None:
    """A report without it says less than the events."""
    done = run(PASSES, env={"FAKE_STANDING": "violation"})
    told = done.report
    del told["requirements"][1]

    (done.directory / "report.json").write_text(json.dumps(told))
    found = bundle.verify(done.directory)

    assert "report.json: what standing witnesses saw of POOL-02 differs from events.ndjson" in found


def test_the_page_has_the_violation_with_its_observations(run: Callable[..., Run]) -> None:
    """What was seen, while what ran, and each version."""
    page = (run(PASSES, env={"FAKE_STANDING": "violation"}).directory / "report.html").read_text()

    assert "while POOL-01 ran" in page
    assert "ns/b version 7, MODIFIED, addresses 192.0.2.170" in page
