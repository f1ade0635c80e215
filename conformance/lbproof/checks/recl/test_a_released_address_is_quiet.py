"""Silence of released addresses."""

from __future__ import annotations

import functools
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from lbproof.context import proves
from lbproof.witnesses import neighbours
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress

SERVICES = 4
K = TypeVar("K")


def order_of_release(random: Random, held: Mapping[K, IPAddress]) -> list[K]:
    """Draw an order that begins and ends with the holders of the lowest and the highest address.

    An implementation that gives again what is lowest or highest, or what was released first or last, begins with these.
    """
    lowest, *between, highest = sorted(held, key=lambda one: int(held[one]))
    first, last = random.sample([lowest, highest], 2)
    return [first, *random.sample(between, len(between)), last]


def taken_over(check: CheckContext, addresses: Sequence[IPAddress]) -> None:
    """Have what one node announces taken over, where the implementation moves it from a node that is excluded.

    The node may announce again afterwards. Whether an address goes is judged elsewhere.
    """
    drawn = check.random.choice(addresses)
    with check.precondition("L2-01"):
        held = check.holders(*addresses)
        old = check.node_among(held[drawn], drawn)
    leaving = [address for address in addresses if old.name in held[address]]
    with check.excluded(old.name), suppress(Violation), check.wait.tentative():
        check.holders(*leaving, but=old.name, budget="handed_over")


@proves("RECL-03")
def test_a_released_address_is_quiet(check: CheckContext) -> None:
    """Addresses released by deletion and by a change of type are quiet; a newer Service has been served meanwhile.

    Those of one node have been taken over by others before, where the implementation moves them from a node that is
    excluded. None has an answer, an announcement, an interface or a connection, and packets to the old announcer are
    not sent on and on.
    """
    check.pool(SERVICES)
    services = [check.service(f"web-{n}", serving=True) for n in range(SERVICES)]
    held = check.all_assigned(*services)
    taken_over(check, list(held.values()))
    old = {address: check.an_announcer(address) for address in held.values()}
    with check.precondition("TIER-01"):
        for address in held.values():
            check.serves(check.client, address)

    first, *retyped, last = order_of_release(check.random, held)
    check.delete(first)
    for service, kind in zip(retyped, ("ClusterIP", "NodePort"), strict=True):
        check.retype(service, kind)
    check.delete(last)
    check.goes_silent(*old)
    since = time.monotonic()
    with check.claims() as claims:
        with check.precondition():
            control = check.service("control", serving=True)
            given = check.assigned(control)
        check.known_to_every_node(control)
        with check.precondition("L2-01"):
            check.holders(given)
        quiet = [address for address in old if address != given]

        check.stays_silent(*quiet)
        check.on_no_interface(*quiet)
        for address in quiet:
            check.undo.later("the client's entry", functools.partial(neighbours.forget, check.client, address))
            neighbours.pin(check.client, address, old[address].mac, "PERMANENT")
        with check.hops(*quiet) as hops:
            hops.send(80)
            check.none_served(check.client, dict.fromkeys(quiet, (80,)))
        assert not (looped := hops.looped()), f"packets to a released address loop: {looped}"
        check.stays_unannounced(*quiet, claims=claims, since=since)
