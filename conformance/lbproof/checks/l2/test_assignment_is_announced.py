"""RFC 5227: a new address is announced by broadcast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.witnesses import neighbour

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("L2-06")
def test_assignment_is_announced(check: CheckContext) -> None:
    """A gratuitous ARP arrives in time: sender and target are the address, broadcast, with the node's MAC."""
    check.pool(1)
    with neighbour.Listener(check.client) as listener:
        address = check.assigned(check.service(serving=True))
        heard = check.wait.eventually(
            lambda: listener.announcements(address),
            bool,
            what=f"a gratuitous ARP for {address} is heard",
            budget="announced",
            show=lambda messages: f"{len(messages)} such",
        )
    first = heard[0]
    announcer = check.announcer(address)

    assert not first.announcement_fault, f"the announcement of {address} {first.announcement_fault}"
    assert first.sender_mac == first.ether_src == announcer.mac, (
        f"{address} was announced at {first.sender_mac} by {first.ether_src}; {announcer.name}, which answers for it, "
        f"is {announcer.mac}"
    )
