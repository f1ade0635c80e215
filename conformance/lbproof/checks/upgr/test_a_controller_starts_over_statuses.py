"""Statuses that are there when a controller starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.context import proves
from lbproof.context.draws import mixed
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from lbproof.context import CheckContext, Pool, Service
    from lbproof.spec.families import IPAddress

ADOPTED = 3


def adopted(random: Random, addresses: Sequence[IPAddress]) -> list[IPAddress]:
    """Draw addresses of a pool for statuses, mixed: the lowest and the highest, which others may be given first."""
    lowest, *between, highest = addresses
    return mixed(random, [lowest, *random.sample(between, ADOPTED - 2), highest])


def in_pool(pool: Pool, held: Sequence[IPAddress]) -> bool:
    """Return whether there are addresses, and all are of the pool."""
    return bool(held) and set(held) <= set(pool.addresses)


def without_controller(
    check: CheckContext, addresses: Sequence[IPAddress], kept: Pool | None = None
) -> tuple[list[Service], list[Service]]:
    """Create Services while no controller runs, half of which have addresses already; return those, and the others.

    The others are older. `kept`: a pool that the Services with its addresses name.
    """
    places = (check.namespace, check.second_namespace)
    with check.run.workloads.stopped(WorkloadRole.CONTROLLER):
        others = [check.service("waits", namespace=place) for place in places]
        check.next_second()
        services = [
            check.service(
                f"web-{n}", namespace=places[n % 2], pool=kept if kept and address in kept.addresses else None
            )
            for n, address in enumerate(addresses)
        ]
        for service, address in zip(services, addresses, strict=True):
            service.write_address(address, ipMode="VIP")
    return services, others


@proves("UPGR-04", "a", disruptive=True)
def test_addresses_of_pools_in_statuses_are_kept(check: CheckContext) -> None:
    """Services that had addresses of a pool before the controller started keep them at any time.

    One of them names a pool that is kept for who does, and has neither its first nor its last address. Older ones
    without an address are given others, and so are later ones.
    """
    pool = check.pool(ADOPTED + 3)
    held = adopted(check.random, pool.addresses)
    kept = check.pool(3, auto_assign=False) if check.run.claims("auto-assign", "pool-select") else None
    if kept:
        held.append(kept.addresses[1])
    services, others = without_controller(check, held, kept)
    with check.unchanged(*services):
        others.append(check.service("later"))
        with check.precondition():
            given = check.all_assigned(*others, budget="restarted")
        taken = {str(service): address for service, address in given.items() if address in held}
        assert not taken, f"given though it was in the status of another Service: {words(taken)}"
        check.keep_assigned(*services)
    if check.run.claims("l2"):
        with check.precondition("L2-01"):
            check.holders(*held)


@proves("UPGR-04", "d", disruptive=True)
def test_other_addresses_in_statuses_are_replaced(check: CheckContext) -> None:
    """Services that had an address of no pool, or of a node, before the controller started are given one of a pool."""
    wrong = [check.lab.nodes[-1].address, *check.run.addresses(2)]
    pool = check.pool(len(wrong) + 2)
    services, others = without_controller(check, check.random.sample(wrong, len(wrong)))
    with check.precondition():
        check.all_assigned(*others, budget="restarted")
    for count, _ in enumerate(services, start=1):  # the budget is that of one
        given = check.wait.eventually(
            lambda: check.statuses(*services),
            lambda seen, count=count: sum(in_pool(pool, held) for held in seen.values()) >= count,  # type: ignore[misc]
            what="one more of the Services that had addresses of no pool has some of one",
            budget="address_assigned",
        )
    addresses = [address for held in given.values() for address in held]
    assert len(set(addresses)) == len(services), f"given twice: {words(given)}"
    if check.run.claims("l2"):
        check.goes_silent(*wrong[1:])
