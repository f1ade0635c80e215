"""What is said of a book: figures with their control, and aims that are held, lost or not measured."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pytest
from tests.perf.synthetic_results import store

from lbproof.options import BadOption
from lbproof.spec import UnknownName
from lbproof_perf.report import aims, figures, names
from lbproof_perf.report.judges import Outcome
from lbproof_perf.results import ResultStore, TrialId

if TYPE_CHECKING:
    from pathlib import Path


def _cut(made: ResultStore, arm: str, *seconds: float | None, case: str = "power-cut") -> None:
    for number, value in enumerate(seconds, start=1):
        step = TrialId(bench="failover", arm=arm, case=case, number=number)
        made.add(step, {"first_answer_seconds": value})


def _outcomes(made: ResultStore) -> dict[str, Outcome]:
    return {row.aim.name: row.outcome for row in aims.rows(figures.of(made), {})}


def test_an_empty_book_has_no_figures(tmp_path: Path) -> None:
    """A run that was stopped before its first trial can be reported too."""
    found = figures.of(ResultStore(tmp_path))

    assert found.summaries == ()
    assert found.benches == []


def test_a_cut_without_recovery_is_counted_and_longer_than_any(tmp_path: Path) -> None:
    """Nothing is dropped for being slow."""
    made = ResultStore(tmp_path)
    _cut(made, "reference", 0.1, None, 0.2, 0.3)
    one = figures.of(made).find("failover", "reference", "power-cut", "first_answer_seconds")

    assert one is not None
    assert (one.count, one.missing, one.at("p50"), one.at("max")) == (4, 1, 0.2, math.inf)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, {"max"}),
        (4, {"max"}),
        (5, {"p50", "max"}),
        (10, {"p50", "p90", "max"}),
        (99, {"p50", "p90", "max"}),
        (100, {"p50", "p90", "p99", "max"}),
    ],
)
def test_a_quantile_is_said_of_as_many_values_as_it_takes(tmp_path: Path, count: int, said: set[str]) -> None:
    """One cut of 5.27 s has no p99; below that the longest is told, and of how many."""
    made = ResultStore(tmp_path)
    _cut(made, "reference", *[5.27] * count)
    one = figures.of(made).find("failover", "reference", "power-cut", "first_answer_seconds")

    assert one is not None
    assert set(one.quantiles) == said
    assert one.text("p99") == ("5.27 s" if "p99" in said else f"max of {count}: 5.27 s")


def test_the_worst_of_few_is_the_least_where_more_is_better(tmp_path: Path) -> None:
    """Of two rates the higher one would flatter."""
    made = ResultStore(tmp_path)
    for number, rate in enumerate((8000.0, 9000.0), start=1):
        step = TrialId(bench="load", arm="reference", case="pod-udp", number=number)
        made.add(step, {"requests_per_second": rate})

    assert figures.of(made).summaries[0].text("p50") == "min of 2: 8,000/s"


@pytest.mark.parametrize("name", [aim.name for aim in aims.AIMS])
def test_no_aim_is_held_by_one_trial(tmp_path: Path, name: str) -> None:
    """However good it is, and the row says how many it takes."""
    aim = next(aim for aim in aims.AIMS if aim.name == name)
    arms = ["reference", "reference-fast", "metallb", "keepalived"]
    whole = store(tmp_path, cuts=100, arms=arms, benches=[aim.bench])
    whole.trials = [trial for trial in whole.trials if trial.id.number == 1]
    row = next(row for row in aims.rows(figures.of(whole), {}) if row.aim is aim)

    assert aim.trials > 1
    assert row.outcome is Outcome.NOT_MEASURED
    assert f"of at least {aim.trials} trials" in row.seen or "too few to say" in row.seen


def test_the_longest_of_twenty_stands_where_no_p99_can(tmp_path: Path) -> None:
    """Twenty cuts of the fast profile have no p99: the aim is of the longest, and says of how many."""
    for folder, longest, outcome in (("a", 0.059, Outcome.HELD), ("b", 0.061, Outcome.LOST)):
        made = ResultStore(tmp_path / folder)
        _cut(made, "reference-fast", *[0.03] * 19, longest)
        row = next(row for row in aims.rows(figures.of(made), {}) if row.aim.name == "power-cut-fast")

        assert row.outcome is outcome
        assert row.seen.startswith("max of 20: ")
        assert "longest" in row.aim.text
        assert "p99" not in row.aim.text


def test_a_ratio_says_to_which_arm(tmp_path: Path) -> None:
    """Keepalived is the control of failover where it was measured, MetalLB where it was not."""
    made = ResultStore(tmp_path)
    for case, arms in {"cable": ("reference", "metallb", "keepalived"), "heal": ("reference", "metallb")}.items():
        for arm, value in zip(arms, (0.1, 5.0, 2.0), strict=False):
            _cut(made, arm, *[value] * 5, case=case)
    found = figures.of(made)
    told = {(one.arm, one.case): one.ratios["p50"] for one in found.summaries if one.ratios}

    assert {key: ratio.to for key, ratio in told.items()} == {
        ("reference", "cable"): "keepalived",
        ("metallb", "cable"): "keepalived",
        ("reference", "heal"): "metallb",
    }
    assert told["reference", "cable"].value.value == pytest.approx(0.05)


def test_the_services_of_a_burst_are_a_figure(tmp_path: Path) -> None:
    """Each Service counts, and one that never answered is among them."""
    found = figures.of(store(tmp_path, benches=["allocate"], arms=["metallb"]))
    http = found.find("allocate", "metallb", "burst-1000", "http_seconds")

    assert http is not None
    assert (http.count, http.missing, http.samples, http.trials) == (2000, 3, True, 2)


def test_every_aim_is_held_by_a_run_that_holds_them(tmp_path: Path) -> None:
    """The aims see what the contract calls the figures."""
    arms = ["reference", "reference-fast", "metallb", "keepalived"]

    assert set(_outcomes(store(tmp_path, cuts=100, arms=arms)).values()) == {Outcome.HELD}


def test_what_was_not_run_is_not_measured(tmp_path: Path) -> None:
    """Silence is no success."""
    assert set(_outcomes(ResultStore(tmp_path)).values()) == {Outcome.NOT_MEASURED}


def test_one_arm_alone_is_no_comparison_but_is_told(tmp_path: Path) -> None:
    """The figure that there is stands there, and which is missing."""
    made = store(tmp_path, benches=["allocate"], arms=["reference"])
    told = {row.aim.name: row for row in aims.rows(figures.of(made), {})}

    for name in ("burst-100-arp-p50", "burst-1000-arp-p99", "rest-requests"):
        assert told[name].outcome is Outcome.NOT_MEASURED
        assert re.fullmatch(r"(max of 2: )?\d.*; metallb not measured", told[name].seen), told[name].seen


@pytest.mark.parametrize("name", ["arp_seconds", "api_requests_per_second"])
def test_metallb_alone_is_no_comparison_either(tmp_path: Path, name: str) -> None:
    """Nothing is held where the reference was not measured."""
    made = ResultStore(tmp_path)
    case = "rest" if name == "api_requests_per_second" else "burst-100"
    made.add(TrialId(bench="allocate", arm="metallb", case=case), {name: 1.0})
    seen = [row for row in aims.rows(figures.of(made), {}) if row.seen]

    assert seen
    assert {row.outcome for row in seen} == {Outcome.NOT_MEASURED}
    assert all(row.seen.startswith("reference not measured; metallb ") for row in seen)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("alone-proxy-10ms", "a Service created alone; kube-proxy gathers changes for 10 ms"),
        ("burst-10-proxy-10ms", "10 Services at once; kube-proxy gathers changes for 10 ms"),
        ("burst-1000", "1,000 Services at once"),
    ],
)
def test_a_case_is_said_in_words(case: str, words: str) -> None:
    """A reader does not have to know how cases are named."""
    assert names.case_words(case) == words


def test_too_few_cuts_are_no_success_but_may_be_a_failure(tmp_path: Path) -> None:
    """Ten good cuts prove no distribution; ten bad ones have lost it."""
    good, bad = ResultStore(tmp_path / "good"), ResultStore(tmp_path / "bad")
    _cut(good, "reference", *[0.1] * 10)
    _cut(bad, "reference", *[0.3] * 9, None)

    assert _outcomes(good)["power-cut-p50"] is Outcome.NOT_MEASURED
    assert _outcomes(good)["power-cut-recovered"] is Outcome.NOT_MEASURED
    assert {_outcomes(bad)[f"power-cut-{name}"] for name in ("p50", "p99", "recovered")} == {Outcome.LOST}


@pytest.mark.parametrize(
    ("aim", "step", "values"),
    [
        ("moves-lost", TrialId(bench="moves", arm="reference", case="planned"), {"lost": 1, "sent": 10}),
        ("hogs-takeovers", TrialId(bench="hogs", arm="reference", case="12-hogs"), {"false_takeovers": 1, "sent": 10}),
        ("two-announcers", TrialId(bench="failover", arm="reference", case="heal"), {"two_announcers_seconds": 0.051}),
        (
            "freeze",
            TrialId(bench="load", arm="x", case="freeze-schedule"),
            {"seen_p95_seconds": 1, "truth_p95_seconds": 2},
        ),
    ],
)
def test_an_aim_is_lost_by_what_breaks_it(tmp_path: Path, aim: str, step: TrialId, values: dict[str, float]) -> None:
    """Each bar can be missed."""
    made = ResultStore(tmp_path)
    made.add(step, values)

    assert _outcomes(made)[aim] is Outcome.LOST


def _tool(made: ResultStore, tool: str, rate: float) -> None:
    for number in (1, 2):
        step = TrialId(bench="load", arm=tool, case="ceiling", number=number)
        made.add(step, {"requests_per_second_per_core": rate})


def test_a_generator_that_is_hardly_faster_loses(tmp_path: Path) -> None:
    """Four times the stock user's rate a core is the bar, and a little less is under it."""
    for folder, ours, outcome in (("a", 39_000.0, Outcome.LOST), ("b", 41_000.0, Outcome.HELD)):
        made = ResultStore(tmp_path / folder)
        _tool(made, "FastHttpUser", 10_000.0)
        _tool(made, "ScheduleUser", ours)

        assert _outcomes(made)["load-per-core"] is outcome


