"""How long is an outage: faults of every kind, by the outage probe, several arms side by side in one run.

Every arm has a lab of its own, all are up at once, and the faults go round in an order that is the same there and back
(A B B A …), so that whatever else the machine does hits all alike. Each comes at a random phase of whatever beats. The
backend lives on the control plane, which never announces, so that a figure is the LoadBalancer's alone and not that of
a dead endpoint; the case `power-cut-endpoints` shows what dead endpoints cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from lbproof.lab.base import Topology
from lbproof.run.commands.lab_command import TEXT
from lbproof.spec import UnknownName
from lbproof_perf.benchmarks.base import OUTAGE_METRICS, Benchmark, Size
from lbproof_perf.report import answers, panels
from lbproof_perf.results import TrialId
from lbproof_perf.sut.faults import KINDS
from lbproof_perf.sut.system import LabPool, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lbproof_perf.benchmarks.base import BenchContext
    from lbproof_perf.sut.arms import Arm

NAME = "failover"
CONTROLS = ("keepalived", "keepalived-50ms")
"""Arms that are no implementation, and are there to be measured against."""
VARIANTS = ("reference-fast", "keepalived-50ms")
"""Arms whose power cuts alone are measured: in all else they are as the arm that they vary."""
_GRACE = 5.0
"""Seconds until a node that is dead counts as NotReady where dead endpoints are measured (Kubernetes' default: 50)."""
_SHOWN = ("first_answer_seconds", "steady_seconds", "lost", "fault_bracket_seconds")
_ENDPOINTS = ("power-cut-endpoints", "drained", "rolling-restart")
"""Cases whose Service has a backend on every worker."""
CASES: Mapping[str, str] = {name: kind.text for name, kind in KINDS.items()} | {
    "power-cut-cold": "power cut; a client that first asks after it",
    "power-cut-far": "power cut; a client behind a router",
    "power-cut-endpoints": "power cut; replicas on every node, the dead one too",
}
"""Everything that can be asked for → what is done."""
_OTHERS = [case for case in CASES if case not in {"power-cut", "planned", "excluded", *_ENDPOINTS}]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailoverPlan:
    """How many trials of which case: of an implementation that is named, else of any other."""

    cuts: Mapping[str, int]
    """Arm → power cuts."""
    others: int
    """Power cuts of an arm that is not named."""
    cases: Mapping[str, int] = field(default_factory=dict)
    """Every other case → trials of each arm."""


PLANS: Mapping[Size, FailoverPlan] = {
    Size.QUICK: FailoverPlan(cuts={"reference": 2}, others=1),
    Size.FULL: FailoverPlan(
        cuts={"reference": 100},
        others=20,
        cases=dict.fromkeys((*_OTHERS, "power-cut-endpoints", "drained"), 1),
    ),
    Size.NIGHTLY: FailoverPlan(
        cuts={"reference": 200, "reference-fast": 100},
        others=50,
        cases=dict.fromkeys(_OTHERS, 10) | dict.fromkeys(_ENDPOINTS, 5),
    ),
}


def trial_ids(plan: FailoverPlan, arms: Sequence[Arm]) -> list[TrialId]:
    """All trials in the order in which they are made: spread evenly over the run, there and back among equals."""
    counts: dict[tuple[str, str], int] = {}
    for arm in arms:
        if cuts := plan.cuts.get(arm.name, plan.others):
            counts[arm.name, "power-cut"] = cuts
        for case, count in plan.cases.items():
            if applies(case, arm):
                counts[arm.name, case] = count
    return list(spread(counts))


def spread(counts: Mapping[tuple[str, str], int], bench: str = NAME) -> Iterator[TrialId]:
    """The trials of each (arm, case), evenly over the run; of those at one place every other turn goes backwards."""
    order = {key: place for place, key in enumerate(counts)}
    rows = [
        ((number - 0.5) / count, order[arm, case] * (1 if number % 2 else -1), arm, case, number)
        for (arm, case), count in counts.items()
        for number in range(1, count + 1)
    ]
    for _, _, arm, case, number in sorted(rows):
        yield TrialId(bench=bench, arm=arm, case=case, number=number)


def applies(case: str, arm: Arm) -> bool:
    """Whether an arm has a case: it has the workload that it is done to, and is no control that is left out."""
    if arm.name in VARIANTS or (arm.name in CONTROLS and case in _ENDPOINTS):
        return False
    role = kind_of(case).role
    return role is None or any(role in workload.roles for workload in arm.make().workloads)


def run(context: BenchContext, plan: FailoverPlan) -> None:
    """Make the trials that are not there yet. Raises `LabError` when a lab cannot be had."""
    for arm in context.arms:
        if left_out := [case for case in plan.cases if not applies(case, arm)]:
            context.say(f"{NAME}: {arm.name} has no {', '.join(left_out)}")
    todo = context.missing(trial_ids(plan, context.arms))
    together(context, context.labs, [trial_id for trial_id in todo if trial_id.case not in _ENDPOINTS])
    with LabPool(context.components, context.say, Topology(node_grace=_GRACE), everywhere=True) as labs:
        together(context, labs, [trial_id for trial_id in todo if trial_id.case in _ENDPOINTS])


def together(context: BenchContext, labs: LabPool, todo: Sequence[TrialId]) -> None:
    """Make trials in their order, all arms that they name being up."""
    systems = {arm.name: labs.system(arm) for arm in context.arms if any(trial_id.arm == arm.name for trial_id in todo)}
    for at, trial_id in enumerate(todo, start=1):
        context.say(f"{trial_id.bench} {at} of {len(todo)}: {trial_id.arm}, {trial_id.case}")
        system = systems[trial_id.arm]
        for seen in system.watch(trial_id.case):
            number = trial_id.number
            if seen.case != trial_id.case:  # a repair: it comes first, so that a run that stops here makes both again
                number = 1 + len(context.store.of(trial_id.bench, trial_id.arm, seen.case))
            context.keep(replace(trial_id, case=seen.case, number=number), **system.kept(seen), shown=_SHOWN)


def _change(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the plan that `--cuts` and `--case` set. Raises `UnknownName`."""
    cuts, cases = options["cuts"], options["cases"]
    if unknown := set(cases) - set(CASES):
        raise UnknownName("case", min(unknown), "--case", CASES, "docs/figures.md")
    if not cuts and not cases:
        return {}
    chosen, count = cases or ("power-cut",), cuts or 1
    return {
        "cuts": {},
        "others": count if "power-cut" in chosen else 0,
        "cases": {case: count for case in chosen if case != "power-cut"},
    }


BENCHMARK = Benchmark(
    name=NAME,
    order=1,
    question="How long is an outage?",
    help="How long is an outage? Faults of every kind at a random phase, the arms in turns.",
    method="UDP each millisecond, a new connection with an HTTP request each 10 ms, an ARP request each 10 ms, on a "
    "schedule, whether or not the last was answered. An outage begins with the first probe that was lost from the "
    "fault on; the bracket beside it says how exactly the fault's moment is known. Nothing is dropped for being slow.",
    metrics=OUTAGE_METRICS,
    main=("first_answer_seconds", "steady_seconds", "two_announcers_seconds", "fault_bracket_seconds"),
    controls=("keepalived", "metallb"),
    cases={**CASES, "heal": "a node that was cut off comes back"},
    case_plots=(
        panels.strips,
        panels.only("power-cut", panels.percentile_curve("first_answer_seconds")),
        panels.only("power-cut", panels.outage_parts),
        panels.timelines,
    ),
    answer=answers.outage,
    arms=("reference", "reference-fast", "metallb", "keepalived", "keepalived-50ms"),
    shares_labs=True,
    options=(
        click.Option(["--cuts"], type=click.IntRange(1, 10_000), help="power cuts of each arm, instead of the size's"),
        click.Option(
            ["--case", "cases"],
            type=TEXT,
            multiple=True,
            metavar="NAME",
            help="these cases alone, --cuts of each; repeatable",
        ),
    ),
    change=_change,
    plans=PLANS,
    run=run,
)
