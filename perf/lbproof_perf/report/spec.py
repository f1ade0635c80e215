"""What a benchmark tells the report about itself: metrics, control arms, cases, plots. `Benchmark` extends it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from lbproof_perf.report.formatting import unit_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lbproof_perf.report.answers import Answer
    from lbproof_perf.report.figures import Figures
    from lbproof_perf.report.views import BenchmarkView, CaseView, Plot


class Better(StrEnum):
    """In which direction a metric is better."""

    LESS = "less"
    MORE = "more"
    NEITHER = "neither"
    """It describes how the trial was made, not how good the arm is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A value that each trial has. Its name, as in `trials.ndjson`, ends with the unit."""

    name: str
    text: str
    """Its name for a reader."""
    better: Better = Better.LESS

    @property
    def unit(self) -> str:
        """`seconds`, `bytes`, `per_second`, `cores`, `share`; empty for a count."""
        return unit_of(self.name)


def metrics(better: Better = Better.LESS, /, **texts: str) -> tuple[Metric, ...]:
    """Make metrics of names and their texts."""
    return tuple(Metric(name=name, text=text, better=better) for name, text in texts.items())


_COUNTED = {
    "rate": "{:,} Services a second",
    "burst": "{:,} Services at once",
    "services": "{:,} Services",
    "nodes": "{:,} nodes",
    "restart": "all restarted, with {:,} Services",
    "addresses": "{:,} addresses",
}
"""Prefix of a case whose name ends with a number → its description."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkReport:
    """What the report must know of a benchmark."""

    name: str
    question: str
    method: str = ""
    """How it is measured, in a sentence or two."""
    metrics: tuple[Metric, ...] = ()
    main: tuple[str, ...] = ()
    """Names of the metrics that are shown first; raw values are listed of the first one."""
    controls: tuple[str, ...] = ("metallb",)
    """Control arm: the first of these that the same case was measured with."""
    samples: Mapping[str, str] = field(default_factory=dict)
    """Array of a trial → metric that is made of all its elements."""
    cases: Mapping[str, str] = field(default_factory=dict)
    """Case → what was done."""
    case_plots: tuple[Callable[[CaseView], Iterator[Plot]], ...] = ()
    overview_plots: tuple[Callable[[BenchmarkView], Iterator[Plot]], ...] = ()
    """Plots over all cases."""
    answer: Callable[[Figures], Answer | None] | None = None
    """The answer to the question at the top of the report."""
    paired_plots: bool = False
    """Whether the plots over all cases stand side by side."""

    def metric(self, name: str) -> Metric:
        """The metric of that name. An unknown one, of another version, has its name as text, and better in no way."""
        known = (metric for metric in self.metrics if metric.name == name)
        return next(known, None) or Metric(name=name, text=name.replace("_", " "), better=Better.NEITHER)

    def control_of(self, arms: set[str]) -> str:
        """The control arm among arms; empty where there is none."""
        return next((arm for arm in self.controls if arm in arms), "")

    def case_text(self, case: str) -> str:
        """Describe a case for a reader."""
        case, _, period = case.partition("-proxy-")
        if period:
            return f"{self.case_text(case)}; kube-proxy gathers changes for {period.removesuffix('ms')} ms"
        if case in self.cases:
            return self.cases[case]
        match = re.fullmatch(r"([a-z]+)-(\d+)(.*)", case)
        if match and match[1] in _COUNTED:
            text = _COUNTED[match[1]].format(int(match[2])) + match[3].replace("-", " ")
            return "1 address" if case == "addresses-1" else text
        return f"{int(case):,} addresses" if case.isdigit() else case.replace("-", " ")
