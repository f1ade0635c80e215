"""What is said of figures is right, and says no more than was seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbproof_perf.stats.differences import Side, chance, ratio
from lbproof_perf.stats.quantiles import enough, interval, needed, quantile, slope


def test_a_quantile_is_a_value_that_was_seen() -> None:
    """No figure is made up between two that were measured."""
    assert quantile([4, 1, 3, 2], 0.5) == 2
    assert quantile(range(1, 101), 0.99) == 99
    assert quantile([7.0], 0) == quantile([7.0], 1) == 7


def test_what_did_not_happen_is_longer_than_anything() -> None:
    """A lost trial moves the quantiles and is not dropped."""
    assert quantile([0.1, None, 0.3], 0.5) == 0.3
    assert quantile([0.1, math.nan], 1) == math.inf
    assert interval([0.1, 0.2, None], 0.99).high == math.inf


@pytest.mark.parametrize("q", [-0.1, 1.1])
def test_a_share_outside_zero_to_one_is_refused(q: float) -> None:
    """A percentile given as 99 instead of 0.99 is noticed."""
    with pytest.raises(ValueError, match="no quantile"):
        quantile([1.0], q)


@pytest.mark.parametrize(("q", "values"), [(0.5, 5), (0.9, 10), (0.95, 20), (0.99, 100), (0.9999, 10_000), (1.0, 1)])
def test_a_quantile_takes_so_many_values(q: float, values: int) -> None:
    """One of them at least must lie beyond it, and a median takes five; the longest is that of one too."""
    assert needed(q) == values
    assert enough(values, q)
    assert not enough(values - 1, q)


def test_no_values_have_no_quantile() -> None:
    """An empty arm is an error, not a zero."""
    with pytest.raises(ValueError, match="of 0 values"):
        quantile([], 0.5)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_an_interval_holds_its_value_within_what_was_seen(values: list[float]) -> None:
    """The bootstrap adds nothing to the data."""
    found = interval(values, 0.5, resamples=50)

    assert min(values) <= found.low <= found.high <= max(values)


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Of many samples of one distribution, about 95 in 100 intervals hold its median."""
    random = np.random.default_rng(1)
    found = [interval(random.exponential(1.0, 60), 0.5, resamples=300) for _ in range(200)]
    held = sum(one.low <= math.log(2) <= one.high for one in found)

    assert 180 <= held <= 199


def test_arms_that_are_one_do_not_differ_and_arms_apart_do() -> None:
    """Noise is told from a difference."""
    random = np.random.default_rng(2)
    rows = random.normal(0.13, 0.01, (3, 40))
    one, same, slower = (Side(values=row) for row in (rows[0], rows[1], rows[2] + 0.02))
    alike = ratio(one, same, 0.5)

    assert chance(one, same, 0.5) > 0.05
    assert chance(one, slower, 0.5) < 0.01
    assert alike.low <= 1 <= alike.high
    assert ratio(slower, one, 0.5).low > 1


def test_false_alarms_are_as_rare_as_promised() -> None:
    """Of many pairs that are one, about 5 in 100 are taken to differ at 0.05."""
    random = np.random.default_rng(3)
    pairs = [random.normal(1, 0.1, (2, 20)) for _ in range(200)]
    alarms = sum(chance(Side(values=one), Side(values=other), 0.5) <= 0.05 for one, other in pairs)

    assert alarms <= 20


def test_a_slope_says_how_straight_it_is() -> None:
    """Costs per Service, and whether they are even."""
    assert slope([1, 2, 3], [3, 5, 7]) == pytest.approx((2, 1, 1))
    assert slope([1, 2, 3, 4], [1, 4, 9, 16])[2] < 0.99
    with pytest.raises(ValueError, match="two different"):
        slope([1, 1], [1, 2])
