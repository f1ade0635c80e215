"""Thresholds against the figures of one run: held, lost or not measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.perf.synthetic_results import KNOWN, store

from lbproof.spec import BadOption, UnknownName
from lbproof_perf.report import figures, thresholds
from lbproof_perf.report.spec import Better
from lbproof_perf.report.thresholds import Outcome
from lbproof_perf.results import ResultStore, TrialId

OURS = thresholds.read(Path("perf/thresholds.toml"), KNOWN)
BOOK = Path(__file__).parent / "data" / "results-0.1" / "trials.ndjson"
ARMS = ("reference", "reference-fast", "metallb", "keepalived")


def _cut(made: ResultStore, arm: str, *seconds: float | None) -> None:
    for number, value in enumerate(seconds, start=1):
        made.add(TrialId(bench="failover", arm=arm, case="power-cut", number=number), {"first_answer_seconds": value})


def _one(made: ResultStore, key: str, **allowed: float | str) -> thresholds.Objective:
    (found,) = thresholds.check(figures.summarize(made, KNOWN), thresholds.parse({key: allowed}, "test", KNOWN))
    return found


def _outcomes(made: ResultStore) -> set[Outcome]:
    return {one.outcome for one in thresholds.check(figures.summarize(made, KNOWN), OURS)}


def test_our_thresholds_are_held_by_a_run_that_holds_them(tmp_path: Path) -> None:
    """Every pattern of the repository's file names a figure that a run has."""
    found = thresholds.check(figures.summarize(store(tmp_path, cuts=100, arms=ARMS), KNOWN), OURS)

    assert [(one.key, one.seen) for one in found if one.outcome is not Outcome.HELD] == []


def test_one_trial_of_each_holds_none_of_ours(tmp_path: Path) -> None:
    """However good it is."""
    made = store(tmp_path, cuts=100, arms=ARMS)
    made.trials = [trial for trial in made.trials if trial.id.number == 1]
    found = thresholds.check(figures.summarize(made, KNOWN), OURS)

    assert [one.key for one in found if one.outcome is Outcome.HELD] == []
    assert Outcome.LOST not in {one.outcome for one in found}


def test_what_was_not_run_is_not_measured(tmp_path: Path) -> None:
    """Silence is no success."""
    assert _outcomes(ResultStore(tmp_path)) == {Outcome.NOT_MEASURED}


@pytest.mark.parametrize(("value", "outcome"), [(0.15, Outcome.HELD), (0.151, Outcome.LOST), (None, Outcome.LOST)])
def test_a_value_is_bounded(tmp_path: Path, value: float | None, outcome: Outcome) -> None:
    """The bound itself is allowed; what did not come about is longer than any bound."""
    made = ResultStore(tmp_path)
    _cut(made, "reference", *[value] * 5)

    found = _one(made, "failover.*.power-cut.first_answer_seconds.p50", most=0.15, trials=5)
    assert found.outcome is outcome


def test_a_quantile_of_too_few_values_is_not_judged(tmp_path: Path) -> None:
    """Four bad values have no median; their longest is lost all the same."""
    made = ResultStore(tmp_path)
    _cut(made, "reference", *[0.3] * 4)
    key = "failover.reference.power-cut.first_answer_seconds"

    assert _one(made, f"{key}.p50", most=0.15).outcome is Outcome.NOT_MEASURED
    assert _one(made, f"{key}.max", most=0.15).outcome is Outcome.LOST


@pytest.mark.parametrize(("ours", "outcome"), [(2.2, Outcome.HELD), (2.21, Outcome.LOST), (None, Outcome.LOST)])
def test_a_ratio_is_bounded(tmp_path: Path, ours: float | None, outcome: Outcome) -> None:
    """To another arm of the same case, or to a figure by its key."""
    made = ResultStore(tmp_path)
    _cut(made, "reference", *[ours] * 5)
    _cut(made, "metallb", *[2.0] * 5)
    key = "failover.reference.power-cut.first_answer_seconds.p50"

    assert _one(made, key, times=1.1, of="metallb").outcome is outcome
    assert _one(made, key, times=1.1, of=key.replace("reference", "metallb")).outcome is outcome


def test_one_arm_alone_is_no_comparison(tmp_path: Path) -> None:
    """The figure that there is stands there, and which is missing."""
    made = ResultStore(tmp_path)
    _cut(made, "reference", *[0.1] * 5)
    found = _one(made, "failover.reference.power-cut.first_answer_seconds.p50", times=1, of="metallb")

    assert (found.outcome, found.seen) == (Outcome.NOT_MEASURED, "100 ms; metallb not measured")


