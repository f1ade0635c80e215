"""Update of a client's fresh neighbour entry by an announcement, before its timeout of half a minute."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.lab.base import Capability
from lbproof.witnesses import neighbour, neighbours

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("L2-07", disruptive=True)
def test_a_move_reaches_a_warm_client(check: CheckContext) -> None:
    """After the announcer's failure the client's fresh entry names the new node, and the old one sends no more ARP."""
    check.pool(1)
    address = check.assigned(check.service(serving=True))
    old = check.announcer(address)
    check.undo.later("the client's neighbour entry", lambda: neighbours.forget(check.client, address))
    with neighbour.Listener(check.client) as listener:
        neighbours.pin(check.client, address, old.mac)
        with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, old.name)):
            new = check.announcer(address, but=old.name, budget="failover")
            check.wait.eventually(
                lambda: neighbours.entry(check.client, address),
                lambda entry: entry is not None and entry.mac == new.mac,
                what=f"the client's entry for {address} moves from {old.name} ({old.mac}) to {new.name} ({new.mac})",
                budget="announced",
            )
            moved = [frame for frame in listener.announcements(address) if frame.sender_mac == new.mac]
            after = [f for f in listener.messages if f.sender_ip == address and f.t > moved[0].t] if moved else []
        check.settled_after_fault()

    assert moved, f"{new.name} took {address} over without a gratuitous ARP"
    stale = [frame for frame in after if frame.sender_mac == old.mac]
    assert not stale, f"{old.name} spoke for {address} {len(stale)} times after {new.name} had taken it over"
