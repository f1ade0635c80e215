"""RFC 826: who answers says where it is, and says so truthfully."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.observe import arp
from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.stage import Stage


@proves("L2-02")
def test_the_answer_carries_the_mac_of_the_node(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """Sender hardware address and Ethernet source are one, and that of a node's interface on the segment."""
    stage.pool(1)
    address = stage.assigned(stage.service(serving=True))

    answers = stage.wait.settles(
        lambda: arp.ask(stage.client, address), bool, what=f"somebody answers for {address}", budget="announced"
    )

    known = stage.mac_names()
    for answer in answers:
        assert answer.mac == answer.ether_src, (
            f"{address} is said to be at {answer.mac}, by a frame of {answer.ether_src}"
        )
        assert answer.mac in known, f"{address} is said to be at {answer.mac}, which is the MAC of no node: {known}"
