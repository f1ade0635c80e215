"""No draw decides whether a check can fail: each one distinguishes what the requirement does."""

from __future__ import annotations

from random import Random

from lbproof.checks.pool.test_a_restricted_pool import priorities


def test_the_order_of_pools_is_that_of_nothing_else() -> None:
    """Who uses pools by creation, oldest or latest first, or by their priorities' text, is seen with every seed."""
    for seed in range(500):
        drawn = priorities(Random(seed))  # noqa: S311 - the draws of a run
        right = sorted(drawn)
        assert right not in (drawn, drawn[::-1])
        assert right not in (sorted(drawn, key=str), sorted(drawn, key=str, reverse=True))
        assert len(set(drawn)) == 3