def test_a_signed_value_has_two_bounds(tmp_path: Path) -> None:
    """An error may be too small as well as too large."""
    made = ResultStore(tmp_path)
    for number in range(1, 6):
        made.add(TrialId(bench="ruler", arm="arm-a", case="a-a", number=number), {"error_seconds": -0.002})

    key = "ruler.arm-a.a-a.error_seconds.p50"
    assert _one(made, key, least=-0.001, most=0.001).outcome is Outcome.LOST
    assert _one(made, key, least=-0.003, most=0.001).outcome is Outcome.HELD


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        ({"times": 1}, "stand together"),
        ({"most": 1, "of": "metallb"}, "stand together"),
        ({"times": 1, "of": "a.b"}, "has 2 parts"),
        ({"most": 1, "text": 3}, "it takes a text"),
        ({"trials": 3}, "allows nothing"),
        ({"most": 1, "trials": 1}, "trials = 1; it takes a number from 2"),
    ],
)
def test_a_bound_that_means_nothing_is_refused(allowed: dict[str, float | str], words: str) -> None:
    """A misspelt gate would go unnoticed."""
    with pytest.raises((BadOption, UnknownName), match=words):
        thresholds.parse({"moves.reference.planned.lost.max": allowed}, "test", KNOWN)


def test_no_threshold_is_held_by_one_trial(tmp_path: Path) -> None:
    """Five are taken unless the file says otherwise, also of the arm that a ratio is to; one that is bad is enough."""
    made = ResultStore(tmp_path)
    _cut(made, "reference", *[0.1] * 4)
    _cut(made, "metallb", 2.0)
    key = "failover.reference.power-cut.first_answer_seconds.max"

    few = _one(made, key, most=0.15)
    assert (few.outcome, few.limit) == (Outcome.NOT_MEASURED, "at most 150 ms, 5 trials")
    assert few.seen == "max of 4: 100 ms: 4 of at least 5 trials"
    assert _one(made, key, most=0.15, trials=4).outcome is Outcome.HELD
    assert _one(made, key, times=1, of="metallb", trials=4).seen.endswith("1 of at least 4 trials")
    assert _one(made, key, most=0.05).outcome is Outcome.LOST


@pytest.mark.parametrize("bound", [0.15, 0.05])
def test_what_only_marked_trials_say_is_not_measured(tmp_path: Path, bound: float) -> None:
    """A mark says that the figure is the machine's or the client's: nothing is held by it, and nothing lost."""
    made = ResultStore(tmp_path)
    for number in range(1, 6):
        trial = TrialId(bench="failover", arm="reference", case="power-cut", number=number)
        made.add(trial, {"first_answer_seconds": 0.1}, warnings=("the machine stood still",))
    key = "failover.reference.power-cut.first_answer_seconds.p50"

    found = _one(made, key, most=bound)
    assert (found.outcome, found.seen[-47:]) == (
        Outcome.NOT_MEASURED,
        "every trial is marked (the machine stood still)",
    )
    made.add(TrialId(bench="failover", arm="reference", case="power-cut", number=6), {"first_answer_seconds": 0.1})
    assert _one(made, key, most=bound).outcome is (Outcome.HELD if bound > 0.1 else Outcome.LOST)


def test_every_figure_of_the_documentation_can_have_a_threshold() -> None:
    """And every value of a book of before: what a trial holds is named and described by its benchmark."""
    metrics = {metric.name for about in KNOWN.values() for metric in about.metrics}
    named = set(re.findall(r"`([a-z0-9_]+)`", Path("docs/figures.md").read_text(encoding="utf-8")))
    raw = {"histogram_seconds", "stall_seconds", "fault_before"}
    figure = re.compile(
        r".*_(seconds|bytes|per_second|cores|share|core|address|kernel|requests)|(lost|sent).*|failures"
    )
    documented = {name for name in named - raw if figure.fullmatch(name)}
    old = [json.loads(line) for line in BOOK.read_text().splitlines()]
    undescribed = {
        (row["step"]["bench"], name)
        for row in old
        for name in row["values"]
        if name not in {metric.name for metric in KNOWN[row["step"]["bench"]].metrics}
    }

    assert sorted(name for name in documented if not {name, f"rest_{name}"} & metrics) == []
    assert len(documented & metrics) > 40
    assert undescribed == set()


def test_a_benchmark_or_figure_that_is_not_known_is_not_judged(tmp_path: Path) -> None:
    """A benchmark of another version ends the report with one line; a figure of one is shown, and better in no way."""
    made = ResultStore(tmp_path)
    made.add(TrialId(bench="failover", arm="reference", case="power-cut", number=1), {"grace_per_second": 2.0})
    (shown,) = figures.summarize(made, KNOWN).summaries
    assert (shown.name, shown.better) == ("grace_per_second", Better.NEITHER)

    made.add(TrialId(bench="failovr", arm="reference", case="power-cut", number=1), {"first_answer_seconds": 0.1})
    with pytest.raises(UnknownName, match=r"unknown benchmark 'failovr' in .*/trials\.ndjson; did you mean 'failover'"):
        figures.summarize(made, KNOWN)
