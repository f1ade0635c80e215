"""Who answers ARP for an assigned address is counted on frames, not read from a status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.observe import arp
from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.stage import Stage

ASKS = 20


@proves("L2-01")
def test_exactly_one_node_answers(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """Twenty requests over ten seconds are each answered, and all by one node."""
    stage.pool(1)
    address = stage.assigned(stage.service(serving=True))
    announcer = stage.announcer(address)

    seen = arp.census(stage.client, address, asks=ASKS, over=stage.wait.budget("one_answerer_watch"))
    stage.saw("arp", f"{seen.asked} requests for {address}", {"answers": seen.answers, "unanswered": seen.unanswered})

    names = {stage.mac_names().get(mac, mac): count for mac, count in seen.answers.items()}
    assert set(names) == {announcer.name}, f"{address} is answered for by {names}, expected {announcer.name} alone"
    assert seen.unanswered == 0, f"{seen.unanswered} of {seen.asked} requests for {address} were not answered"
