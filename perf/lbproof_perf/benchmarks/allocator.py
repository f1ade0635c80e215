"""What does an address cost the allocator itself, and does it depend on the size of the pool?

The reference's allocator alone, without an API server, in a process of its own for each repetition; the sizes take
turns. Other implementations' allocators are not importable from Python: what theirs cost is seen end to end, in
`allocate` and `scale`, and nowhere else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from lbproof.lab.base import LabError
from lbproof.lab.common import environment
from lbproof_perf.benchmarks.base import BenchContext, Benchmark, Size, turns
from lbproof_perf.report import panels
from lbproof_perf.report.spec import metrics
from lbproof_perf.results import TrialId

NAME = "allocator"
ARM = "reference"
"""The arm whose allocator it is; its variants have the same."""
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
    """Addresses granted at least in a repetition, in one allocator after another."""


def run(context: BenchContext, plan: AllocatorPlan) -> None:
    """Make the trials that are not there yet, if the reference is among the arms.

    Raises `LabError` when the allocator cannot be run.
    """
    if not any(arm.name == ARM for arm in context.arms):
        context.say(f"{NAME}: the reference is not among the arms, and no other allocator can be run by itself")
        return
    for number, addresses in turns(plan.addresses, plan.times):
        trial_id = TrialId(bench=NAME, arm=ARM, case=str(addresses), number=number)
        if context.store.has(trial_id):
            continue
        found = _measured(addresses, plan)
        each = np.array(found.pop("each"))
        values: dict[str, float | None] = {**found, "worst_seconds": float(each.max())}
        detail = {"addresses": addresses, "churn": plan.churn}
        context.keep(trial_id, values, shown=[*values], detail=detail, arrays={"each": each})


def _measured(addresses: int, plan: AllocatorPlan) -> dict[str, Any]:
    """What `allocator_worker` prints, for one size. Raises `LabError` when it fails."""
    argv = [sys.executable, "-P", "-m", "lbproof_perf.sut.allocator_worker"]
    argv += [str(addresses), str(plan.churn), str(plan.work)]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=True, timeout=TIMEOUT, env=environment.python()
        )
    except subprocess.CalledProcessError as error:
        why = f"ended with {error.returncode}: {(error.stderr.strip().splitlines() or ['no output'])[-1]}"
        raise LabError(f"the reference's allocator with {addresses} addresses {why}") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"the reference's allocator with {addresses} addresses: not within {TIMEOUT:g} s") from None
    found: dict[str, Any] = json.loads(done.stdout)
    return found


BENCHMARK = Benchmark(
    name=NAME,
    order=5,
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
    plans={
        Size.QUICK: AllocatorPlan(times=1),
        Size.FULL: AllocatorPlan(times=5),
        Size.NIGHTLY: AllocatorPlan(times=30),
    },
    run=run,
)
