"""Number of nodes that answer ARP for an assigned address, counted from frames and not read from a status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.text import words
from lbproof.witnesses import neighbour

if TYPE_CHECKING:
    from lbproof.context import CheckContext

ASKS = 20


@proves("L2-01")
def test_exactly_one_node_answers(check: CheckContext) -> None:
    """Each of twenty requests over ten seconds is answered, all by the same node."""
    check.pool(1)
    address = check.assigned(check.service(serving=True))
    announcer = check.announcer(address)

    within = check.wait.budget("arp_answer")
    over = max(check.wait.budget("one_answerer_watch"), ASKS * within)
    seen = neighbour.census(check.client, address, asks=ASKS, over=over, within=within)
    check.saw("arp", f"{seen.asked} requests for {address}", {"answers": seen.answers, "unanswered": seen.unanswered})

    names = {check.mac_names().get(mac, mac): count for mac, count in seen.answers.items()}
    assert set(names) == {announcer.name}, (
        f"{address} is answered for by {words(names)}, expected {announcer.name} alone"
    )
    assert seen.unanswered == 0, f"{seen.unanswered} of {seen.asked} requests for {address} were not answered"
