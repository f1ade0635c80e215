"""Summaries of a run's trials (`ResultStore`): one for each metric, with intervals and the ratio to the control arm.

Page, JSON, metrics, terminal and `lbproof compare` all read these, so that they agree.
All functions are pure: the same trials give the same figures. Which trials count, `lbproof_perf.marks` says. A missing
value counts as longer than any that was measured, so a quantile may be infinite (`lbproof_perf.stats.quantiles`).

Beside the values of the trials stand those of their arrays (`BenchmarkReport.samples`): each Service of a burst, each
ARP request. The samples of one trial are not independent of each other, as trials are: their intervals say how well
this run knows the quantile, not where another run would find it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lbproof.spec.names import check_name
from lbproof_perf import marks
from lbproof_perf.report import formatting
from lbproof_perf.report.spec import BenchmarkReport, Better
from lbproof_perf.stats import quantiles
from lbproof_perf.stats.differences import Side, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lbproof_perf.report.spec import Metric
    from lbproof_perf.results import ResultStore, Trial
    from lbproof_perf.stats.quantiles import Interval

QUANTILES: Mapping[str, float] = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
"""Name of a quantile → the share of values that do not exceed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A quantile over the same one of the control arm."""

    to: str
    """The control arm."""
    value: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One figure of one arm in one case, over all its trials."""

    bench: str
    arm: str
    case: str
    metric: Metric
    values: tuple[float, ...]
    """Each that was measured, in the order of the trials; infinite where it did not come about."""
    quantiles: Mapping[str, Interval]
    """`p50`, `p90`, `p99`, `max` → value with its interval, which is the value itself for `max`. Only those that there
    are enough values for (`quantiles.needed`)."""
    ratios: Mapping[str, Ratio]
    """`p50`, `p99` → ratio to the control arm; empty for the control itself, where there is none, and where one of both
    has too few values."""
    trials: int
    """How many trials the values are from."""
    left_out: int
    """How many trials of the arm in the case are left out (`lbproof_perf.marks`)."""
    of_samples: bool
    """Whether the values are samples within trials, not one a trial."""

    @property
    def name(self) -> str:
        """Name of the metric."""
        return self.metric.name

    @property
    def unit(self) -> str:
        """Unit of the metric."""
        return self.metric.unit

    @property
    def better(self) -> Better:
        """In which direction the metric is better."""
        return self.metric.better

    @property
    def key(self) -> str:
        """`failover.reference.power-cut.first_answer_seconds`."""
        return f"{self.bench}.{self.arm}.{self.case}.{self.name}"

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.values)

    @property
    def without(self) -> int:
        """How many of them did not come about."""
        return sum(math.isinf(value) for value in self.values)

    @property
    def median_ratio(self) -> Ratio | None:
        """The ratio of the medians; None where there is none or it is not defined (0 over 0)."""
        ratio = self.ratios.get("p50")
        return None if ratio is None or math.isnan(ratio.value.value) else ratio

    def at(self, quantile: str) -> float:
        """The value at the place of a quantile: `p50`.

        Also of fewer values than the quantile takes: to draw or to judge by, and not to be told as it (`text`).
        """
        return quantiles.quantile(self.values, QUANTILES[quantile])

    def value(self, quantile: str) -> float:
        """A quantile; of fewer values than it takes, the worst of them (`describe`)."""
        if quantiles.enough(self.count, QUANTILES[quantile]):
            return self.at(quantile)
        return min(self.values) if self.better is Better.MORE else max(self.values)

    def describe(self, quantile: str) -> tuple[str, str]:
        """A quantile with its unit, after no words; of fewer values than it takes `max of 3` and the worst of them."""
        enough = quantiles.enough(self.count, QUANTILES[quantile])
        words = "" if enough else f"{'min' if self.better is Better.MORE else 'max'} of {self.count}"
        return words, formatting.value_text(self.value(quantile), self.name)

    def text(self, quantile: str) -> str:
        """The same in one: `144 ms`, `max of 3: 144 ms`."""
        return ": ".join(filter(None, self.describe(quantile)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The trials of one arm in one case."""

    bench: str
    arm: str
    case: str
    trials: tuple[Trial, ...]

    @property
    def warnings(self) -> list[tuple[Trial, str]]:
        """A trial and why to look twice at it."""
        return [(trial, warning) for trial in self.trials for warning in trial.warnings]

    @property
    def counted(self) -> list[Trial]:
        """The trials that the figures are made of (`lbproof_perf.marks`)."""
        return marks.counted(self.trials)

    @property
    def left_out(self) -> int:
        """How many trials are left out of the figures."""
        return len(self.trials) - len(self.counted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All summaries of a run."""

    summaries: tuple[Summary, ...]
    """In the order of benchmark, case, figure, arm, as the trials first name them."""
    groups: tuple[Group, ...]
    known: Mapping[str, BenchmarkReport]
    """Every benchmark that is known, in the order of the report."""

    def find(self, bench: str, arm: str, case: str, name: str) -> Summary | None:
        """A figure, or None where it was not measured."""
        wanted = (bench, arm, case, name)
        return next((one for one in self.summaries if (one.bench, one.arm, one.case, one.name) == wanted), None)

    def of(self, bench: str, *, arm: str = "", case: str = "", name: str = "") -> list[Summary]:
        """The figures of a benchmark, perhaps of one arm, case or name."""
        return [
            one
            for one in self.summaries
            if one.bench == bench and arm in ("", one.arm) and case in ("", one.case) and name in ("", one.name)
        ]

    def groups_of(self, bench: str, case: str, arm: str = "") -> list[Group]:
        """The trials of a case, perhaps of one arm."""
        return [group for group in self.groups if (group.bench, group.case) == (bench, case) and arm in ("", group.arm)]

    def mark(self, one: Summary) -> str:
        """Why nothing is judged by a figure: a mark, where no trial counts or all were disturbed, else empty."""
        made = [trial for group in self.groups_of(one.bench, one.case, one.arm) for trial in group.trials]
        return marks.against(made)

    @property
    def benches(self) -> list[str]:
        """The benchmarks that were run, in the report's order."""
        there = {group.bench for group in self.groups}
        return [one for one in self.known if one in there]

    def about(self, bench: str) -> BenchmarkReport:
        """What a benchmark says about itself."""
        return self.known[bench]

    def arms(self, bench: str) -> list[str]:
        """The arms of a benchmark in the order in which they were first measured."""
        return list(dict.fromkeys(group.arm for group in self.groups if group.bench == bench))

    def cases(self, bench: str) -> list[str]:
        """The cases of a benchmark in the order in which they were first measured."""
        return list(dict.fromkeys(group.case for group in self.groups if group.bench == bench))


def summarize(store: ResultStore, known: Mapping[str, BenchmarkReport]) -> Figures:
    """Summarize a run; `known` are the benchmarks' descriptions by name.

    Raises `UnknownName` for a trial of another benchmark: which figures it has, and which are better, is not known.
    """
    for trial in store.trials:
        check_name("benchmark", trial.id.bench, f"{store.folder}/trials.ndjson", known, "lbproof bench --help")
    empty = Figures(summaries=(), groups=tuple(_groups(store.trials)), known=known)
    found, left_out = _values(store, empty), {(g.bench, g.arm, g.case): g.left_out for g in empty.groups}
    arms: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for bench, case, name, arm in found:
        arms[bench, case, name].add(arm)
    summaries = []
    for (bench, case, name, arm), parts in found.items():
        about = empty.about(bench)
        control = about.control_of(arms[bench, case, name])
        against = np.concatenate(found[bench, case, name, control]) if control and control != arm else None
        values = np.concatenate(parts)
        summaries.append(
            Summary(
                bench=bench,
                arm=arm,
                case=case,
                metric=about.metric(name),
                values=tuple(map(float, values)),
                quantiles={
                    label: quantiles.interval(values, q)
                    for label, q in QUANTILES.items()
                    if quantiles.enough(len(values), q)
                },
                ratios={} if against is None else _ratios(control, values, against),
                trials=len(parts),
                left_out=left_out[bench, arm, case],
                of_samples=name in about.samples.values(),
            )
        )
    return replace(empty, summaries=tuple(summaries))


def _values(store: ResultStore, figures: Figures) -> dict[tuple[str, str, str, str], list[quantiles.Floats]]:
    """`(bench, case, name, arm)` → values of each trial that counts, sorted so that what is compared is together."""
    found: dict[tuple[str, str, str, str], list[quantiles.Floats]] = defaultdict(list)
    counted = {trial.id for group in figures.groups for trial in group.counted}
    for trial in (trial for trial in store.trials if trial.id in counted):
        trial_id = trial.id
        for name, value in trial.values.items():
            found[trial_id.bench, trial_id.case, name, trial_id.arm].append(quantiles.array([value]))
        if wanted := figures.about(trial_id.bench).samples:
            for array, samples in store.arrays(trial).items():
                if array in wanted and samples.size:
                    made = quantiles.array(samples.astype(np.float64).ravel())
                    found[trial_id.bench, trial_id.case, wanted[array], trial_id.arm].append(made)
    order = {key: number for number, key in enumerate(dict.fromkeys((b, c) for b, c, _, _ in found))}
    inner = {key: number for number, key in enumerate(dict.fromkeys((b, c, n) for b, c, n, _ in found))}
    keys = sorted(found, key=lambda key: (order[key[:2]], inner[key[:3]]))
    return {key: found[key] for key in keys}


def _groups(trials: Sequence[Trial]) -> Iterator[Group]:
    found: dict[tuple[str, str, str], list[Trial]] = defaultdict(list)
    for trial in trials:
        found[trial.id.bench, trial.id.arm, trial.id.case].append(trial)
    for (bench, arm, case), made in found.items():
        yield Group(bench=bench, arm=arm, case=case, trials=tuple(made))


def _ratios(control: str, values: quantiles.Floats, against: quantiles.Floats) -> dict[str, Ratio]:
    fewer = min(len(values), len(against))
    return {
        label: Ratio(to=control, value=ratio(Side(values=values), Side(values=against), QUANTILES[label]))
        for label in ("p50", "p99")
        if quantiles.enough(fewer, QUANTILES[label])
    }
