"""Silence of released addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.witnesses import neighbours
from lbproof.witnesses.capture import Capture
from lbproof.witnesses.frames import mac_bytes
from lbproof.witnesses.packets import hops_to

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("RECL-03")
def test_a_released_address_is_quiet(check: CheckContext) -> None:
    """A released address has no ARP answer, no interface and no connection, and packets to it are not sent back."""
    check.pool(1)
    service = check.service(serving=True)
    address = check.assigned(service)
    old = check.announcer(address)
    check.serves(check.client, address)

    check.delete(service)

    check.goes_silent(address)
    check.on_no_interface(address)
    check.undo.later("the client's neighbour entry", lambda: neighbours.forget(check.client, address))
    neighbours.pin(check.client, address, old.mac, "PERMANENT")
    with Capture(check.client) as capture:
        check.not_served(check.client, address, 80)
        own = mac_bytes(check.client.mac)
        back = [f for _, f in capture.frames() if f[6:12] != own and hops_to(f, address) is not None]
    assert not back, f"{len(back)} packets to {address} were sent back to the segment: a forwarding loop"
