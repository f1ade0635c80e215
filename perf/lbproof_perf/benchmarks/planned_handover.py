"""What does a planned move cost? Orderly stops of the announcer, as each upgrade makes, by the outage probe.

A move can cost nothing if the successor answers and announces before the one that leaves is silent, and the node that
it leaves goes on forwarding what still comes to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof_perf.benchmarks import failover
from lbproof_perf.benchmarks.base import OUTAGE_METRICS, Benchmark, Size
from lbproof_perf.report import panels
from lbproof_perf.sut.faults import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof_perf.benchmarks.base import BenchContext

NAME = "moves"


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverPlan:
    """How many moves of which kind, of each arm."""

    cases: Mapping[str, int]


def run(context: BenchContext, plan: HandoverPlan) -> None:
    """Make the trials that are not there yet. Raises `LabError` when a lab cannot be had."""
    counts = {
        (arm.name, case): count
        for arm in context.arms
        if arm.name not in failover.CONTROLS
        for case, count in plan.cases.items()
        if failover.applies(case, arm)
    }
    failover.together(context, context.labs, context.missing(failover.spread(counts, NAME)))
    for arm, case in counts:
        trials = context.store.of(NAME, arm, case)
        lost, sent = (sum(trial.values[name] or 0 for trial in trials) for name in ("lost", "sent"))
        context.say(f"{NAME}: {arm} {case}: {lost:.0f} of {sent:.0f} requests lost in {len(trials)} moves")


BENCHMARK = Benchmark(
    name=NAME,
    order=2,
    question="What does a planned move cost?",
    help="What does a planned move cost? Orderly stops of the announcer.",
    method="The announcing speaker is stopped in an orderly way while a client asks every millisecond.",
    metrics=OUTAGE_METRICS,
    main=("lost", "longest_gap_seconds", "two_announcers_seconds"),
    controls=("keepalived", "metallb"),
    cases={case: KINDS[case].text for case in ("planned", "excluded")},
    case_plots=(panels.strips, panels.timelines),
    shares_labs=True,
    plans={
        Size.QUICK: HandoverPlan(cases={"planned": 1}),
        Size.FULL: HandoverPlan(cases={"planned": 20, "excluded": 2}),
        Size.NIGHTLY: HandoverPlan(cases={"planned": 50, "excluded": 50}),
    },
    run=run,
)
