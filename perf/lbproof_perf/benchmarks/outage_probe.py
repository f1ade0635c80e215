"""The ruler measures what it is said to: outages of known length, two arms that are one, a server that stands still.

The server is told to be deaf and says from when to when, so the truth is known to some microseconds. The arms `arm-a`
and `arm-b` are the same server in turns: what differs between them is the ruler's noise.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lbproof.lab.base import LabError
from lbproof.lab.common.commands import killed_with_parent
from lbproof_perf.benchmarks.base import Benchmark, Size, turns
from lbproof_perf.outage_probe.hosts import two_hosts
from lbproof_perf.outage_probe.jitter import JitterLog
from lbproof_perf.outage_probe.outage import outage
from lbproof_perf.outage_probe.probe import OutageProbe, Streams
from lbproof_perf.report import panels
from lbproof_perf.report.spec import Better, metrics
from lbproof_perf.results import TrialId
from lbproof_perf.stats.quantiles import enough, quantile
from lbproof_perf.sut.system import stalls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.common.vantage import NamespaceVantage
    from lbproof_perf.benchmarks.base import BenchContext

    Server = subprocess.Popen[str]

NAME = "ruler"
_ARMS = ("arm-a", "arm-b")
_PORT = 7000
_FROZEN = 2.0
_WITHIN = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageProbePlan:
    """How often."""

    outages: int
    """Of each of the two arms that are one."""
    freezes: int


def run(context: BenchContext, plan: OutageProbePlan) -> None:
    """Make the trials that are not there yet. Raises `LabError` where no namespaces can be had."""
    trial_ids = [TrialId(bench=NAME, arm=arm, case="a-a", number=number) for number, arm in turns(_ARMS, plan.outages)]
    trial_ids += [TrialId(bench=NAME, arm="udp", case="freeze", number=number) for number in range(1, plan.freezes + 1)]
    if not (todo := context.missing(trial_ids)):
        return
    with two_hosts() as (client, host), _server(host) as server, JitterLog() as jitter:
        for trial_id in todo:
            probe = OutageProbe(client, host.address, port=_PORT, streams=Streams(census=0))
            _trial(context, trial_id, probe, server, jitter)
    _say(context)


def _trial(context: BenchContext, trial_id: TrialId, probe: OutageProbe, server: Server, jitter: JitterLog) -> None:
    with probe:
        if not probe.quiet(_WITHIN):
            raise LabError("the outage probe's own server does not answer")
        if trial_id.case == "freeze":
            began = time.monotonic()
            server.send_signal(signal.SIGSTOP)
            threading.Event().wait(_FROZEN)
            server.send_signal(signal.SIGCONT)
            ends = time.monotonic()
        else:
            began, ends = _deaf(server, 0.1 + 0.1 * random.random())  # noqa: S311 - a phase, no secret
        probe.quiet(_WITHIN)
        end = time.monotonic()
    found = probe.reading()
    seen = outage(found, began, "")
    measured = seen.first_answer_seconds if trial_id.case == "freeze" else seen.longest_gap_seconds
    context.keep(
        trial_id,
        {
            "truth_seconds": ends - began,
            "seen_seconds": measured,
            "error_seconds": None if measured is None else measured - (ends - began),
            "worst_stall_seconds": stalls(jitter, began, end)[0],
        },
        shown=("truth_seconds", "seen_seconds", "error_seconds"),
        arrays={**found.arrays(), "fault_at": np.array([began])},
    )


def _say(context: BenchContext) -> None:
    errors = [[trial.values["error_seconds"] for trial in context.store.of(NAME, arm, "a-a")] for arm in _ARMS]
    middle = [quantile(values, 0.5) for values in errors]
    apart = abs(middle[0] - middle[1])
    of = "medians of" if enough(min(map(len, errors)), 0.5) else "of"
    context.say(f"ruler: two arms that are one differ by {apart * 1e3:.2f} ms ({of} {len(errors[0])})")


@contextmanager
def _server(host: NamespaceVantage) -> Iterator[Server]:
    argv = [sys.executable, "-m", "lbproof_perf.outage_probe.echo", str(host.address), str(_PORT)]
    with host.inside():
        process = subprocess.Popen(
            killed_with_parent(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
    with process:
        try:
            if _line(process) != ["ready"]:
                raise LabError("the outage probe's own server did not start")
            yield process
        finally:
            process.kill()


def _deaf(server: Server, seconds: float) -> tuple[float, float]:
    """Have the server let nothing through for so long; when it began and will end."""
    assert server.stdin is not None  # noqa: S101 - it was asked for
    server.stdin.write(f"{seconds}\n")
    began, ends = map(float, _line(server))
    return began, ends


def _line(server: Server) -> list[str]:
    """The words of the next line that the server says; none when it has ended."""
    assert server.stdout is not None  # noqa: S101 - it was asked for
    return server.stdout.readline().split()


BENCHMARK = Benchmark(
    name=NAME,
    checks_probe=True,
    question="Can the outage probe be trusted?",
    help="Does the outage probe measure what it should? Known outages, two identical arms, a frozen server.",
    method="The instrument against itself: two identical arms, and a server that stands still for a known time.",
    metrics=metrics(
        Better.NEITHER,
        error_seconds="error of the probe",
        seen_seconds="length that the probe saw",
        truth_seconds="true length",
        worst_stall_seconds="worst stall of the machine",
    ),
    main=("error_seconds", "seen_seconds", "truth_seconds"),
    controls=("arm-a",),
    cases={"a-a": "two identical arms", "freeze": "a server that stands still for 2 s"},
    case_plots=(panels.strips,),
    plans={
        Size.QUICK: OutageProbePlan(outages=1, freezes=1),
        Size.FULL: OutageProbePlan(outages=10, freezes=3),
        Size.NIGHTLY: OutageProbePlan(outages=50, freezes=10),
    },
    run=run,
)
