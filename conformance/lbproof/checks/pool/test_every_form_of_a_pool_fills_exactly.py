"""However a pool is written, it holds what is written: one address more or less is somebody else's, or lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.stage import Pool, Stage

LAST_BLOCK = tuple(f"198.51.100.{n}" for n in range(252, 256))
"""The end of a documentation network (RFC 5737), not on the segment: the last one looks like a broadcast address."""


def fills(stage: Stage, pool: Pool) -> None:
    """Each address of the pool is given to one of as many Services, and one Service more gets none."""
    services = [stage.service(f"web-{n}") for n in range(len(pool.addresses) + 1)]
    stage.wait.settles(
        lambda: sorted(address for service in services for address in service.addresses()),
        lambda given: given == sorted(pool.addresses),
        what=f"{len(services)} Services are given exactly the addresses {', '.join(pool.addresses)}",
        budget="address_assigned",
    )
    waiting = next(service for service in services if not service.addresses())
    stage.stays_pending(waiting)


@proves("POOL-03", "abcd")
def test_every_form_of_a_pool_fills_exactly(stage: Stage, case: str) -> None:
    """A CIDR, a range, one address, two blocks: each is given to the last address, and no further."""
    free = stage.lab.segment.free
    if case == "a":
        start = next(n for n, address in enumerate(free) if int(address.rsplit(".", 1)[1]) % 4 == 0)
        fills(stage, stage.pool([f"{free[start]}/30"], addresses=free[start : start + 4]))
    elif case == "b":
        block = stage.ground.addresses(3)
        fills(stage, stage.pool([f"{block[0]}-{block[-1]}"], addresses=block))
    elif case == "c":
        block = stage.ground.addresses(1)
        fills(stage, stage.pool(block, addresses=block))
    else:
        block = stage.ground.addresses(5)
        apart = [block[0], block[1], block[4]]
        fills(stage, stage.pool([f"{block[0]}-{block[1]}", f"{block[4]}-{block[4]}"], addresses=apart))


@proves("POOL-03", "e")
def test_the_ends_of_a_network_are_given_as_declared(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """Declared whole, the last address of a network is given too; declared without its ends, it is kept back."""
    blocks = [f"{LAST_BLOCK[0]}/30"]
    whole = stage.pool(blocks, addresses=LAST_BLOCK, whole=True)
    fills(stage, whole)
    stage.start_over()

    fills(stage, stage.pool(blocks, addresses=LAST_BLOCK[:-1], whole=False))
