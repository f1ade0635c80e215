"""Exact contents of a pool in each notation."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network
from typing import TYPE_CHECKING

from lbproof.adapters.base import AddressRange
from lbproof.context import proves

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Pool

LAST_BLOCK = tuple(IPv4Address("198.51.100.252") + n for n in range(4))
"""End of a documentation network (RFC 5737), not on the segment; its last address looks like a broadcast address."""


def fills(check: CheckContext, pool: Pool) -> None:
    """Verify that each address is assigned to one of as many Services, and that one more Service gets none."""
    services = [check.service(f"web-{n}") for n in range(len(pool.addresses) + 1)]
    check.wait.eventually(
        lambda: sorted(str(address) for service in services for address in service.addresses()),
        lambda given: given == sorted(map(str, pool.addresses)),
        what=f"{len(services)} Services are given exactly the addresses {', '.join(map(str, pool.addresses))}",
        budget="address_assigned",
    )
    waiting = next(service for service in services if not service.addresses())
    check.stays_pending(waiting)


@proves("POOL-03", "abcd")
def test_every_form_of_a_pool_fills_exactly(check: CheckContext, case: str) -> None:
    """A CIDR, a range, one address, two blocks: all their addresses are assigned, and no others."""
    if case == "a":
        block = check.run.addresses(7)  # of which four are a network
        start = -int(block[0]) % 4
        fills(check, check.pool([ip_network((block[start], 30))], addresses=block[start : start + 4]))
    elif case == "b":
        block = check.run.addresses(3)
        fills(check, check.pool([AddressRange(block[0], block[-1])], addresses=block))
    elif case == "c":
        block = check.run.addresses(1)
        fills(check, check.pool(block, addresses=block))
    else:
        block = check.run.addresses(5)
        apart = [block[0], block[1], block[4]]
        fills(check, check.pool([AddressRange(block[0], block[1]), AddressRange(block[4], block[4])], addresses=apart))


@proves("POOL-03", "e")
def test_the_ends_of_a_network_are_given_as_declared(check: CheckContext) -> None:
    """The last address of a network is assigned if its edges are included in the pool, and not if they are excluded."""
    blocks = [ip_network((LAST_BLOCK[0], 30))]
    whole = check.pool(blocks, addresses=LAST_BLOCK, include_edges=True)
    fills(check, whole)
    check.start_over()

    fills(check, check.pool(blocks, addresses=LAST_BLOCK[:-1], include_edges=False))
