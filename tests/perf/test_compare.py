"""Two sides are told apart where they differ by more than noise, and only there."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.perf.synthetic_results import KNOWN

from lbproof.spec import BadOption, Exit, UnknownName
from lbproof_perf.report import compare, thresholds
from lbproof_perf.report.compare import Held, Verdict
from lbproof_perf.results import ResultStore, TrialId
from lbproof_perf.stats import differences
from lbproof_perf.stats.differences import Side

if TYPE_CHECKING:
    from pathlib import Path

    from lbproof_perf.report.compare import Comparison

_CUT = "failover.reference.power-cut.first_answer_seconds.p50"


def _book(folder: Path, *, seed: int, count: int = 20, **scales: float) -> ResultStore:
    """Power cuts with outages around the scale given for each arm; the name of a figure, of the reference alone."""
    random, made = np.random.default_rng(seed), ResultStore(folder)
    for number in range(1, count + 1):
        for arm, scale in scales.items():
            value = float(scale * random.lognormal(0, 0.1))
            step = TrialId(bench="failover", arm=arm, case="power-cut", number=number)
            made.add(step, {"first_answer_seconds": value, "sent": 100.0})
    return made


def _rows(comparison: Comparison) -> dict[str, Verdict]:
    return {row.key: row.verdict for row in comparison.rows}


def _allowed(**told: Any) -> tuple[thresholds.Threshold, ...]:  # noqa: ANN401 - a TOML table
    return thresholds.parse({_CUT: told}, "test", KNOWN)


def test_equals_do_not_differ(tmp_path: Path) -> None:
    """Two runs of the same on the same machine: exit 0."""
    one = _book(tmp_path / "one", seed=1, reference=0.15, keepalived=3.0)
    other = _book(tmp_path / "other", seed=2, reference=0.15, keepalived=3.0)
    found = compare.compare(one, other, KNOWN)

    assert _rows(found)[_CUT] is Verdict.SAME
    assert found.exit is Exit.CONFORMANT


def test_a_slower_machine_is_no_regression(tmp_path: Path) -> None:
    """All three times as slow, the control too: the ratio to it is what counts."""
    one = _book(tmp_path / "one", seed=1, reference=0.15, keepalived=3.0)
    other = _book(tmp_path / "other", seed=2, reference=0.45, keepalived=9.0)
    found = compare.compare(one, other, KNOWN)

    assert _rows(found)[_CUT] is Verdict.SAME
    assert found.exit is Exit.CONFORMANT


@pytest.mark.parametrize(
    ("scale", "verdict", "code"),
    [(0.225, Verdict.WORSE, Exit.NOT_CONFORMANT), (0.1, Verdict.BETTER, Exit.CONFORMANT)],
)
def test_a_change_of_one_arm_is_seen(tmp_path: Path, scale: float, verdict: Verdict, code: Exit) -> None:
    """Half as long again is worse, a third less is better; the ratio says how much."""
    one = _book(tmp_path / "one", seed=1, reference=0.15, keepalived=3.0)
    other = _book(tmp_path / "other", seed=2, reference=scale, keepalived=3.0)
    found = compare.compare(one, other, KNOWN)
    row = next(row for row in found.rows if row.key == _CUT)

    assert row.verdict is verdict
    assert row.control == "keepalived"
    assert row.ratio.low < scale / 0.15 < row.ratio.high
    assert found.exit is code


def test_without_a_control_arm_nothing_is_judged_between_runs(tmp_path: Path) -> None:
    """Absolute figures are those of a machine: shown, and too little to say."""
    one, other = (_book(tmp_path / str(scale), seed=1, reference=scale) for scale in (0.15, 0.6))
    found = compare.compare(one, other, KNOWN)

    assert set(_rows(found).values()) == {Verdict.SHOWN}
    assert found.exit is Exit.INCONCLUSIVE


def test_too_few_values_say_nothing(tmp_path: Path) -> None:
    """Four cuts each cannot be told from noise, however far apart."""
    one = _book(tmp_path / "one", seed=1, count=4, reference=0.1, keepalived=3.0)
    other = _book(tmp_path / "other", seed=2, count=4, reference=9.0, keepalived=3.0)
    found = compare.compare(one, other, KNOWN)

    assert _rows(found)[_CUT] is Verdict.TOO_FEW
    assert found.exit is Exit.INCONCLUSIVE


def test_a_p99_of_twenty_is_not_compared(tmp_path: Path) -> None:
    """A threshold of it is undecided, whatever the longest of twenty was, and no p99 is told."""
    one = _book(tmp_path / "one", seed=1, reference=0.15, keepalived=3.0)
    other = _book(tmp_path / "other", seed=2, reference=0.15, keepalived=3.0)
    key = _CUT.replace("p50", "p99")

    assert key not in _rows(compare.compare(one, other, KNOWN))
    asked = compare.compare(one, other, KNOWN, thresholds.parse({key: {"most": 9.0, "ratio": 9.0}}, "test", KNOWN))
    assert _rows(asked)[key] is Verdict.TOO_FEW
    assert [row.held for row in asked.checked] == [Held.UNDECIDED] * 2
    assert "max of 20" in next(row.text for row in asked.checked)


def test_runs_with_nothing_in_common_say_nothing(tmp_path: Path) -> None:
    """An arm that is on one side alone is not compared."""
    found = compare.compare(
        _book(tmp_path / "a", seed=1, reference=1.0), _book(tmp_path / "b", seed=1, metallb=1.0), KNOWN
    )

    assert found.rows == ()
    assert found.exit is Exit.INCONCLUSIVE
    assert "nothing in common" in compare.lines(found)


def test_two_arms_of_a_run_are_compared_as_they_are(tmp_path: Path) -> None:
    """Within a run the machine is the same: no control is needed."""
    made = _book(tmp_path, seed=1, reference=0.15, metallb=5.0)
    worse, better = (
        compare.compare(made, made, KNOWN, arms=arms) for arms in (("reference", "metallb"), ("metallb", "reference"))
    )
    key = "failover.{}.power-cut.first_answer_seconds.p50"

    assert _rows(worse)[key.format("reference/metallb")] is Verdict.WORSE
    assert worse.exit is Exit.NOT_CONFORMANT
    assert _rows(better)[key.format("metallb/reference")] is Verdict.BETTER
    assert better.exit is Exit.CONFORMANT


def test_more_is_better_where_it_is(tmp_path: Path) -> None:
    """Half the requests a second is worse, not better."""
    random, made = np.random.default_rng(1), ResultStore(tmp_path)
    for number in range(1, 21):
        for arm, rate in (("reference", 1000.0), ("metallb", 500.0)):
            step = TrialId(bench="load", arm=arm, case="pod-udp", number=number)
            made.add(step, {"requests_per_second": rate * float(random.lognormal(0, 0.05))})
    found = compare.compare(made, made, KNOWN, arms=("reference", "metallb"))

    assert found.rows[0].verdict is Verdict.WORSE
    assert found.rows[0].times_worse == pytest.approx(2, rel=0.1)


def test_a_run_that_stopped_recovering_is_worse(tmp_path: Path) -> None:
    """Values that did not come about count as longer than any that did."""
    one = _book(tmp_path / "one", seed=1, reference=0.15, keepalived=3.0)
    other = _book(tmp_path / "other", seed=2, keepalived=3.0)
    for number in range(1, 21):
        step = TrialId(bench="failover", arm="reference", case="power-cut", number=number)
        other.add(step, {"first_answer_seconds": None})
    row = next(row for row in compare.compare(one, other, KNOWN).rows if row.key == _CUT)

    assert row.verdict is Verdict.WORSE
    assert row.ratio.value == math.inf


def test_a_threshold_allows_what_it_says(tmp_path: Path) -> None:
    """Half as long again is worse beyond noise: let through by 2, stopped by 1.2."""
    one = _book(tmp_path / "one", seed=1, reference=0.15, keepalived=3.0)
    other = _book(tmp_path / "other", seed=2, reference=0.225, keepalived=3.0)
    let, stopped = (compare.compare(one, other, KNOWN, _allowed(ratio=ratio)) for ratio in (2, 1.2))

    # the p99 is worse too and no threshold covers it, so that only the checks differ here
    assert [row.held for row in let.checked] == [Held.HELD]
    assert [row.held for row in stopped.checked] == [Held.BROKEN]
    everything = {f"failover.*.*.*.{quantile}": {"ratio": 2} for quantile in ("p50", "p99")}
    wide = thresholds.parse(everything, "test", KNOWN)
    assert compare.compare(one, other, KNOWN, wide).exit is not Exit.NOT_CONFORMANT


def test_a_largest_value_is_held_or_broken(tmp_path: Path) -> None:
    """An absolute bar needs no control and no second opinion."""
    one, other = (_book(tmp_path / name, seed=1, reference=0.15) for name in ("one", "other"))

    assert [row.held for row in compare.compare(one, other, KNOWN, _allowed(most=1)).checked] == [Held.HELD]
    broken = compare.compare(one, other, KNOWN, _allowed(most=0.1))
    assert [row.held for row in broken.checked] == [Held.BROKEN]
    assert broken.exit is Exit.NOT_CONFORMANT


def test_a_threshold_of_what_was_not_measured_is_undecided(tmp_path: Path) -> None:
    """A gate does not hold because its figure is missing."""
    one, other = (_book(tmp_path / name, seed=1, reference=0.15, keepalived=3.0) for name in ("one", "other"))
    wanted = thresholds.parse({"moves.*.*.lost.max": {"most": 0}}, "test", KNOWN)
    found = compare.compare(one, other, KNOWN, wanted)

    assert [row.held for row in found.checked] == [Held.UNDECIDED]
    assert found.exit is Exit.INCONCLUSIVE


def test_a_file_of_thresholds_is_read(tmp_path: Path) -> None:
    """Quoted patterns and TOML's own dotted keys are the same."""
    path = tmp_path / "thresholds.toml"
    path.write_text(
        '"failover.*.cable.lost.max" = {most = 0}\nload.reference.pod-udp.requests_per_second.p50.ratio = 1.5\n'
    )

    assert thresholds.read(path, KNOWN) == (
        thresholds.Threshold(pattern="failover.*.cable.lost.max", most=0),
        thresholds.Threshold(pattern="load.reference.pod-udp.requests_per_second.p50", ratio=1.5),
    )


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ('"failover.*.x.lost.max" = {rato = 1}', UnknownName, "did you mean 'ratio'"),
        ('"failver.*.x.lost.max" = {most = 1}', UnknownName, "did you mean 'failover'"),
        ('"failover.*.x.frist_answer_seconds.p50" = {most = 1}', UnknownName, "did you mean 'first_answer_seconds'"),
        ('"failover.*.x.lost.p55" = {most = 1}', UnknownName, "did you mean 'p50'"),
        ('"failover.lost.max" = {most = 1}', BadOption, "has 3 parts"),
        ('"failover.*.x.lost.max" = {most = "1"}', BadOption, "it takes a number"),
        ('"failover.*.x.lost.max" = 3', BadOption, "it takes a table"),
        ('"failover.*.x.lost.max" = {}', BadOption, "allows nothing"),
        ("failover.*.x.lost.max = {most = 1}", BadOption, "stands in quotes"),
    ],
)
def test_a_threshold_that_means_nothing_is_refused(
    tmp_path: Path, text: str, error: type[ValueError], says: str
) -> None:
    """In one line, with the nearest name that there is."""
    path = tmp_path / "thresholds.toml"
    path.write_text(text + "\n")
    with pytest.raises(error, match=says) as caught:
        thresholds.read(path, KNOWN)

    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A misspelt path does not open the gate."""
    with pytest.raises(BadOption, match="No such file"):
        thresholds.read(tmp_path / "nowhere.toml", KNOWN)


def test_holm_corrects_for_the_number_of_tests() -> None:
    """The smallest by all, the next by one fewer, never in another order (Holm's own procedure)."""
    assert differences.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert differences.holm([0.9, 0.8]) == [1.0, 1.0]
    assert differences.holm([]) == []


def test_equals_are_seldom_told_apart() -> None:
    """Of sixty comparisons of equals about three in a hundred chances lie below 0.05, with a control and without."""
    random = np.random.default_rng(7)

    def side(scale: float, *, divided: bool) -> Side:
        draw = random.lognormal(0, 0.2, (2, 15)) * scale
        return Side(values=draw[0], control=draw[1] if divided else None)

    chances = [
        differences.chance(side(1, divided=divided), side(3 if divided else 1, divided=divided), 0.5)
        for divided in (False, True)
        for _ in range(30)
    ]

    assert sum(chance <= 0.05 for chance in chances) <= 8


def test_values_that_are_all_alike_can_differ() -> None:
    """None lost on one side and seven each time on the other is a difference, though every shuffle has both medians."""
    none, seven = Side(values=np.zeros(10)), Side(values=np.full(10, 7.0))

    assert differences.chance(none, seven, 0.5) < 0.01
    assert differences.chance(none, none, 0.5) == 1


def test_a_control_on_one_side_alone_is_an_error() -> None:
    """A figure and a ratio cannot be compared."""
    values = np.ones(5)
    with pytest.raises(ValueError, match="or none"):
        differences.chance(Side(values=values), Side(values=values, control=values), 0.5)


def test_the_lines_say_what_counts_first(tmp_path: Path) -> None:
    """Thresholds, then what is worse, each with its figures on both sides."""
    one = _book(tmp_path / "one", seed=1, reference=0.15, keepalived=3.0)
    other = _book(tmp_path / "other", seed=2, reference=0.3, keepalived=3.0)
    told = compare.lines(compare.compare(one, other, KNOWN, _allowed(most=0.2)))

    assert told[0] == "other, judged against one"
    assert told[1].startswith(f"threshold broken: {_CUT} is ")
    assert "worse" in told[3]
    assert "relative to keepalived" in told[3]


def test_a_bound_is_not_held_by_one_trial_or_by_marked_ones(tmp_path: Path) -> None:
    """As within one run; a worst value beyond the bound breaks it, however few there are."""
    one = _book(tmp_path / "one", seed=1, count=1, reference=0.15)
    other = _book(tmp_path / "other", seed=2, count=1, reference=0.15)
    key = _CUT.replace("p50", "max")

    def checked(most: float) -> compare.Checked:
        allowed = thresholds.parse({key: {"most": most}}, "test", KNOWN)
        (found,) = compare.compare(one, other, KNOWN, allowed).checked
        return found

    assert checked(9.0).held is Held.UNDECIDED
    assert ": 1 of at least 5 trials, at most 9 s" in checked(9.0).text
    assert checked(0.01).held is Held.BROKEN

    other.trials = [replace(trial, warnings=("the client was the limit",)) for trial in other.trials]
    assert checked(0.01).held is Held.UNDECIDED


def test_a_difference_of_marked_trials_alone_is_not_judged(tmp_path: Path) -> None:
    """A mark says that the figure is the machine's or the client's."""
    one = _book(tmp_path / "one", seed=1, reference=0.15, keepalived=3.0)
    other = _book(tmp_path / "other", seed=2, reference=0.45, keepalived=3.0)
    assert _rows(compare.compare(one, other, KNOWN))[_CUT] is Verdict.WORSE

    other.trials = [
        replace(trial, warnings=("the machine stalled",)) if trial.id.arm == "reference" else trial
        for trial in other.trials
    ]
    found = compare.compare(one, other, KNOWN)
    assert _rows(found)[_CUT] is Verdict.SHOWN
    assert found.exit is not Exit.NOT_CONFORMANT
