"""Fields that a tenant may write name the address of another host: no node answers for it, and the host is reached."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.context.claims import by_node
from lbproof.lab.base import Capability
from lbproof.spec.families import family_of
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress


POOL = 10
"""Addresses: one for each Service that asks for none, and some more."""


@proves("SEC-03")
def test_no_field_claims_an_address_of_the_lan(check: CheckContext) -> None:
    """A host beside the cluster, the router and a node are named by externalIPs, requests and statuses of Services.

    Each is answered for by itself alone, and no node claims one that is not its own, while a newer Service is served.
    """
    check.pool(POOL)
    address = check.assigned(check.service("web", serving=True))
    family = family_of(address)
    (stranger,) = check.run.addresses(1, family)
    victims = [check.lab.segment.subnet_for(family)[1], check.lab.nodes[-1].address_for(family)]
    if check.lab.can(Capability.FOREIGN_HOST):
        joins = functools.partial(check.lab.foreign_host, stranger)
        check.undo.enter("foreign host", check.fault(Capability.FOREIGN_HOST, joins))
        victims.append(stranger)
    owners = {victim: check.who_has(victim) for victim in victims}
    with check.claims() as claims:
        named_everywhere(check, victims)
        given = check.control(serving=True)
        with check.precondition("L2-01"):
            check.holders(given)
        now = {victim: check.who_has(victim) for victim in victims}
        nodes = {node.name: set(node.addresses) for node in check.lab.nodes}
        claimed = {
            str(victim): words([who for who in by if victim not in nodes.get(who, set())])
            for victim, by in by_node(claims.of(victims)).items()
            if any(who in nodes and victim not in nodes[who] for who in by)
        }
    assert not claimed, f"addresses of other hosts are claimed by {words(claimed)}"
    assert now == owners, f"answered for by {words(now)}, before any Service named them by {words(owners)}"


def named_everywhere(check: CheckContext, victims: Sequence[IPAddress]) -> None:
    """Create Services that name each address in each field that a tenant may write."""
    for n, victim in enumerate(victims):
        check.unusable(f"external-{n}", serving=True, externalIPs=[str(victim)])
        check.unusable(f"plain-{n}", serving=True, type="ClusterIP", externalIPs=[str(victim)])
        for how in check.run.ways:
            check.unusable(f"asks-{n}-{how}", ask=victim, how=how, serving=True)
        for service in check.unusable(f"status-{n}", serving=True):
            service.write_address(victim)
