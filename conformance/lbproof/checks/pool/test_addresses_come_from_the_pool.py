"""Assignment from declared pools only."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from lbproof.adapters.base import AddressRange
from lbproof.context import proves
from lbproof.context.precedence import judging
from lbproof.context.refusal import Refused
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Collection

    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

SERVICES = 4


@proves("POOL-01")
def test_addresses_come_from_the_pools(check: CheckContext) -> None:
    """Every address in the status of a Service that asks for none lies in a pool of the present configuration.

    Of two pools with a gap; after one of them was given other blocks while it was in use; and after one in use was
    removed.
    """
    block = check.run.addresses(SERVICES + 5)
    lower, upper, new = block[:2], block[3:5], block[5:]  # and a gap between the first two
    check.pool([AddressRange(lower[0], lower[-1])], addresses=lower)
    second = check.pool([AddressRange(upper[0], upper[-1])], addresses=upper)
    first = services(check, "web", SERVICES)
    inside(check, first, {*lower, *upper})

    blocks = (AddressRange(new[0], new[1]),)
    with suppress(Refused):  # as an implementation may while the pool is in use
        check.change_pool(second, blocks=blocks)
    check.delete_all(*first)
    check.change_pool(second, blocks=blocks)
    check.wait_out("pool_applied")
    changed = services(check, "changed", SERVICES)
    inside(check, changed, {*lower, *new[:2]})
    beyond = services(check, "beyond", 2)  # for whom nothing is left but what the pools no longer have
    with judging(lambda: stay_inside(check, beyond, [*lower, *new[:2]])):
        check.control_apart()
    check.delete_all(*beyond)

    check.change_pool(second, blocks=(AddressRange(new[0], new[-1]),))
    inside(check, services(check, "wider", 1), new[2:])
    if check.remove_pool(second):
        check.delete_all(*changed)
        check.wait_out("pool_applied")
        late = services(check, "late", len(lower) + 2)
        with judging(lambda: stay_inside(check, late, lower)):
            check.control_apart()


def services(check: CheckContext, name: str, count: int) -> list[Service]:
    """Create Services in two namespaces."""
    places = (check.namespace, check.second_namespace)
    return [check.service(f"{name}-{n // 2}", namespace=places[n % 2]) for n in range(count)]


def inside(check: CheckContext, made: list[Service], pools: Collection[IPAddress]) -> None:
    """Wait until Services have addresses, and verify that all of them, also further ones, are in pools."""
    check.all_assigned(*made)
    found = outside(check, made, pools)
    assert not found, f"{words(found)} was given; the pools have {words(sorted(map(str, pools)))}"


def stay_inside(check: CheckContext, made: list[Service], pools: Collection[IPAddress]) -> None:
    """Verify that no Service is given an address that is in no pool, however late."""
    check.wait.consistently(
        lambda: outside(check, made, pools),
        lambda found: not found,
        what=f"{words(sorted(map(str, pools)))} alone are given, since a pool was changed",
        budget="stays_pending",
    )


def outside(check: CheckContext, made: list[Service], pools: Collection[IPAddress]) -> list[IPAddress]:
    """Return the addresses in the statuses of Services that are in no pool."""
    return [address for held in check.statuses(*made).values() for address in held if address not in pools]
