"""A client that just talked to the old node is moved by what it hears, not by its own timeout of half a minute."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.lab.base import Ability
from lbproof.observe import arp, neighbours
from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.stage import Stage


@proves("L2-07")
def test_a_move_reaches_a_warm_client(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """After the announcer's death the client's entry, fresh as it was, names the new node; the old one is not heard."""
    stage.pool(1)
    address = stage.assigned(stage.service(serving=True))
    old = stage.announcer(address)
    stage.undo.later("the client's neighbour entry", lambda: neighbours.forget(stage.client, address))
    with arp.Listener(stage.client) as listener:
        neighbours.pin(stage.client, address, old.mac)
        with stage.fault(Ability.POWER_CUT, functools.partial(stage.lab.power_cut, old.name)):
            new = stage.announcer(address, but=old.name, budget="failover")
            stage.wait.settles(
                lambda: neighbours.entry(stage.client, address),
                lambda entry: entry is not None and entry.mac == new.mac,
                what=f"the client's entry for {address} moves from {old.name} ({old.mac}) to {new.name} ({new.mac})",
                budget="announced",
            )
            moved = [frame for frame in listener.gratuitous(address) if frame.sender_mac == new.mac]
            after = [f for f in listener.frames if f.sender_ip == address and f.t > moved[0].t] if moved else []
        stage.settled_after_fault()

    assert moved, f"{new.name} took {address} over without a gratuitous ARP"
    stale = [frame for frame in after if frame.sender_mac == old.mac]
    assert not stale, f"{old.name} spoke for {address} {len(stale)} times after {new.name} had taken it over"
