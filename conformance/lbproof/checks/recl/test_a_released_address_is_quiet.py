"""Silence of released addresses."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, TypeVar

from lbproof.context import proves
from lbproof.witnesses import neighbours

if TYPE_CHECKING:
    from collections.abc import Mapping
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


@proves("RECL-03")
def test_a_released_address_is_quiet(check: CheckContext) -> None:
    """Addresses released by deletion and by a change of type are quiet; a newer Service has been served meanwhile.

    None has an answer, an announcement, an interface or a connection, and packets to the old announcer are not sent on
    and on.
    """
    check.pool(SERVICES)
    services = [check.service(f"web-{n}", serving=True) for n in range(SERVICES)]
    held = check.all_assigned(*services)
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
