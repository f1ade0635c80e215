"""`bench.json`, for programs: fields are only added; `schema_version` is raised when one changes its meaning.

JSON knows no infinity: a time that did not come about is null, and so is an end of an interval that is longer than any
that was seen. A ratio that is not defined (0 over 0) is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from lbproof_perf import marks
from lbproof_perf.marks import Effect
from lbproof_perf.report.spec import Better  # noqa: TC001 - pydantic reads it while it runs
from lbproof_perf.report.thresholds import Outcome  # noqa: TC001 - pydantic reads it while it runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.witnesses.clock import Clock
    from lbproof_perf.report.figures import Figures, Ratio
    from lbproof_perf.report.thresholds import Objective

SCHEMA = 3
"""2: an outage begins with its first lost probe, and a figure has only the quantiles that it has enough values for.
3: a figure leaves out trials whose marks say that they do not count (`left_out`, `Mark.effect`)."""


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _rows(ratios: Mapping[str, Ratio] | list[Any]) -> list[Any]:
    """A summary's ratios as rows of the file, without those that are not defined."""
    if not isinstance(ratios, Mapping):
        return ratios
    return [
        {"quantile": label, "to": ratio.to, "ratio": ratio.value}
        for label, ratio in ratios.items()
        if not math.isnan(ratio.value.value)
    ]


_Number = Annotated[float | None, BeforeValidator(_finite)]


class _Strict(BaseModel):
    """Made of the attributes of figures, summaries and objectives, or read from the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


class Bounded(_Strict):
    """A quantile with its 95 % interval; null where it did not come about."""

    value: _Number
    low: _Number
    high: _Number


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
    left_out: int = 0
    """How many trials of the arm in the case are no part of the figure; 0 in reports of earlier versions."""
    not_judged: str = ""
    """The mark for which the figure is no headline and nothing is judged by it; empty where there is none."""
    quantiles: dict[str, Bounded]
    """`p50` from 5 values on, `p90` from 10, `p99` from 100; `max` always."""
    ratios: Annotated[list[Against], BeforeValidator(_rows)]


class Mark(_Strict):
    """Why to look twice at a trial."""

    bench: str
    arm: str
    case: str
    number: int
    text: str
    effect: Effect = Effect.DISTURBED
    """`left out`: the trial is part of no figure, unless it has a `result` too, or no trial of its case counts.
    `result`: the implementation did not bring it about in its time. `counted`: the trial was disturbed."""


class Aimed(_Strict):
    """A threshold, and what was seen."""

    name: str = Field(validation_alias=AliasChoices("name", "key"))
    bench: str
    text: str
    aim: str = Field(validation_alias=AliasChoices("aim", "limit"))
    seen: str
    outcome: Outcome
    reason: str = ""
    """Empty; runs before version 0.2 had it."""


class VantageClock(_Strict):
    """Monotonic clock of a vantage, in seconds."""

    offset: float
    """How far it is ahead of the clock of the benchmark's process, to which all moments are converted."""
    uncertainty: float
    """Of the offset; 0 when both are the same clock."""


class Report(_Strict):
    """All that is said of a run."""

    schema_version: int
    trials: int
    environment: dict[str, str]
    aims: list[Aimed]
    figures: list[Figure]
    marks: list[Mark]
    clocks: dict[str, VantageClock] = {}
    """Clock of each vantage whose moments are in the figures; empty in reports of earlier versions."""


def of(
    figures: Figures,
    checked: Sequence[Objective],
    environment: Mapping[str, str],
    clocks: Mapping[str, Clock] | None = None,
) -> Report:
    """The report of a run's figures."""
    return Report(
        schema_version=SCHEMA,
        trials=sum(len(group.trials) for group in figures.groups),
        environment={name: str(value) for name, value in environment.items()},
        aims=[Aimed.model_validate(row) for row in checked],
        figures=[
            Figure.model_validate(one).model_copy(update={"not_judged": figures.mark(one)}) for one in figures.summaries
        ],
        marks=[
            Mark(
                bench=group.bench,
                arm=group.arm,
                case=group.case,
                number=trial.id.number,
                text=text,
                effect=marks.effect(text),
            )
            for group in figures.groups
            for trial, text in group.warnings
        ],
        clocks={vantage: VantageClock.model_validate(clock) for vantage, clock in (clocks or {}).items()},
    )
