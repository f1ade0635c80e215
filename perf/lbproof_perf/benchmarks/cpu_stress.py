"""Does a busy machine make an address move? Processes that only compute, and every arm watched at the same time.

A speaker that is kept from its heartbeat looks dead to the others. Nothing is wrong here, so every node that begins to
answer is a false takeover. All arms' labs are up and under the same load: what one bears the others bear too.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from lbproof.lab.base import LabError
from lbproof.lab.common import environment
from lbproof.lab.common.commands import killed_with_parent
from lbproof_perf.benchmarks.base import OUTAGE_METRICS, Benchmark, Size
from lbproof_perf.outage_probe.outage import outage, takeovers
from lbproof_perf.outage_probe.probe import OutageProbe, Streams, at_client
from lbproof_perf.report import panels
from lbproof_perf.report.spec import metrics
from lbproof_perf.results import TrialId
from lbproof_perf.sut.system import stalls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lbproof_perf.benchmarks.base import BenchContext
    from lbproof_perf.outage_probe.reading import Reading
    from lbproof_perf.sut.system import SystemUnderTest

NAME = "hogs"
_STREAMS = Streams(udp=0.01, tcp=0.1, census=0.02)
"""Slower than for an outage: the probes of all arms share the machine with the load."""
_READY = 60.0
_KEPT = ("lost", "sent", "lost_tcp", "sent_tcp", "two_announcers_seconds", "no_announcer_seconds")
"""Figures of the outage probe that mean something where nothing is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuStressPlan:
    """How busy, and for how long."""

    processes: int = 12
    spans: int
    """Trials of each arm, one after the other."""
    seconds: float
    """Of each."""


def run(context: BenchContext, plan: CpuStressPlan) -> None:
    """Make the trials that are not there yet, of all arms at a time. Raises `LabError` when a lab cannot be had."""
    todo = context.missing(
        TrialId(bench=NAME, arm=arm.name, case=f"{plan.processes}-hogs", number=number)
        for number in range(1, plan.spans + 1)
        for arm in context.arms
    )
    if not todo:
        return
    systems = [context.labs.system(arm) for arm in context.arms]
    with busy(plan.processes):
        for _, missing in itertools.groupby(todo, lambda trial_id: trial_id.number):
            _span(context, systems, {trial_id.arm: trial_id for trial_id in missing}, plan.seconds)


def _span(
    context: BenchContext, systems: Sequence[SystemUnderTest], missing: Mapping[str, TrialId], seconds: float
) -> None:
    """Watch all arms for one span, and keep the trials that are missing, by arm."""
    with ExitStack() as stack:
        probes: list[OutageProbe] = []
        for system in systems:
            probe = stack.enter_context(at_client(system.deployment.lab, system.address, _STREAMS))
            if not probe.until(lambda found, _: bool(len(found.answers.at)), _READY):
                raise LabError(f"{system.deployment.arm.name}: nobody answers for {system.address}")
            probes.append(probe)
        begin = time.monotonic()
        threading.Event().wait(seconds)  # what is measured is that nothing happens in it
        end = time.monotonic()
    for system, probe in zip(systems, probes, strict=True):
        if trial_id := missing.get(system.deployment.arm.name):
            _keep(context, trial_id, system, probe.reading(), (begin, end))


def _keep(
    context: BenchContext, trial_id: TrialId, system: SystemUnderTest, found: Reading, span: tuple[float, float]
) -> None:
    begin, end = span
    moved, names = takeovers(found, begin, end), system.deployment.check.mac_names()
    worst, stall_arrays = stalls(system.jitter, begin, end)
    seen = outage(found, begin, "", end).values()
    values = {name: seen[name] for name in _KEPT if name in seen}
    context.keep(
        trial_id,
        {**values, "false_takeovers": len(moved), "seconds": end - begin, "worst_stall_seconds": worst},
        shown=("false_takeovers", "lost", "seconds"),
        detail={"takeovers": [[round(at - begin, 3), names.get(mac, mac)] for at, mac in moved]},
        arrays={**found.arrays(), **stall_arrays},
        clocks=found.clocks,
    )


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that only compute, inside the block."""
    with ExitStack() as stack:
        for _ in range(processes):
            argv = killed_with_parent([sys.executable, "-S", "-E", "-c", "while True: pass"])
            process = stack.enter_context(subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=environment.closed()))
            stack.callback(process.kill)
        yield


BENCHMARK = Benchmark(
    name=NAME,
    order=3,
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
    plans={
        Size.QUICK: CpuStressPlan(spans=1, seconds=5),
        Size.FULL: CpuStressPlan(spans=10, seconds=60),
        Size.NIGHTLY: CpuStressPlan(spans=30, seconds=60),
    },
    run=run,
)
