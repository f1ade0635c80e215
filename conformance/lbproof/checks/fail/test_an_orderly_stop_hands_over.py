"""Handover by an announcer that is told to stop, against a node that dies: both by who answers on the segment."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from lbproof.checks.fail.moves import assigned
from lbproof.context import proves
from lbproof.lab.base import Capability
from lbproof.text import words
from lbproof.witnesses.asking import EVERY, Asking

if TYPE_CHECKING:
    from lbproof.context import CheckContext

STOPS = 2


@proves("FAIL-03", disruptive=True)
def test_an_orderly_stop_hands_over(check: CheckContext) -> None:
    """The announcer's pod is deleted where most addresses are, twice; then such a node dies.

    The longest times without an answer are compared: after one of the stops it is no longer than after the crash.
    """
    check.run.need(Capability.NODE_CRASH)
    held = list(assigned(check))
    stopped: list[float] = []
    with Asking(check.client, held) as asking:
        for _ in range(STOPS):
            old, moving = check.worker_that_announces(held)
            began = time.monotonic()
            check.stop_announcer(old.name)
            with check.precondition("FAIL-04"):
                check.sole_holders(*held, budget="one_answerer")
            stopped.append(max(asking.silences(moving, since=began).values()))
        old, moving = check.worker_that_announces(held)
        with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, old.name)) as fault:
            with check.precondition("FAIL-01"):
                check.holders(*moving, but=old.name, budget="failover")
            crashed = max(asking.silences(moving, since=fault.earliest).values())
    check.settled_after_fault()
    check.saw("arp", "longest seconds without an answer", {"orderly stops": stopped, "crash": crashed})
    assert min(stopped) <= crashed + 2 * EVERY, (
        f"without an answer for {words(stopped)} s after orderly stops, and for {crashed} s after a crash"
    )
