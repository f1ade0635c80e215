"""What does an address cost the allocator itself, and does it depend on the size of the pool?

The reference's ledger alone, without an API server, in a process of its own for each repetition; the sizes take turns,
so that a drift of the machine hits all alike. Other implementations' allocators are not importable from Python: what
theirs cost is seen end to end, in `allocate` and `scale`, and nowhere else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lbproof.lab.base import LabError
from lbproof_perf.benchmarks.base import BenchContext, Benchmark, Size
from lbproof_perf.report import panels
from lbproof_perf.report.spec import metrics
from lbproof_perf.results import TrialId

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME = "allocator"
ARM = "reference"
"""The arm whose ledger it is; its variants have the same."""
TIMEOUT = 120.0
"""Seconds that a repetition may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatorPlan:
    """What is measured."""

    addresses: tuple[int, ...] = (256, 1024, 4096, 16_384, 65_536)
    """Of the pool; all of them are granted."""
    times: int
    """Repetitions of each size."""
    churn: int = 1000
    """Releases that a grant follows, at most."""
    work: int = 65_536
    """Addresses granted at least in a repetition, in one ledger after another."""


PLANS: Mapping[Size, AllocatorPlan] = {
    Size.QUICK: AllocatorPlan(times=1),
    Size.FULL: AllocatorPlan(times=5),
    Size.NIGHTLY: AllocatorPlan(times=30),
}


def run(context: BenchContext, plan: AllocatorPlan) -> None:
    """Make the trials that are not there yet, if the reference is among the arms.

    Raises `LabError` when the ledger cannot be run.
    """
    if not any(arm.name == ARM for arm in context.arms):
        context.say(f"{NAME}: the reference is not among the arms, and no other allocator can be run by itself")
        return
    for trial_id, addresses in trial_ids(plan):
        if context.store.has(trial_id):
            continue
        found = measured(addresses, plan)
        each = np.array(found.pop("each"))
        values: dict[str, float | None] = {**found, "worst_seconds": float(each.max())}
        context.store.add(trial_id, values, detail={"addresses": addresses, "churn": plan.churn}, arrays={"each": each})
        context.say(
            f"{trial_id.key}: {found['seconds_per_address'] * 1e6:.2f} µs an address, "
            f"{found['churn_seconds_per_address'] * 1e6:.2f} µs in churn, worst {each.max() * 1e6:.0f} µs"
        )


def trial_ids(plan: AllocatorPlan) -> Iterator[tuple[TrialId, int]]:
    """The sizes in turn, up and down again."""
    for number in range(1, plan.times + 1):
        for addresses in plan.addresses if number % 2 else reversed(plan.addresses):
            yield TrialId(bench=NAME, arm=ARM, case=str(addresses), number=number), addresses


def measured(addresses: int, plan: AllocatorPlan) -> dict[str, Any]:
    """What the worker prints, for one size. Raises `LabError` when it fails."""
    argv = [sys.executable, "-P", "-m", "lbproof_perf.benchmarks.allocator_worker"]
    argv += [str(addresses), str(plan.churn), str(plan.work)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=TIMEOUT)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no output"])[-1]
        raise LabError(
            f"the reference's ledger with {addresses} addresses ended with {error.returncode}: {last}"
        ) from None
    except subprocess.TimeoutExpired:
        raise LabError(f"the reference's ledger with {addresses} addresses: not within {TIMEOUT:g} s") from None
    found: dict[str, Any] = json.loads(done.stdout)
    return found


BENCHMARK = Benchmark(
    name=NAME,
    question="What does the allocator alone cost?",
    help="What does one address cost? The reference's allocator alone, in process.",
    method="The allocator alone, in its own process, without an API server.",
    metrics=metrics(
        seconds_per_address="an allocation",
        worst_seconds="the slowest allocation",
        churn_seconds_per_address="an allocation in churn",
        each_seconds="each allocation",
    ),
    main=("seconds_per_address", "churn_seconds_per_address", "worst_seconds"),
    samples={"each": "each_seconds"},
    case_plots=(panels.strips,),
    overview_plots=(panels.slopes("", "addresses", metrics=("seconds_per_address", "worst_seconds")),),
    paired_plots=True,
    plans=PLANS,
    run=run,
)
