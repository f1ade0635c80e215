"""Update of a client's fresh neighbour entry by an announcement, before its timeout of half a minute."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.context.claims import stale
from lbproof.lab.base import Capability
from lbproof.text import words
from lbproof.witnesses import neighbours
from lbproof.witnesses.neighbour import Listener
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from lbproof.context import CheckContext
    from lbproof.context.claims import Claims
    from lbproof.lab.base import Node
    from lbproof.spec.families import IPAddress

SERVICES = 7
"""One of three workers that announce them has three, of which one of the other two gets several at once."""
FAULTS = 2


@proves("L2-07", disruptive=True)
def test_a_move_reaches_a_warm_client(check: CheckContext) -> None:
    """When a node dies, the client's fresh entries for its addresses name their new nodes, without a question of it.

    So it is when the successor dies too. The old node says nothing more for an address that another has, when it is
    back neither, unless it takes the address back.
    """
    check.run.need(Capability.NODE_CRASH)
    check.pool(SERVICES)
    services = [check.service(f"web-{n}") for n in range(SERVICES)]
    held = list(check.all_assigned(*services).values())
    for address in held:
        check.undo.later("the client's entry", functools.partial(neighbours.forget, check.client, address))
    for _ in range(FAULTS):
        old, moving = check.worker_that_announces(held)
        with check.claims() as claims, Listener(check.client) as heard:
            for address in moving:
                neighbours.pin(check.client, address, old.mac)
            with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, old.name)):
                moved(check, old, moving, claims)
                announced = {m.sender_ip for m in heard.messages if m.gratuitous and m.sender_mac != old.mac}
            check.settled_after_fault()
            with check.precondition("FAIL-04"):
                now = check.sole_holders(*moving, budget="one_answerer")
            late = {str(a): len(stale(made, old.name, now[a])) for a, made in claims.of(moving).items()}
        unannounced = [str(address) for address in moving if address not in announced]
        assert not unannounced, f"taken over from {old.name} without a gratuitous ARP: {words(unannounced)}"
        assert not any(late.values()), f"{old.name} spoke though another node had taken over: {words(late)}"
        held = moving


def moved(check: CheckContext, old: Node, addresses: list[IPAddress], claims: Claims) -> None:
    """Wait until the client's entries name other nodes, those that claim the addresses."""
    names = check.mac_names()

    def entries() -> dict[str, str]:
        found = {address: neighbours.entry(check.client, address) for address in addresses}
        return {str(a): names.get(entry.mac, entry.mac) if entry else "none" for a, entry in found.items()}

    try:
        check.wait.eventually(
            entries,
            lambda seen: not {old.name, "none", ""} & set(seen.values()),
            what=f"the client's entries for {words(list(map(str, addresses)))} move from {old.name} ({old.mac})",
            budget="failover",
        )
    except Violation:
        with check.precondition("FAIL-01"):  # a move that did not come about
            check.holders(*addresses, but=old.name)
        raise
    seen = entries()
    for address, made in claims.of(addresses).items():
        claimed = {claim.by for claim in made} - {old.name}
        assert seen[str(address)] in claimed, (
            f"the entry for {address} names {seen[str(address)]}, not {words(claimed)}"
        )