def test_a_ruler_that_is_off_loses(tmp_path: Path) -> None:
    """Arms that are one and yet differ, and a freeze that is seen too long or too short."""
    for folder, error, seen, outcome in (("a", 0.0021, 2.11, Outcome.LOST), ("b", 0.0019, 2.09, Outcome.HELD)):
        made = ResultStore(tmp_path / folder)
        for number in range(1, 6):
            made.add(TrialId(bench="ruler", arm="arm-a", case="a-a", number=number), {"error_seconds": 0.0})
            made.add(TrialId(bench="ruler", arm="arm-b", case="a-a", number=number), {"error_seconds": error})
            step = TrialId(bench="ruler", arm="udp", case="freeze", number=number)
            made.add(step, {"seen_seconds": seen, "truth_seconds": 2.0})

        assert {_outcomes(made)[name] for name in ("ruler-alike", "ruler-freeze")} == {outcome}


def test_tiers_that_were_measured_once_have_no_interval(tmp_path: Path) -> None:
    """What is to be shown with intervals takes two rounds."""
    made = ResultStore(tmp_path)
    for number, outcome in ((1, Outcome.NOT_MEASURED), (2, Outcome.HELD)):
        for tier in ("pod", "clusterip", "nodeport", "loadbalancer"):
            step = TrialId(bench="load", arm="reference", case=f"{tier}-keepalive", number=number)
            made.add(step, {"requests_per_second": 8000.0})

        assert _outcomes(made)["load-tiers"] is outcome


