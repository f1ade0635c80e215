"""`bench.json`, for programs: fields are only added; `schema_version` is raised when one changes its meaning.

JSON knows no infinity: a time that did not come about is null, and so is an end of an interval that is longer than any
that was seen. A ratio that is not defined (0 over 0) is left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from lbproof_perf.report.spec import Better  # noqa: TC001 - pydantic reads it while it runs
from lbproof_perf.report.thresholds import Outcome  # noqa: TC001 - pydantic reads it while it runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof_perf.report.figures import Figures, Summary
    from lbproof_perf.report.thresholds import Objective
    from lbproof_perf.stats.quantiles import Interval

SCHEMA = 2
"""2: an outage begins with its first lost probe, and a figure has only the quantiles that it has enough values for."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bounded(_Strict):
    """A quantile with its 95 % interval; null where it did not come about."""

    value: float | None
    low: float | None
    high: float | None


class Against(_Strict):
    """A quantile over the same one of the control arm of this run."""

    quantile: str
    to: str
    ratio: Bounded


class Figure(_Strict):
    """One figure of one arm in one case."""

    bench: str
    arm: str
    case: str
    name: str
    unit: str
    """`seconds`, `bytes`, `per_second`, `cores`, `share`; empty for a count."""
    better: Better
    of_samples: bool
    """Whether the values are samples within trials (Services of a burst, requests), not one a trial."""
    count: int
    without: int
    """How many of the values did not come about."""
    quantiles: dict[str, Bounded]
    """`p50` from 5 values on, `p90` from 10, `p99` from 100; `max` always."""
    ratios: list[Against]


class Mark(_Strict):
    """Why to look twice at a trial."""

    bench: str
    arm: str
    case: str
    number: int
    text: str


class Aimed(_Strict):
    """A threshold, and what was seen."""

    name: str
    bench: str
    text: str
    aim: str
    seen: str
    outcome: Outcome
    reason: str
    """Empty; runs before version 0.2 had it."""


class Report(_Strict):
    """All that is said of a run."""

    schema_version: int
    trials: int
    environment: dict[str, str]
    aims: list[Aimed]
    figures: list[Figure]
    marks: list[Mark]


def of(figures: Figures, checked: Sequence[Objective], environment: Mapping[str, str]) -> Report:
    """The report of a run's figures."""
    return Report(
        schema_version=SCHEMA,
        trials=sum(len(group.trials) for group in figures.groups),
        environment={name: str(value) for name, value in environment.items()},
        aims=[
            Aimed(
                name=row.key,
                bench=row.bench,
                text=row.text,
                aim=row.limit,
                seen=row.seen,
                outcome=row.outcome,
                reason="",
            )
            for row in checked
        ],
        figures=[_figure(one) for one in figures.summaries],
        marks=[
            Mark(bench=group.bench, arm=group.arm, case=group.case, number=number, text=text)
            for group in figures.groups
            for number, text in group.warnings
        ],
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `bench.json`."""
    return Report.model_json_schema()


def _figure(one: Summary) -> Figure:
    return Figure(
        bench=one.bench,
        arm=one.arm,
        case=one.case,
        name=one.name,
        unit=one.metric.unit,
        better=one.metric.better,
        of_samples=one.samples,
        count=one.count,
        without=one.missing,
        quantiles={label: _bounded(found) for label, found in one.quantiles.items()},
        ratios=[
            Against(quantile=label, to=ratio.to, ratio=_bounded(ratio.value))
            for label, ratio in one.ratios.items()
            if not math.isnan(ratio.value.value)
        ],
    )


def _bounded(found: Interval) -> Bounded:
    low, value, high = (one if math.isfinite(one) else None for one in (found.low, found.value, found.high))
    return Bounded(value=value, low=low, high=high)
