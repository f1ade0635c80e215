"""The benchmark `arp`: its order, and a small run of it on the reference in a lab of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lbproof_perf.benchmarks import arp
from lbproof_perf.benchmarks.base import BenchContext
from lbproof_perf.results import ResultStore
from lbproof_perf.sut.arms import find
from lbproof_perf.sut.system import LabPool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("count", [1, 2, 3, 100, 999, 10_000])
def test_questions_are_spread_over_all_addresses(count: int) -> None:
    """Each has its turn before any has its second."""
    addresses = [str(number) for number in range(count)]

    assert sorted(arp.spread(addresses, count)) == sorted(addresses)
    assert len(arp.spread(addresses, 2 * count + 1)) == 2 * count + 1


def test_the_reference_is_measured_beside_the_kernel(tmp_path: Path) -> None:
    """Each case has both responders with their arrays, nothing is lost, and a second run finds all of it done."""
    plan = arp.ArpPlan(
        counts=(1, 20), wide=0, wide_arms=(), stops=1, rounds=2, asks=200, rates=(2000,), rate_seconds=0.2,
        flood_rate=5000, flood_seconds=0.2, quiet_seconds=0, fill_seconds=60,
    )  # fmt: skip
    said: list[str] = []
    context = BenchContext(
        labs=LabPool(None, print), store=ResultStore(tmp_path), arms=[find("reference")], say=said.append
    )
    arp.run(context, plan)

    cases = ["addresses-1", "addresses-20", "flood"]
    assert {trial.id.key for trial in context.store.trials} == {
        f"arp/{who}/{case}/{number}"
        for who in ("reference", "kernel")
        for case in cases
        for number in ((1,) if case == "flood" else (1, 2))
    }
    for trial in context.store.trials:
        seconds = context.store.arrays(trial)["seconds"]
        assert 0 < len(seconds) <= 200
        middle = np.sort(seconds)[(len(seconds) - 1) // 2]  # the lower of two; unanswered ones come last
        assert trial.values["p50_seconds"] == pytest.approx(float(middle))
        assert trial.values["answered_share"] == pytest.approx(1, abs=0.05)
        assert trial.warnings == ()
    (flood,) = context.store.of("arp", "reference", "flood")
    assert flood.values["flood_cpu_cores"] is not None
    for case in ("addresses-1", "addresses-20"):
        pairs = zip(context.store.of("arp", "reference", case), context.store.of("arp", "kernel", case), strict=True)
        for ours, kernel in pairs:
            times = (ours.values["p50_seconds"] or 0) / (kernel.values["p50_seconds"] or 1)
            assert ours.values["p50_over_kernel"] == pytest.approx(times)
            assert kernel.values.keys().isdisjoint({"cpu_seconds", "p50_over_kernel"})
            assert ours.detail["api_requests"] == 0
    many, _ = context.store.of("arp", "reference", "addresses-20")
    assert all(len(pair) == 2 for pair in many.detail["cores"])

    before = len(said)
    arp.run(
        BenchContext(labs=LabPool(None, print), store=ResultStore(tmp_path), arms=[find("reference")], say=said.append),
        plan,
    )
    assert len(said) == before


def test_a_round_of_few_questions_has_no_quantile_that_it_cannot_bear() -> None:
    """A p99 takes a hundred answers, a median five."""
    latencies = arp._latencies  # noqa: SLF001 - without a lab

    assert latencies(np.full(100, 0.001)).keys() == {"p50_seconds", "p99_seconds"}
    assert latencies(np.full(99, 0.001)).keys() == {"p50_seconds"}
    assert latencies(np.full(4, 0.001)) == {}
