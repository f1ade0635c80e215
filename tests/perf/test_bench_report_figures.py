"""What is said of a book: quantiles, samples and ratios to the control arm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from tests.perf.synthetic_results import KNOWN, store

from lbproof_perf.report import answers, figures, formatting
from lbproof_perf.results import ResultStore, TrialId

if TYPE_CHECKING:
    from pathlib import Path


def _cut(made: ResultStore, arm: str, *seconds: float | None, case: str = "power-cut") -> None:
    for number, value in enumerate(seconds, start=1):
        step = TrialId(bench="failover", arm=arm, case=case, number=number)
        made.add(step, {"first_answer_seconds": value})


def test_an_empty_book_has_no_figures(tmp_path: Path) -> None:
    """A run that was stopped before its first trial can be reported too."""
    found = figures.summarize(ResultStore(tmp_path), KNOWN)

    assert found.summaries == ()
    assert found.benches == []


def test_a_cut_without_recovery_is_counted_and_longer_than_any(tmp_path: Path) -> None:
    """Nothing is dropped for being slow."""
    made = ResultStore(tmp_path)
    _cut(made, "reference", 0.1, None, 0.2, 0.3)
    one = figures.summarize(made, KNOWN).find("failover", "reference", "power-cut", "first_answer_seconds")

    assert one is not None
    assert (one.count, one.without, one.at("p50"), one.at("max")) == (4, 1, 0.2, math.inf)


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
    one = figures.summarize(made, KNOWN).find("failover", "reference", "power-cut", "first_answer_seconds")

    assert one is not None
    assert set(one.quantiles) == said
    assert one.text("p99") == ("5.27 s" if "p99" in said else f"max of {count}: 5.27 s")


def test_the_worst_of_few_is_the_least_where_more_is_better(tmp_path: Path) -> None:
    """Of two rates the higher one would flatter."""
    made = ResultStore(tmp_path)
    for number, rate in enumerate((8000.0, 9000.0), start=1):
        step = TrialId(bench="load", arm="reference", case="pod-udp", number=number)
        made.add(step, {"requests_per_second": rate})

    assert figures.summarize(made, KNOWN).summaries[0].text("p50") == "min of 2: 8,000/s"


def test_a_ratio_says_to_which_arm(tmp_path: Path) -> None:
    """Keepalived is the control of failover where it was measured, MetalLB where it was not."""
    made = ResultStore(tmp_path)
    for case, arms in {"cable": ("reference", "metallb", "keepalived"), "heal": ("reference", "metallb")}.items():
        for arm, value in zip(arms, (0.1, 5.0, 2.0), strict=False):
            _cut(made, arm, *[value] * 5, case=case)
    found = figures.summarize(made, KNOWN)
    told = {(one.arm, one.case): one.ratios["p50"] for one in found.summaries if one.ratios}

    assert {key: ratio.to for key, ratio in told.items()} == {
        ("reference", "cable"): "keepalived",
        ("metallb", "cable"): "keepalived",
        ("reference", "heal"): "metallb",
    }
    assert told["reference", "cable"].value.value == pytest.approx(0.05)


def test_the_services_of_a_burst_are_a_figure(tmp_path: Path) -> None:
    """Each Service counts, and one that never answered is among them."""
    found = figures.summarize(store(tmp_path, benches=["allocate"], arms=["metallb"]), KNOWN)
    http = found.find("allocate", "metallb", "burst-1000", "http_seconds")

    assert http is not None
    assert (http.count, http.without, http.of_samples, http.trials) == (2000, 3, True, 2)


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
    assert KNOWN["allocate"].case_text(case) == words


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
    assert formatting.value_text(value, name) == text


def test_the_cost_of_few_trials_is_the_worst_of_them(tmp_path: Path) -> None:
    """The words and the figure of the headline are of the same values."""
    made = ResultStore(tmp_path)
    for number, (controller, speakers) in enumerate([(0.1, 0.4), (0.3, 0.2)], start=1):
        trial = TrialId(bench="scale", arm="acme", case="services-10", number=number)
        made.add(trial, {"rest_controller_cpu_cores": controller, "rest_speakers_cpu_cores": speakers})

    answer = answers.scale(figures.summarize(made, KNOWN))
    assert answer
    (arm,) = answer.arms
    assert arm.figure == "0.7 cores"
    assert arm.text.startswith("max of 2; ")
