"""Waiting ends by itself: nobody edits a Service to wake it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause
from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.stage import Stage


@proves("PEND-03")
def test_a_freed_address_goes_to_who_waits(stage: Stage, case: str) -> None:
    """Of a pool of one, the address goes to the Service that waits when its holder is deleted."""
    pool = stage.pool(1)
    holder = stage.service("holder")
    address = stage.assigned(holder)
    waiting = stage.service("waiting", ask=address if case == "b" else "")
    stage.refused(waiting, Cause.IN_USE if case == "b" else Cause.POOL_EXHAUSTED)

    stage.delete(holder)

    given = stage.assigned(waiting)
    assert given == pool.addresses[0], f"{waiting} was given {given}, expected {pool.addresses[0]}"


@proves("PEND-04")
def test_a_pool_that_grows_serves_who_waits(stage: Stage, case: str) -> None:
    """A Service that found a full pool is given an address of a new or a wider one; who has one keeps it."""
    block = stage.ground.addresses(3)
    first = stage.pool([f"{block[0]}-{block[0]}"], addresses=block[:1])
    holder = stage.service("holder")
    held = stage.assigned(holder)
    waiting = stage.service("waiting")
    stage.refused(waiting, Cause.POOL_EXHAUSTED)

    if case == "a":
        stage.pool([f"{block[1]}-{block[2]}"], addresses=block[1:])
    else:
        stage.change_pool(first, [f"{block[0]}-{block[2]}"])

    given = stage.wait.settles(
        waiting.addresses, bool, what=f"{waiting} is given an address of the grown pool", budget="pool_applied"
    )[0]
    assert given in block[1:], f"{waiting} was given {given}, expected one of {block[1:]}"
    assert holder.addresses() == [held], f"{holder} held {held} and now holds {holder.addresses()}"
