"""Thresholds held against the figures of one run: held, lost or not measured.

Too few trials are no success: what holds so far but was measured too seldom is `not measured`, and says how often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from lbproof_perf.report.figures import QUANTILES
from lbproof_perf.report.formatting import range_text, ratio_text, value_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lbproof_perf.report.figures import Figures, Summary
    from lbproof_perf.report.thresholds import Threshold


class Outcome(StrEnum):
    """Result of a threshold."""

    HELD = "held"
    LOST = "lost"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A threshold and one figure that it covers."""

    threshold: Threshold
    bench: str
    key: str
    """Of the figure; the threshold's pattern where no figure is covered."""
    text: str
    limit: str
    """`at most 150 ms`."""
    seen: str
    outcome: Outcome


def check(figures: Figures, thresholds: Sequence[Threshold]) -> list[Objective]:
    """Every threshold that can be checked within one run, for each figure that it covers."""
    return [one for threshold in thresholds if threshold.absolute for one in _check(figures, threshold)]


def of_run(objectives: Sequence[Objective], figures: Figures) -> tuple[list[Objective], str]:
    """Those of the benchmarks that were run, and a sentence about those of others (empty for none)."""
    asked = [one for one in objectives if one.bench in figures.benches or any(c in one.bench for c in "*?[")]
    left = dict.fromkeys(one.bench for one in objectives if one not in asked)
    return asked, f"Not run, so their thresholds are open: {', '.join(left)}." if left else ""


def _check(figures: Figures, threshold: Threshold) -> Iterator[Objective]:
    covered = [
        (one, label) for one in figures.summaries for label in QUANTILES if threshold.covers(f"{one.key}.{label}")
    ]
    if not covered:
        bench, arm, case, name, label = threshold.pattern.split(".")
        about = figures.about(bench)
        text = threshold.text or f"{about.case_text(case)}: {about.metric(name).text}, {label}"
        yield Objective(
            threshold=threshold,
            bench=bench,
            key=threshold.pattern,
            text=f"{arm}: {text}",
            limit=_limit(threshold, name),
            seen="",
            outcome=Outcome.NOT_MEASURED,
        )
    for one, label in covered:
        seen, held = _judge(figures, threshold, one, label)
        outcome = Outcome.NOT_MEASURED if held is None else Outcome.HELD if held else Outcome.LOST
        if held and one.trials < threshold.trials:
            outcome, seen = Outcome.NOT_MEASURED, f"{seen}: {one.trials} of at least {threshold.trials} trials"
        about = figures.about(one.bench)
        text = threshold.text or f"{about.case_text(one.case)}: {one.metric.text}, {label}"
        yield Objective(
            threshold=threshold,
            bench=one.bench,
            key=f"{one.key}.{label}",
            text=f"{one.arm}: {text}",
            limit=_limit(threshold, one.name),
            seen=seen,
            outcome=outcome,
        )


def _judge(figures: Figures, threshold: Threshold, one: Summary, label: str) -> tuple[str, bool | None]:
    """What was seen, and whether it is within the threshold; None where too little was measured."""
    seen = _interval_text(one, label)
    value = one.at(label)
    known = label in one.quantiles
    held: bool | None = None
    if known and (threshold.most is not None or threshold.least is not None):
        high = threshold.most is None or value <= threshold.most
        held = high and (threshold.least is None or value >= threshold.least)
    if threshold.times is not None:
        other, its = _reference(figures, threshold, one, label)
        if other is None or its not in other.quantiles or not known:
            beside = f"{threshold.of} not measured" if other is None else _interval_text(other, its)
            return f"{seen}; {beside}", None
        base = other.at(its)
        within = math.isfinite(value) and value <= threshold.times * base
        held = within if held is None else held and within
        seen = f"{ratio_text(value / base) if base else 'undefined'}: {seen}; {_interval_text(other, its)}"
    return seen, held


def _reference(figures: Figures, threshold: Threshold, one: Summary, label: str) -> tuple[Summary | None, str]:
    """The figure that `of` names, and its quantile."""
    if "." not in threshold.of:
        return figures.find(one.bench, threshold.of, one.case, one.name), label
    key, _, its = threshold.of.rpartition(".")
    return next((other for other in figures.summaries if other.key == key), None), its


def _limit(threshold: Threshold, name: str) -> str:
    parts = []
    if threshold.least is not None:
        parts.append(f"at least {value_text(threshold.least, name)}")
    if threshold.most is not None:
        parts.append(f"at most {value_text(threshold.most, name)}")
    if threshold.times is not None:
        parts.append(f"at most {ratio_text(threshold.times)} of {threshold.of}")
    if threshold.trials > 1:
        parts.append(f"{threshold.trials} trials")
    return ", ".join(parts)


def _interval_text(one: Summary, label: str) -> str:
    """A quantile with its interval; of too few values for it, the worst of them."""
    text, found = one.text(label), one.quantiles.get(label)
    if label == "max":
        return f"max of {one.count}: {text}"
    if found is None or found.low == found.high:
        return text
    return f"{text} ({range_text(found.low, found.high, one.name)})"
