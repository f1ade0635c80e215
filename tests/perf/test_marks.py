"""Marks of trials: which trials are left out of every figure, and which count whatever they are marked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.perf.synthetic_results import KNOWN

from lbproof_perf import marks
from lbproof_perf.report import answers, compare, figures, terminal, thresholds
from lbproof_perf.report.compare import Verdict
from lbproof_perf.report.thresholds import Outcome
from lbproof_perf.report.write import write
from lbproof_perf.results import ResultStore, TrialId

if TYPE_CHECKING:
    from collections.abc import Sequence

BRACKET = "when the fault took effect is known to 16 ms alone"
STALL = "the machine stalled for 90 ms"
NEVER = "no recovery within 40 s"
PERF = Path(marks.__file__).parent

Cut = tuple[float | None, tuple[str, ...]]


def cuts(folder: Path, made: Sequence[Cut], *, arm: str = "reference") -> ResultStore:
    """A run with power cuts of one arm: each outage and its marks."""
    run = ResultStore(folder)
    for number, (seconds, warnings) in enumerate(made, start=1):
        trial = TrialId(bench="failover", arm=arm, case="power-cut", number=number)
        run.add(trial, {"first_answer_seconds": seconds}, warnings=warnings)
    return run


def headline(run: ResultStore) -> answers.ArmAnswer:
    """The one answer of a run with one arm."""
    ((said,),) = (answer.arms for answer in answers.answers_of(figures.summarize(run, KNOWN)))
    return said


@pytest.mark.parametrize(
    ("made", "figure", "says"),
    [
        pytest.param(
            [*[(0.1, ())] * 5, *[(9.0, (BRACKET,))] * 6], "100 ms", "6 of 11 left out", id="a moment hardly known"
        ),
        pytest.param([*[(0.1, ())] * 5, *[(9.0, (STALL,))] * 6], "9 s", "6 of 11 marked", id="slow ones are kept"),
        pytest.param([(0.1, (STALL,))] * 5, "not measured", f"5 of 5 marked ({STALL})", id="none at rest"),
        pytest.param([(0.1, (STALL, BRACKET))] * 5, "not measured", f"({BRACKET})", id="none counts"),
        pytest.param(
            [(0.1, (BRACKET,)), *[(0.1, (STALL,))] * 5], "not measured", f"1 of 6 left out ({STALL})", id="none of both"
        ),
        pytest.param([(None, (NEVER, BRACKET, STALL))] * 5, "never", "5 of 5 marked", id="who never recovers"),
        pytest.param([*[(0.1, ())] * 4, *[(None, (NEVER, BRACKET))] * 5], "never", "5 of 9 marked", id="most never"),
    ],
)
def test_a_headline_is_of_the_trials_that_count(tmp_path: Path, made: list[Cut], figure: str, says: str) -> None:
    """What says nothing of the implementation is left out; what is slow, or never came, is not."""
    said = headline(cuts(tmp_path, made))

    assert said.figure == figure
    assert says in said.text


def test_a_ratio_to_a_control_arm_that_is_not_judged_is_no_headline(tmp_path: Path) -> None:
    """Every trial of the control arm was disturbed."""
    for folder, warnings, stands in (("a", (), True), ("b", (STALL,), False)):
        run = cuts(tmp_path / folder, [(0.1, ())] * 5)
        for trial in cuts(tmp_path / f"{folder}-control", [(3.0, warnings)] * 5, arm="keepalived").trials:
            run.add(trial.id, trial.values, warnings=trial.warnings)
        (answer,) = answers.answers_of(figures.summarize(run, KNOWN))

        assert ("of keepalived's median" in answer.arms[0].text) is stands


def test_tables_files_thresholds_and_comparisons_leave_out_the_same(tmp_path: Path) -> None:
    """One rule: page, JSON, metrics, terminal, and what judges."""
    made = [*[(0.1, ())] * 5, *[(9.0, (BRACKET,))] * 6]
    run = cuts(tmp_path / "one", made)
    write(run, KNOWN)
    found = figures.summarize(run, KNOWN)
    (one,) = found.summaries
    page, told, prom = ((run.folder / name).read_text() for name in ("report.html", "bench.json", "metrics.prom"))
    (figure,), noted = json.loads(told)["figures"], json.loads(told)["marks"]
    allowed = thresholds.parse({f"{one.key}.max": {"most": 0.2}}, "test", KNOWN)

    assert (one.count, one.trials, one.left_out, max(one.values)) == (5, 5, 6, 0.1)
    assert (figure["count"], figure["left_out"], figure["not_judged"]) == (5, 6, "")
    assert {mark["effect"] for mark in noted} == {"left out"}
    assert "11 trials, 6 of them marked (look twice), 6 left out of all figures" in page
    assert f"reference 6: {BRACKET} (left out)" in page
    assert 'left_out_trials{arm="reference",bench="failover",case="power-cut"} 6.0' in prom
    assert "failover, power-cut; reference: 6 of 11 trials left out" in terminal.table(found, [])
    assert [row.outcome for row in thresholds.check(found, allowed)] == [Outcome.HELD]

    void = cuts(tmp_path / "void", [(9.0, (BRACKET,))] * 5)
    found = figures.summarize(void, KNOWN)
    write(void, KNOWN)
    (figure,) = json.loads((void.folder / "bench.json").read_text())["figures"]
    assert (figure["count"], figure["left_out"], figure["not_judged"]) == (5, 0, BRACKET)
    assert [row.outcome for row in thresholds.check(found, allowed)] == [Outcome.NOT_MEASURED]
    assert {row.verdict for row in compare.compare(run, void, KNOWN).rows} == {Verdict.SHOWN}
    assert f"failover, power-cut; reference: not judged ({BRACKET})" in terminal.table(found, [])


@pytest.mark.parametrize("words", marks.EFFECTS)
def test_each_mark_of_the_rule_is_one_that_a_benchmark_makes(words: str) -> None:
    """A text that was changed would be read as another mark."""
    sources = [path for path in PERF.rglob("*.py") if path != Path(marks.__file__)]

    assert any(f'"{words}' in path.read_text() for path in sources), words
