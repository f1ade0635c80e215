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

import numpy as np

from lbproof.lab.base import LabError
from lbproof.lab.common.commands import killed_with_parent
from lbproof_perf.bench import Size
from lbproof_perf.book import Step
from lbproof_perf.ruler.outage import outage, takeovers
from lbproof_perf.ruler.ruler import Ruler, Streams, at_client, names_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lbproof_perf.bench import Hands
    from lbproof_perf.subject import Subject

NAME = "hogs"
QUESTION = "Does a busy machine make an address move?"
_STREAMS = Streams(udp=0.01, tcp=0.1, census=0.02)
"""Slower than for an outage: the probes of all arms share the machine with the load."""
_READY = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How busy, and for how long."""

    hogs: int = 12
    spans: int
    """Trials of each arm, one after the other."""
    seconds: float
    """Of each."""


PLANS: Mapping[Size, Plan] = {
    Size.QUICK: Plan(spans=1, seconds=5),
    Size.FULL: Plan(spans=10, seconds=60),
    Size.NIGHTLY: Plan(spans=30, seconds=60),
}


def run(hands: Hands, plan: Plan) -> None:
    """Make the trials that are not there yet. Raises `LabError` when a lab cannot be had."""
    case = f"{plan.hogs}-hogs"
    numbers = [
        number
        for number in range(1, plan.spans + 1)
        if not all(hands.book.has(_step(arm.name, case, number)) for arm in hands.arms)
    ]
    if not numbers:
        return
    subjects = [hands.company.subject(arm) for arm in hands.arms]
    with busy(plan.hogs):
        for number in numbers:
            _span(hands, subjects, plan, number)


def _step(arm: str, case: str, number: int) -> Step:
    return Step(bench=NAME, arm=arm, case=case, number=number)


def _span(hands: Hands, subjects: list[Subject], plan: Plan, number: int) -> None:
    """Watch all arms for one span."""
    with ExitStack() as stack:
        rulers: list[Ruler] = []
        for subject in subjects:
            ruler = stack.enter_context(at_client(subject.scene.lab, subject.address, _STREAMS))
            if not ruler.until(lambda found, _: bool(len(found.answers.at)), _READY):
                raise LabError(f"{subject.scene.arm.name}: nobody answers for {subject.address}")
            rulers.append(ruler)
        begin = time.monotonic()
        threading.Event().wait(plan.seconds)  # what is measured is that nothing happens in it
        end = time.monotonic()
    for subject, ruler in zip(subjects, rulers, strict=True):
        found = ruler.reading()
        moved = takeovers(found, begin, end)
        names = names_of(subject.scene.lab)
        late = subject.stalls.between(begin, end)
        seen = outage(found, begin, "", end).values()
        kept = ("lost", "sent", "lost_tcp", "sent_tcp", "two_announcers_seconds", "no_announcer_seconds")
        step = _step(subject.scene.arm.name, f"{plan.hogs}-hogs", number)
        if hands.book.has(step):
            continue
        hands.book.add(
            step,
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
    hands.say(f"{NAME} {number} of {plan.spans}: " + ", ".join(_told(hands, subject) for subject in subjects))


def _told(hands: Hands, subject: Subject) -> str:
    trials = hands.book.of(NAME, subject.scene.arm.name)
    moved, seconds = (sum(trial.values[name] or 0 for trial in trials) for name in ("false_takeovers", "seconds"))
    return f"{subject.scene.arm.name} {moved:.0f} false takeovers in {seconds / 60:.1f} min"


@contextmanager
def busy(hogs: int) -> Iterator[None]:
    """So many processes that only compute, inside the block."""
    with ExitStack() as stack:
        for _ in range(hogs):
            argv = killed_with_parent([sys.executable, "-S", "-E", "-c", "while True: pass"])
            hog = stack.enter_context(subprocess.Popen(argv, stdin=subprocess.DEVNULL))
            stack.callback(hog.kill)
        yield
