"""Whether a figure differs between two sides by more than noise: a ratio with its interval, and a permutation test.

Between two runs a figure is first divided by the same figure of its own run's control arm, since the machine is in both
of them. The test then shuffles the arm's values between the runs, and the control's likewise, and forms the ratio of
ratios anew each time: what the control arm does not know for certain is in the noise too.

Values that did not come about are infinite and stay so under any of this. Everything is drawn with a fixed seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lbproof_perf.stats import quantiles
from lbproof_perf.stats.quantiles import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lbproof_perf.stats.quantiles import Floats

_SEED = 20_261_125
_FIRST, _MOST = 1000, 40_000
"""Shuffles that are made at first, and in all where the first do not tell."""
_CLEAR = 20
"""With so many shuffles that were as far apart the chance is known well enough."""
_CELLS = 2_000_000
"""Numbers that are shuffled at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The values of one side, and those of the control arm of its run where they are to be divided by it."""

    values: Floats
    control: Floats | None = None

    def reduced(self, q: float) -> float:
        """The quantile, over the control's where there is one; NaN where that is not defined."""
        value = quantiles.quantile(self.values, q)
        return value if self.control is None else _over(value, quantiles.quantile(self.control, q))


def ratio(of: Side, to: Side, q: float) -> Interval:
    """How many times the quantile of `to` that of `of` is, with its bootstrap interval; NaN where not defined."""
    random = np.random.default_rng(_SEED)
    drawn = [_drawn(side, q, random) for side in (of, to)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = drawn[0] / drawn[1]
    usable = ratios[~np.isnan(ratios)]
    value = _over(of.reduced(q), to.reduced(q))
    if not usable.size or math.isnan(value):
        return Interval(low=math.nan, value=value, high=math.nan)
    low, high = quantiles.ends(usable)
    return Interval(low=low, value=value, high=high)


def chance(of: Side, to: Side, q: float) -> float:
    """How likely quantiles so far apart are when both sides are one: two-sided, on the scale of ratios.

    Raises ValueError for sides of which one alone has a control.
    """
    if (of.control is None) is not (to.control is None):
        raise ValueError("both sides are divided by a control, or none")
    random = np.random.default_rng(_SEED)
    scaled = [_scaled(side, q) for side in (of, to)]
    pools = [_Pool.of([values for values, _ in scaled])]
    if all(control is not None for _, control in scaled):
        pools.append(_Pool.of([control for _, control in scaled if control is not None]))
    seen, seen_rank = (found[0] for found in _distances(pools, [pool.unshuffled for pool in pools], q))
    hits = made = 0
    while made < _MOST and hits < _CLEAR:
        turns = min(_FIRST if not made else _MOST - made, max(1, _CELLS // max(len(pool.values) for pool in pools)))
        orders = [random.permuted(np.repeat(pool.unshuffled, turns, axis=0), axis=1) for pool in pools]
        apart, rank = _distances(pools, orders, q)
        hits += int(np.sum((apart > seen) | ((apart == seen) & (rank >= seen_rank))))
        made += turns
    return (hits + 1) / (made + 1)


def holm(chances: Sequence[float]) -> list[float]:
    """The chances corrected for there being so many of them (Holm, 1979), in the order given."""
    found = np.array(chances)
    order = np.argsort(found, kind="stable")
    found[order] = np.maximum.accumulate(np.minimum(1.0, found[order] * np.arange(len(found), 0, -1)))
    return [float(chance) for chance in found]


def _drawn(side: Side, q: float, random: np.random.Generator) -> Floats:
    found = quantiles.resampled(side.values, q, random, quantiles.RESAMPLES)
    if side.control is None:
        return found
    with np.errstate(divide="ignore", invalid="ignore"):
        divided: Floats = found / quantiles.resampled(side.control, q, random, quantiles.RESAMPLES)
    return divided


def _scaled(side: Side, q: float) -> tuple[Floats, Floats | None]:
    """The values in units of the control's quantile: what of the machine is in them is gone."""
    if side.control is None:
        return side.values, None
    unit = quantiles.quantile(side.control, q)
    return side.values / unit, side.control / unit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    """The values of both sides together."""

    values: Floats
    ranks: Floats
    """Of each value, from 0; those alike share the mean of theirs."""
    first: int
    """How many of them are of the first side."""

    @classmethod
    def of(cls, sides: Sequence[Floats]) -> _Pool:
        values = np.concatenate(sides)
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - (counts + 1) / 2)[place]
        return cls(values=values, ranks=ranks, first=len(sides[0]))

    @property
    def unshuffled(self) -> NDArray[np.int64]:
        """One row: every value where it was measured."""
        return np.arange(len(self.values))[np.newaxis]


def _distances(pools: Sequence[_Pool], orders: Sequence[NDArray[np.int64]], q: float) -> tuple[Floats, Floats]:
    """How far apart both sides are, a row of the orders each: by quantile, then by mean rank.

    The rank decides between shuffles whose quantiles are as far apart: of five zeros and five sevens, every shuffle
    has the same two medians, but only one has all sevens on one side.
    """
    reduced = []
    for pool, order in zip(pools, orders, strict=True):
        mixed = pool.values[order]
        reduced.append([_quantiles(mixed[:, : pool.first], q), _quantiles(mixed[:, pool.first :], q)])
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = reduced[0] if len(reduced) == 1 else [a / b for a, b in zip(*reduced, strict=True)]
    means = pools[0].ranks[orders[0]][:, : pools[0].first].mean(axis=1)
    return _apart(one, other), np.abs(np.round(means - pools[0].ranks.mean(), 9))


def _quantiles(rows: NDArray[np.float64], q: float) -> Floats:
    at = quantiles.rank_of(rows.shape[1], q)
    found: Floats = np.partition(rows, at, axis=1)[:, at]
    return found


def _apart(one: Floats, other: Floats) -> Floats:
    """The distance of two quantiles as the logarithm of their ratio; 0 for two that are alike, also without an end."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.abs(np.log(one) - np.log(other))
    apart: Floats = np.where((one == other) | np.isnan(found), 0.0, found)
    return apart


def _over(value: float, other: float) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.float64(value) / np.float64(other))
