"""Does the outage probe measure what it should? Known outages, two identical arms, a server that stands still.

The server is told to be deaf and says from when to when, so the truth is known to some microseconds. The arms `arm-a`
and `arm-b` are the same server in turns: what differs between them is the probe's noise.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from lbproof.lab.base import LabError
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
    from lbproof.witnesses.vantage import Vantage
    from lbproof_perf.benchmarks.base import BenchContext

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
    with two_hosts() as (client, host), _Server(host) as server, JitterLog(client) as jitter:
        for trial_id in todo:
            probe = OutageProbe(client, host.address, port=_PORT, streams=Streams(census=0))
            _trial(context, trial_id, probe, server, jitter)
    _say(context)


def _trial(context: BenchContext, trial_id: TrialId, probe: OutageProbe, server: _Server, jitter: JitterLog) -> None:
    with probe:
        if not probe.quiet(_WITHIN):
            raise LabError("the outage probe's own server does not answer")
        if trial_id.case == "freeze":
            began, ends = server.freeze(_FROZEN)
        else:
            began, ends = server.deafen(0.1 + 0.1 * random.random())  # noqa: S311 - a phase, no secret
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
        clocks=found.clocks,
    )


def _say(context: BenchContext) -> None:
    errors = [[trial.values["error_seconds"] for trial in context.store.of(NAME, arm, "a-a")] for arm in _ARMS]
    middle = [quantile(values, 0.5) for values in errors]
    apart = abs(middle[0] - middle[1])
    of = "medians of" if enough(min(map(len, errors)), 0.5) else "of"
    context.say(f"ruler: two arms that are one differ by {apart * 1e3:.2f} ms ({of} {len(errors[0])})")


class _Server:
    """A server on a host that is deaf or frozen for a known time; a context manager."""

    def __init__(self, host: Vantage) -> None:
        """Nothing is started yet."""
        self._host = host

    def __enter__(self) -> Self:
        """Start it, in a probe of its own. Raises `ProbeError`."""
        self._probe = self._host.start_probe()
        try:
            self._stream = self._probe.request("echo", host=str(self._host.address), port=_PORT)
            self._stream.wait_ready()
        except BaseException:
            self._probe.close()
            raise
        self._outages = 0
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._probe.close()

    def freeze(self, seconds: float) -> tuple[float, float]:
        """Stop its process for so long; return when it stood still and when it went on."""
        began = time.monotonic()
        self._probe.process.send_signal(signal.SIGSTOP)
        threading.Event().wait(seconds)
        self._probe.process.send_signal(signal.SIGCONT)
        return began, time.monotonic()

    def deafen(self, seconds: float) -> tuple[float, float]:
        """Have it let nothing through for so long; return when it began and will end."""
        self._outages += 1
        self._stream.tell({"deaf": seconds})
        began, ends = self._stream.wait_records(self._outages, _WITHIN)[-1]
        return self._probe.clock.local(began), self._probe.clock.local(ends)


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
