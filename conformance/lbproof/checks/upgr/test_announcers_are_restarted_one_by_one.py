"""A rolling restart of the announcers, as an upgrade does it, while a client asks for the addresses all the time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.checks.fail.moves import assigned, one_answers
from lbproof.context import proves
from lbproof.text import words
from lbproof.witnesses.asking import Asking

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("UPGR-03", disruptive=True)
def test_a_rolling_restart_interrupts_nothing_for_long(check: CheckContext) -> None:
    """The pods of the announcer are replaced one after the other, in a drawn order, each when the last one is ready.

    No address is without an answer for longer than a handover takes, and one node answers for each at the end.
    """
    held = list(assigned(check))
    with check.precondition("L2-01"):
        check.sole_holders(*held)
    nodes = [node for node, _, _ in check.run.workloads.pods(WorkloadRole.ANNOUNCER)]
    check.random.shuffle(nodes)
    with Asking(check.client, held) as asking:
        since = time.monotonic()
        for node in nodes:
            check.stop_announcer(node)
        one_answers(check, held)
        silent = asking.silences(held, since=since)
    check.saw("arp", "longest seconds without an answer", silent)
    most = check.wait.budget("handed_over")
    late = {address: seconds for address, seconds in silent.items() if seconds > most}
    assert not late, f"without an answer during a rolling restart for {words(late)} s, expected at most {most:g} s"
