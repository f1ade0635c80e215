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
from typing import IO, TYPE_CHECKING

import numpy as np

from lbproof.lab.base import LabError
from lbproof.lab.common.commands import killed_with_parent
from lbproof_perf.bench import Size
from lbproof_perf.book import Step
from lbproof_perf.ruler.hosts import two_hosts
from lbproof_perf.ruler.outage import outage
from lbproof_perf.ruler.ruler import Ruler, Streams
from lbproof_perf.ruler.stalls import Stalls
from lbproof_perf.statistics import enough, quantile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lbproof.lab.common.vantage import NamespaceVantage
    from lbproof_perf.bench import Hands

NAME = "ruler"
QUESTION = "Does the ruler measure what it is said to?"
_PORT = 7000
_FROZEN = 2.0
_WITHIN = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How often."""

    outages: int
    """Of each of the two arms that are one."""
    freezes: int


PLANS: Mapping[Size, Plan] = {
    Size.QUICK: Plan(outages=1, freezes=1),
    Size.FULL: Plan(outages=10, freezes=3),
    Size.NIGHTLY: Plan(outages=50, freezes=10),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    process: subprocess.Popen[bytes]
    out: IO[bytes]

    def deaf(self, seconds: float) -> tuple[float, float]:
        """Let nothing through for so long; when it began and will end."""
        assert self.process.stdin is not None  # noqa: S101 - it was asked for
        self.process.stdin.write(f"{seconds}\n".encode())
        self.process.stdin.flush()
        began, ends = self.out.readline().split()
        return float(began), float(ends)


def run(hands: Hands, plan: Plan) -> None:
    """Make the trials that are not there yet. Raises `LabError` where no namespaces can be had."""
    steps = [
        Step(bench=NAME, arm=arm, case="a-a", number=number)
        for number in range(1, plan.outages + 1)
        for arm in (("arm-a", "arm-b") if number % 2 else ("arm-b", "arm-a"))
    ]
    steps += [Step(bench=NAME, arm="udp", case="freeze", number=number) for number in range(1, plan.freezes + 1)]
    steps = [step for step in steps if not hands.book.has(step)]
    if not steps:
        return
    with two_hosts() as (client, host), _server(host) as server, Stalls() as stalls:
        for step in steps:
            _trial(hands, step, Ruler(client, host.address, port=_PORT, streams=Streams(census=0)), server, stalls)
    _say(hands)


def _trial(hands: Hands, step: Step, ruler: Ruler, server: _Server, stalls: Stalls) -> None:
    with ruler:
        if not ruler.quiet(_WITHIN):
            raise LabError("the ruler's own server does not answer")
        if step.case == "freeze":
            began = time.monotonic()
            server.process.send_signal(signal.SIGSTOP)
            threading.Event().wait(_FROZEN)
            server.process.send_signal(signal.SIGCONT)
            ends = time.monotonic()
        else:
            began, ends = server.deaf(0.1 + 0.1 * random.random())  # noqa: S311 - a phase, no secret
        ruler.quiet(_WITHIN)
        end = time.monotonic()
    found = ruler.reading()
    seen = outage(found, began, "")
    measured = seen.first_answer_seconds if step.case == "freeze" else seen.longest_gap_seconds
    late = stalls.between(began, end)
    hands.book.add(
        step,
        {
            "truth_seconds": ends - began,
            "seen_seconds": measured,
            "error_seconds": None if measured is None else measured - (ends - began),
            "worst_stall_seconds": max((seconds for _, seconds in late), default=0.0),
        },
        arrays={**found.arrays(), "fault_at": np.array([began])},
    )


def _say(hands: Hands) -> None:
    errors = [
        [trial.values["error_seconds"] for trial in hands.book.of(NAME, arm, "a-a")] for arm in ("arm-a", "arm-b")
    ]
    middle = [quantile(values, 0.5) for values in errors]
    apart = abs(middle[0] - middle[1])
    of = "medians of" if enough(min(map(len, errors)), 0.5) else "of"
    hands.say(f"ruler: two arms that are one differ by {apart * 1e3:.2f} ms ({of} {len(errors[0])})")
    for trial in hands.book.of(NAME, case="freeze"):
        truth, seen = trial.values["truth_seconds"], trial.values["seen_seconds"]
        if truth and seen:
            hands.say(f"ruler: a server frozen for {truth:.3f} s shows as {seen:.3f} s ({seen / truth - 1:+.2%})")


@contextmanager
def _server(host: NamespaceVantage) -> Iterator[_Server]:
    argv = [sys.executable, "-m", "lbproof_perf.ruler.echo", host.address, str(_PORT)]
    with host.inside():
        process = subprocess.Popen(killed_with_parent(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        try:
            if process.stdout.readline().strip() != b"ready":
                raise LabError("the ruler's own server did not start")
            yield _Server(process=process, out=process.stdout)
        finally:
            process.kill()