def test_a_slower_reference_loses_the_rows_against_the_others(tmp_path: Path) -> None:
    """Rows side by side are lost as soon as the other arm is ahead."""
    outcomes = _outcomes(store(tmp_path, slower={"reference": 20.0}, benches=["allocate", "arp"]))

    assert {name for name, outcome in outcomes.items() if outcome is Outcome.LOST} == {
        *(f"burst-{count}-arp-{quantile}" for count in (100, 1000) for quantile in ("p50", "p99")),
        "rest-requests",
        "arp-p50",
    }


@pytest.mark.parametrize(("slower", "outcome"), [(1.1, Outcome.HELD), (1.11, Outcome.LOST)])
def test_what_should_not_grow_is_lost_when_it_does(tmp_path: Path, slower: float, outcome: Outcome) -> None:
    """Ten thousand addresses are compared with one, and the aim's own number decides."""
    made = ResultStore(tmp_path)
    for count, p99 in ((1, 1e-4), (10_000, slower * 1e-4)):
        for number in range(1, 6):
            step = TrialId(bench="arp", arm="reference", case=f"addresses-{count}", number=number)
            made.add(step, {"p99_seconds": p99})

    assert _outcomes(made)["arp-flat"] is outcome


def test_a_lost_row_gives_its_reason(tmp_path: Path) -> None:
    """The reason that a profile found stands beside the row: from the file, else from the trial."""
    made = ResultStore(tmp_path)
    made.add(
        TrialId(bench="moves", arm="reference", case="planned"), {"lost": 1, "sent": 9}, detail={"reason": "the bridge"}
    )
    before = aims.rows(figures.of(made), aims.read_reasons(tmp_path))
    (tmp_path / "reasons.toml").write_text('moves-lost = "the neighbour table"\n')
    after = aims.rows(figures.of(made), aims.read_reasons(tmp_path))

    assert [row.reason for rows in (before, after) for row in rows if row.aim.name == "moves-lost"] == [
        "the bridge",
        "the neighbour table",
    ]


def test_a_reason_for_no_aim_is_refused(tmp_path: Path) -> None:
    """A misspelt row would go unnoticed."""
    (tmp_path / "reasons.toml").write_text('moves-lots = "x"\n')
    with pytest.raises(UnknownName, match="did you mean 'moves-lost'"):
        aims.read_reasons(tmp_path)
    (tmp_path / "reasons.toml").write_text("moves-lost = 3\n")
    with pytest.raises(BadOption, match="it takes a text"):
        aims.read_reasons(tmp_path)


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (0.1436, "first_answer_seconds", "144 ms"),
        (4.4e-6, "p50_seconds", "4.4 µs"),
        (0.0, "longest_gap_seconds", "0"),
        (None, "steady_seconds", "never"),
        (12_345, "requests_per_second", "12.3k/s"),
        (3 * 2**20, "rest_controller_bytes", "3 MiB"),
        (17, "lost", "17"),
        (0.9997, "answered_share", "99.97 %"),
    ],
)
def test_a_figure_is_told_with_its_unit(value: float | None, name: str, text: str) -> None:
    """Three digits that count, in the unit that a reader takes in."""
    assert names.value_text(value, name) == text
