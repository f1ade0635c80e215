"""Silence of released addresses."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.witnesses import neighbours

if TYPE_CHECKING:
    from lbproof.context import CheckContext

SERVICES = 4


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

    check.random.shuffle(services)
    for service, kind in zip(services, ("ClusterIP", "NodePort"), strict=False):
        check.retype(service, kind)
    check.delete_all(*services[2:])
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
