"""However a pool is written, it holds what is written: one address more or less is somebody else's, or lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Pool

LAST_BLOCK = tuple(f"198.51.100.{n}" for n in range(252, 256))
"""The end of a documentation network (RFC 5737), not on the segment: the last one looks like a broadcast address."""


def fills(check: CheckContext, pool: Pool) -> None:
    """Each address of the pool is given to one of as many Services, and one Service more gets none."""
    services = [check.service(f"web-{n}") for n in range(len(pool.addresses) + 1)]
    check.wait.eventually(
        lambda: sorted(address for service in services for address in service.addresses()),
        lambda given: given == sorted(pool.addresses),
        what=f"{len(services)} Services are given exactly the addresses {', '.join(pool.addresses)}",
        budget="address_assigned",
    )
    waiting = next(service for service in services if not service.addresses())
    check.stays_pending(waiting)


@proves("POOL-03", "abcd")
def test_every_form_of_a_pool_fills_exactly(check: CheckContext, case: str) -> None:
    """A CIDR, a range, one address, two blocks: each is given to the last address, and no further."""
    free = check.lab.segment.free
    if case == "a":
        start = next(n for n, address in enumerate(free) if int(address.rsplit(".", 1)[1]) % 4 == 0)
        fills(check, check.pool([f"{free[start]}/30"], addresses=free[start : start + 4]))
    elif case == "b":
        block = check.run.addresses(3)
        fills(check, check.pool([f"{block[0]}-{block[-1]}"], addresses=block))
    elif case == "c":
        block = check.run.addresses(1)
        fills(check, check.pool(block, addresses=block))
    else:
        block = check.run.addresses(5)
        apart = [block[0], block[1], block[4]]
        fills(check, check.pool([f"{block[0]}-{block[1]}", f"{block[4]}-{block[4]}"], addresses=apart))


@proves("POOL-03", "e")
def test_the_ends_of_a_network_are_given_as_declared(check: CheckContext) -> None:
    """Declared whole, the last address of a network is given too; declared without its ends, it is kept back."""
    blocks = [f"{LAST_BLOCK[0]}/30"]
    whole = check.pool(blocks, addresses=LAST_BLOCK, include_edges=True)
    fills(check, whole)
    check.start_over()

    fills(check, check.pool(blocks, addresses=LAST_BLOCK[:-1], include_edges=False))
