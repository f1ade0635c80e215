"""Assignment from declared pools only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext

SERVICES = 3


@proves("POOL-01")
def test_addresses_come_from_the_pool(check: CheckContext) -> None:
    """Each Service without a requested address gets an address of the pool."""
    pool = check.pool(SERVICES + 1)
    services = [check.service(f"web-{n}") for n in range(SERVICES)]

    given = [check.assigned(service) for service in services]

    outside = set(given) - set(pool.addresses)
    assert not outside, f"{words(outside)} was given; the pool is {pool.addresses[0]} to {pool.addresses[-1]}"
