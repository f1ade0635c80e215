"""Does a busy machine make an address move? Processes that only compute, and every arm watched at the same time.

A speaker that is kept from its heartbeat looks dead to the others. Nothing is wrong here, so every node that begins to
answer is a false takeover. All arms' labs are up and under the same load: what one bears the others bear too.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import numpy as np

from lbproof.lab.base import LabError
from lbproof.lab.common.commands import killed_with_parent
from lbproof_perf.benchmarks.base import OUTAGE_METRICS, Benchmark, Size
from lbproof_perf.outage_probe.outage import outage, takeovers
from lbproof_perf.outage_probe.probe import OutageProbe, Streams, at_client, names_of
from lbproof_perf.report import panels
from lbproof_perf.report.spec import metrics
from lbproof_perf.results import TrialId

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lbproof_perf.benchmarks.base import BenchContext
    from lbproof_perf.sut.system import SystemUnderTest

NAME = "hogs"
_STREAMS = Streams(udp=0.01, tcp=0.1, census=0.02)
"""Slower than for an outage: the probes of all arms share the machine with the load."""
_READY = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuStressPlan:
    """How busy, and for how long."""

    processes: int = 12
    spans: int
    """Trials of each arm, one after the other."""
    seconds: float
    """Of each."""


PLANS: Mapping[Size, CpuStressPlan] = {
    Size.QUICK: CpuStressPlan(spans=1, seconds=5),
    Size.FULL: CpuStressPlan(spans=10, seconds=60),
    Size.NIGHTLY: CpuStressPlan(spans=30, seconds=60),
}


def run(context: BenchContext, plan: CpuStressPlan) -> None:
    """Make the trials that are not there yet. Raises `LabError` when a lab cannot be had."""
    case = f"{plan.processes}-hogs"
    numbers = [
        number
        for number in range(1, plan.spans + 1)
        if not all(context.store.has(_trial_id(arm.name, case, number)) for arm in context.arms)
    ]
    if not numbers:
        return
    systems = [context.labs.system(arm) for arm in context.arms]
    with busy(plan.processes):
        for number in numbers:
            _span(context, systems, plan, number)


def _trial_id(arm: str, case: str, number: int) -> TrialId:
    return TrialId(bench=NAME, arm=arm, case=case, number=number)


def _span(context: BenchContext, systems: list[SystemUnderTest], plan: CpuStressPlan, number: int) -> None:
    """Watch all arms for one span."""
    with ExitStack() as stack:
        probes: list[OutageProbe] = []
        for system in systems:
            probe = stack.enter_context(at_client(system.deployment.lab, system.address, _STREAMS))
            if not probe.until(lambda found, _: bool(len(found.answers.at)), _READY):
                raise LabError(f"{system.deployment.arm.name}: nobody answers for {system.address}")
            probes.append(probe)
        begin = time.monotonic()
        threading.Event().wait(plan.seconds)  # what is measured is that nothing happens in it
        end = time.monotonic()
    for system, probe in zip(systems, probes, strict=True):
        found = probe.reading()
        moved = takeovers(found, begin, end)
        names = names_of(system.deployment.lab)
        late = system.jitter.between(begin, end)
        seen = outage(found, begin, "", end).values()
        kept = ("lost", "sent", "lost_tcp", "sent_tcp", "two_announcers_seconds", "no_announcer_seconds")
        trial_id = _trial_id(system.deployment.arm.name, f"{plan.processes}-hogs", number)
        if context.store.has(trial_id):
            continue
        context.store.add(
            trial_id,
            {name: seen[name] for name in kept if name in seen}
            | {
                "false_takeovers": len(moved),
                "seconds": end - begin,
                "worst_stall_seconds": max((seconds for _, seconds in late), default=0.0),
            },
            detail={"takeovers": [[round(at - begin, 3), names.get(mac, mac)] for at, mac in moved]},
            arrays=found.arrays()
            | {
                "stall_at": np.array([at for at, _ in late]),
                "stall_seconds": np.array([seconds for _, seconds in late]),
            },
        )
    context.say(f"{NAME} {number} of {plan.spans}: " + ", ".join(_describe_arm(context, system) for system in systems))


def _describe_arm(context: BenchContext, system: SystemUnderTest) -> str:
    trials = context.store.of(NAME, system.deployment.arm.name)
    moved, seconds = (sum(trial.values[name] or 0 for trial in trials) for name in ("false_takeovers", "seconds"))
    return f"{system.deployment.arm.name} {moved:.0f} false takeovers in {seconds / 60:.1f} min"


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that only compute, inside the block."""
    with ExitStack() as stack:
        for _ in range(processes):
            argv = killed_with_parent([sys.executable, "-S", "-E", "-c", "while True: pass"])
            process = stack.enter_context(subprocess.Popen(argv, stdin=subprocess.DEVNULL))
            stack.callback(process.kill)
        yield


BENCHMARK = Benchmark(
    name=NAME,
    question="Does a starved machine cause a takeover?",
    help="Does a busy machine make an address move? All arms under the same load.",
    method="Nothing is wrong but that processes take all the CPU time there is.",
    metrics=(*OUTAGE_METRICS, *metrics(false_takeovers="false takeovers", seconds="for all of it")),
    main=("false_takeovers", "lost", "longest_gap_seconds"),
    case_plots=(panels.strips,),
    arms=("reference", "reference-fast", "metallb", "keepalived-50ms"),
    shares_labs=True,
    options=(
        click.Option(
            ["--hogs", "processes"],
            type=click.IntRange(1, 1000),
            help="processes that compute, instead of the size's",
        ),
        click.Option(["--spans"], type=click.IntRange(1, 10_000), help="spans that are watched, instead of the size's"),
    ),
    plans=PLANS,
    run=run,
)
