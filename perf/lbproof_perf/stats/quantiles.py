"""What may be said of figures: quantiles with bootstrap intervals, and slopes.

A value that did not come about (None, NaN) is longer than any that did: it moves a quantile and is never dropped, so a
quantile can be infinite. Everything is drawn with a fixed seed: the same trials give the same figures.
Efron and Tibshirani, An Introduction to the Bootstrap (1993), percentile intervals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESAMPLES = 2000
LEVEL = 0.95
FEWEST = 5
"""Values that any quantile but the highest takes: of fewer the middle one is hardly more than a value by chance."""
_SEED = 20_261_124


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure and where it would lie in 95 of 100 repetitions; both ends may be infinite."""

    low: float
    value: float
    high: float


def array(values: Iterable[float | None] | Floats) -> Floats:
    """The values in an array, those that did not come about as infinity."""
    if isinstance(values, np.ndarray):
        made = values.astype(np.float64)
    else:
        made = np.array([math.inf if value is None else value for value in values], dtype=np.float64)
    made[np.isnan(made)] = math.inf
    return made


def quantile(values: Iterable[float | None] | Floats, q: float) -> float:
    """The value that a share `q` of the values do not exceed: one of them, no mean of two.

    Raises ValueError without values or for a `q` outside 0 to 1.
    """
    ordered = np.sort(array(values))
    if not len(ordered) or not 0 <= q <= 1:
        raise ValueError(f"no quantile {q:g} of {len(ordered)} values")
    return float(ordered[rank_of(len(ordered), q)])


def needed(q: float) -> int:
    """How many values a quantile takes to be said at all: so many that one of them lies beyond it, and `FEWEST`.

    p50 takes 5, p90 10, p95 20, p99 100. Of fewer values the quantile would be the highest of them under another name:
    whoever reports figures then says `max of n`. The highest itself (`q` of 1) is that of one value too.
    """
    return 1 if q >= 1 else max(FEWEST, math.ceil(round(1 / (1 - q), 6)))


def enough(count: int, q: float) -> bool:
    """Whether so many values are as many as a quantile takes."""
    return count >= needed(q)


def interval(values: Iterable[float | None] | Floats, q: float, *, resamples: int = RESAMPLES) -> Interval:
    """A quantile with its bootstrap interval.

    With few values a high quantile's interval ends at the highest: it says no more than was seen. That of the highest
    is the highest itself, since resampling can find no higher one.
    """
    found = array(values)
    if q >= 1:
        highest = quantile(found, 1)
        return Interval(low=highest, value=highest, high=highest)
    drawn = resampled(found, q, np.random.default_rng(_SEED), resamples)
    low, high = ends(drawn)
    return Interval(low=low, value=quantile(found, q), high=high)


def slope(xs: Iterable[float], ys: Iterable[float]) -> tuple[float, float, float]:
    """Least squares: slope, value at 0, and R squared (1: all on the line). Raises ValueError with fewer than two."""
    x, y = np.array(list(xs), dtype=np.float64), np.array(list(ys), dtype=np.float64)
    if len(np.unique(x)) < 2:  # noqa: PLR2004 - a line takes two points
        raise ValueError("a slope takes two different places")
    rise, base = np.polyfit(x, y, 1)
    rest, total = float(np.sum((y - (rise * x + base)) ** 2)), float(np.sum((y - y.mean()) ** 2))
    return float(rise), float(base), 1.0 if total == 0 else 1 - rest / total


def resampled(values: Floats, q: float, random: np.random.Generator, resamples: int) -> Floats:
    """So many bootstrap replicates of a quantile. Raises ValueError without values.

    Nothing need be drawn but ranks: a replicate is the k-th smallest of n values drawn with equal chances, and the
    k-th smallest of n uniform numbers is distributed as Beta(k, n - k + 1).
    """
    if not len(values):
        raise ValueError("no values")
    count, at = len(values), rank_of(len(values), q)
    ranks = (count * random.beta(at + 1, count - at, resamples)).astype(np.int64)
    drawn: Floats = np.sort(values)[np.minimum(ranks, count - 1)]
    return drawn


def rank_of(count: int, q: float) -> int:
    """Place of a quantile among so many sorted values, from 0."""
    return max(0, math.ceil(q * count - 1e-9) - 1)


def ends(drawn: Floats) -> tuple[float, float]:
    """Both ends of the interval that holds `LEVEL` of the replicates. Raises ValueError without any."""
    edge = (1 - LEVEL) / 2
    return quantile(drawn, edge), quantile(drawn, 1 - edge)
