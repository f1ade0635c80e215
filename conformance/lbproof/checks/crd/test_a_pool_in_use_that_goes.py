"""Pools in use that are deleted, or that shrink: what becomes of their Services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters.base import AddressRange
from lbproof.checks.crd.owners import one_each
from lbproof.context import proves
from lbproof.context.refusal import Refused
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof.context import CheckContext, Pool, Service
    from lbproof.spec.families import IPAddress

SIZE = 4
SPARE = 10
"""Addresses of another pool, which all are given in the end."""
SETTLED = 25
"""Looks in a row at which nothing changes any more."""


@proves("CRD-04")
def test_services_of_a_pool_that_goes_fare_alike(check: CheckContext, case: str) -> None:
    """All Services outside the pools as they are now keep their addresses, or all lose them, which then are silent.

    Where the pool cannot go while it is in use, they keep them. No address has two owners, also when a pool has the
    addresses again and new Services ask for them, and others for any. Services inside pools keep theirs at any time.
    Some asked for their address, by each way, and some did not.
    """
    places = (check.namespace, check.second_namespace)
    pool = check.pool(SIZE)
    asked = [check.random.choice(half) for half in (pool.addresses[: SIZE // 2], pool.addresses[SIZE // 2 :])]
    ways = check.random.sample(check.run.ways, len(check.run.ways))
    asking = [
        check.service(f"asks-{n}", namespace=places[n % 2], ask=address, how=how)
        for n, (address, how) in enumerate(zip(asked, ways, strict=False))
    ]
    with check.precondition("REQ-01"):
        held = check.all_assigned(*asking)
    held |= check.all_assigned(*(check.service(f"web-{n}", namespace=places[n % 2]) for n in range(SIZE - len(held))))
    check.pool(SPARE)
    inside = [] if case == "a" else pool.addresses[SIZE // 2 :]
    with check.room():
        staying = [check.service("stays", namespace=place) for place in places]
        check.all_assigned(*staying)
    staying += [service for service, address in held.items() if address in inside]
    outside = {service: address for service, address in held.items() if address not in inside}
    if check.run.claims("l2"):
        with check.precondition("L2-01"):
            check.holders(*outside.values())

    blocks = pool.spec.blocks
    with check.unchanged(*staying):
        if goes(check, pool, inside):
            check.control(budget="pool_applied")
        kept = kept_by(check, outside)
        as_on_the_wire(check, outside, kept, advertised=case == "b")
        with check.unchanged(*kept):
            if case == "a":
                check.pool(blocks, addresses=pool.addresses)
            else:
                check.change_pool(pool, blocks=blocks)
            for n, address in enumerate(outside.values()):
                check.unusable(f"again-{n}", namespace=places[n % 2], **({"ask": address} if check.run.ways else {}))
            check.control(budget="pool_applied")
            for n in range(SPARE):
                check.unusable(f"any-{n}", namespace=places[n % 2])
            one_each(check)


def goes(check: CheckContext, pool: Pool, inside: list[IPAddress]) -> bool:
    """Delete a pool, or leave it some of its addresses; return False where that is refused while it is in use."""
    if not inside:
        return check.remove_pool(pool)
    try:
        check.change_pool(pool, blocks=(AddressRange(inside[0], inside[-1]),))
    except Refused as refusal:
        check.saw("api", "a pool in use does not shrink", str(refusal))
        return False
    return True


def kept_by(check: CheckContext, held: Mapping[Service, IPAddress]) -> dict[Service, IPAddress]:
    """Return the Services that keep their addresses: verify that these are all or none, in the end."""
    check.still_held(held, budget="pool_applied")
    kept = check.wait.eventually(
        lambda: {service: held[service] for service, now in check.statuses(*held).items() if held[service] in now},
        lambda kept: len(kept) in {0, len(held)},
        what=f"{words([str(service) for service in held])} keep their addresses, or lose them, as one",
        budget="pool_applied",
        in_a_row=SETTLED,
        show=lambda kept: f"{len(kept)} of {len(held)} keep their addresses",
    )
    check.saw("api", "Services whose pool went keep their addresses", bool(kept))
    return kept


def as_on_the_wire(
    check: CheckContext, held: Mapping[Service, IPAddress], kept: Mapping[Service, IPAddress], *, advertised: bool
) -> None:
    """Verify that those that were lost are silent, and that kept ones are answered for if something advertises them.

    With the objects of a pool goes what advertises it.
    """
    if not check.run.claims("l2"):
        return
    if kept and advertised:
        check.holders(*kept.values())
    elif not kept:
        there = [service for service in check.services if not service.gone]
        given = {address for now in check.statuses(*there).values() for address in now}
        check.goes_silent(*(address for address in held.values() if address not in given))
