"""What an operator declares is what is given, no more and no less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.stage import Stage

SERVICES = 3


@proves("POOL-01")
def test_addresses_come_from_the_pool(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """Services that ask for nothing are each given an address of the pool."""
    pool = stage.pool(SERVICES + 1)
    services = [stage.service(f"web-{n}") for n in range(SERVICES)]

    given = [stage.assigned(service) for service in services]

    outside = set(given) - set(pool.addresses)
    assert not outside, f"{outside} was given; the pool is {pool.addresses[0]} to {pool.addresses[-1]}"
