"""RFC 826: the reply carries the hardware address of the node that sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("L2-02")
def test_the_answer_carries_the_mac_of_the_node(check: CheckContext) -> None:
    """Sender hardware address and Ethernet source are the same, that of a node's interface on the segment."""
    check.pool(1)
    address = check.assigned(check.service(serving=True))

    answers = check.wait.eventually(
        lambda: check.replies(address), bool, what=f"somebody answers for {address}", budget="announced"
    )

    known = check.mac_names()
    for answer in answers:
        assert answer.mac == answer.ether_src, (
            f"{address} is said to be at {answer.mac}, by a frame of {answer.ether_src}"
        )
        assert answer.mac in known, (
            f"{address} is said to be at {answer.mac}, which is the MAC of no node: {words(known)}"
        )
