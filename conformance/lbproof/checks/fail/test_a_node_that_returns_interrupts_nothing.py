"""The return of a node that was lost: wherever its addresses are placed then, they are answered meanwhile."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from lbproof.checks.fail.moves import assigned
from lbproof.context import proves
from lbproof.lab.base import Capability
from lbproof.witnesses.asking import Asking

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("FAIL-07", disruptive=True)
def test_a_node_that_returns_interrupts_nothing(check: CheckContext) -> None:
    """A node that has died comes back, then one whose cable was pulled: no address goes unanswered for long.

    That one node answers is judged by FAIL-04; which one is recorded.
    """
    check.run.need(Capability.NODE_CRASH)
    check.run.need(Capability.LINK_DOWN)
    held = list(assigned(check))
    faults = ((Capability.NODE_CRASH, check.lab.node_crash), (Capability.LINK_DOWN, check.lab.link_down))
    for capability, act in faults:
        old, moving = check.worker_that_announces(held)
        with Asking(check.client, moving) as asking:
            with check.fault(capability, functools.partial(act, old.name)):
                with check.precondition("FAIL-01" if capability is Capability.NODE_CRASH else "FAIL-05"):
                    check.holders(*moving, but=old.name, budget="failover")
                back = time.monotonic()
            check.settled_after_fault()
            with check.precondition("FAIL-04"):
                now = check.sole_holders(*held, budget="one_answerer")
            most = check.wait.budget("returned")
            check.wait.consistently(
                lambda: asking.silences(moving, since=back),  # noqa: B023 - called at once
                lambda silent: max(silent.values()) <= most,  # noqa: B023
                what=f"no address of {old.name}, which is back, is without an answer for more than {most:g} s",
                budget="stays_put",
                every=0.2,
            )
        returned = sorted(str(address) for address in moving if now[address] == old.name)
        check.saw("arp", f"addresses that went back to {old.name}", returned)
