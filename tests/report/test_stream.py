"""Events that contradict themselves are refused: their order, their moments, and the fields that only they have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.report.forging import Edit, forge_events, rewrite

from lbproof.report import bundle, verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.report.conftest import Sample


@pytest.mark.parametrize(
    ("event", "edit", "says"),
    [
        (
            "run.started",
            lambda row: row["budgets"].update(failover=3600),
            "events.ndjson: budget failover is 3600 s, but at most 40 s is allowed",
        ),
        ("run.started", lambda row: row["budgets"].update(patience=1), "events.ndjson: there is no budget patience"),
        (
            "run.started",
            lambda row: row["budgets"].update(serves=50),
            "events.ndjson: POOL-01 waited by serves for 10 s, but its budget was 50 s",
        ),
        (
            "run.started",
            lambda row: row["selected"].remove("POOL-01"),
            "events.ndjson: POOL-01 is passed, but was not selected",
        ),
        (
            "check.started",
            lambda row: row.update(case="POOL-02a"),
            "events.ndjson: POOL-01 is passed, but no check of it started",
        ),
        (
            "check.finished",
            lambda row: row.update(node=""),
            "events.ndjson: POOL-01 is passed, but no check of it started",
        ),
        (
            "waited",
            lambda row: row.update(took=500),
            "events.ndjson: wait by restarted: took 500 s, but at most 120 s is allowed",
        ),
        ("run.finished", lambda row: row.update(exit=2), "events.ndjson: exit is 2, but the conclusion is conformant"),
        (
            "run.finished",
            lambda row: row.update(conclusion="partial"),
            "events.ndjson: conclusion is partial, but the verdicts give conformant",
        ),
    ],
    ids=["ceiling", "unknown", "in-force", "selected", "began", "node", "lab", "exit", "conclusion"],
)
def test_events_that_contradict_themselves_are_refused(whole: Path, event: str, edit: Edit, says: str) -> None:
    """Though every report was made of them again, and fits."""
    assert says in verify.verify(forge_events(whole, edit, event=event))


def at_times(case_id: str, **change: float) -> Callable[[list[str]], list[str]]:
    """Change fields of the events of a case: `check.finished.seconds` is written `seconds`, and so on."""

    def edit(lines: list[str]) -> list[str]:
        rows = [json.loads(line) for line in lines]
        for row in rows:
            kinds = {"seconds": "check.finished", "took": "waited", "t": "waited"}
            for name, value in change.items():
                if row.get("case") == case_id and row["event"] == kinds[name]:
                    row[name] = value
        return [json.dumps(row) for row in rows]

    return edit


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seconds": 3.0}, "POOL-01 took 3 s, but from its start to its end there are 0.4 s"),
        ({"took": 4.0}, "POOL-01 waited by serves for 4 s, from before its check began"),
        ({"t": 0.1}, "waited of POOL-01 at 0.1 s, outside of its check"),
        ({"t": 1e4}, "waited of POOL-01 at 10000 s, outside of its check"),
    ],
    ids=["long", "took", "before", "after"],
)
def test_times_that_the_moments_of_the_events_contradict_are_refused(
    whole: Path, change: dict[str, float], says: str
) -> None:
    """A time and the moments around it are of one clock."""
    problems = verify.verify(rewrite(whole, at_times("POOL-01", **change)))

    assert any(says in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("event", "edit", "says"),
    [
        ("check.finished", lambda row: row.update(node="other.py::test_x"), "is judged by other.py::test_x, but "),
        ("fault", lambda row: row.update(case="POOL-01"), "fault of POOL-01, whose check does not run"),
        ("timeline", lambda row: row.update(t=1.0), "timeline of FAIL-01 at 1 s, outside of its check"),
        ("timeline", lambda row: row.update(outages=[]), "timeline of FAIL-01: its outages are not those of its"),
        ("timeline", lambda row: row["samples"][50].__setitem__(1, None), "its outages are not those of its samples"),
        (
            "environment",
            lambda row: row["facts"].update(lbproof="9"),
            "environment: lbproof is 9, but the run is one of 0.1.0",
        ),
        (
            "environment",
            lambda row: row["facts"].update(implementation="acme 1"),
            "environment: implementation is acme 1, but the run is one of reference 0.1.0",
        ),
        ("waited", lambda row: row.update(within=7.0), "the lab waited by restarted for 7 s, but its budget was 30 s"),
        ("run.finished", dict.copy, ""),
    ],
)
def test_what_happened_is_of_the_check_that_ran(
    sample: Callable[[str], Sample], event: str, edit: Edit, says: str
) -> None:
    """Faults, timelines and observations lie within their check, and what is repeated is said alike."""
    folder = sample("passed").folder
    problems = verify.verify(forge_events(folder, edit, event=event))

    assert (not problems) if not says else any(says in problem for problem in problems), problems


def test_a_stage_takes_as_long_as_from_its_begin_to_its_end(whole: Path) -> None:
    """Its seconds are compared with the moments of its events."""

    def stretch(lines: list[str]) -> list[str]:
        return [
            line.replace('"seconds": 4.25', '"seconds": 400.0').replace('"seconds":4.25', '"seconds":400.0')
            for line in lines
        ]

    problems = verify.verify(rewrite(whole, stretch))
    assert any("stage boot took 400 s, but from its begin to its end there are" in problem for problem in problems)


def test_a_run_takes_as_long_as_its_events(whole: Path) -> None:
    """No event lies beyond the end, and the length is the moment of the end."""
    problems = verify.verify(forge_events(whole, lambda row: row.update(seconds=500.0), event="run.finished"))
    assert any("events.ndjson: the run took 500 s, but ended at " in problem for problem in problems)

    problems = verify.verify(forge_events(whole, lambda row: row.update(t=1e5), event="environment"))
    assert "events.ndjson: event at 100000 s, after the end of the run" in problems


def finished(lines: list[str], **change: Any) -> list[str]:  # noqa: ANN401 - it is JSON
    """The first verdict of a check, with other fields."""
    row = next(row for row in map(json.loads, lines) if row["event"] == "check.finished" and row["node"])
    return [json.dumps(row | change)]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda lines: [*lines[:-1], *finished(lines), lines[-1]], "no check of it started in between"),
        (lambda lines: [*lines, *finished(lines, verdict="failed", reason="no")], "event after run.finished"),
        (lambda lines: [*lines, lines[-1]], "event after run.finished"),
        (lambda lines: [lines[0], *lines], "second run.started"),
        (
            lambda lines: [line.replace('"verdict"', '"verdict": "failed", "verdict"', 1) for line in lines],
            "the field verdict is duplicated",
        ),
    ],
    ids=["another-verdict", "after-the-end", "two-ends", "two-beginnings", "twice"],
)
def test_a_stream_that_contradicts_itself_is_refused(
    whole: Path, edit: Callable[[list[str]], list[str]], says: str
) -> None:
    """Each verdict follows its check, once, between the begin and the end of one run."""
    problems = bundle.verify(rewrite(whole, edit))

    assert any(says in problem for problem in problems), problems
