"""Assignment to Pending Services without a change to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters.base import AddressRange, Cause
from lbproof.context import proves
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("PEND-03")
def test_a_freed_address_goes_to_who_waits(check: CheckContext, case: str) -> None:
    """The only address of a pool is assigned to the Pending Service when its holder is deleted."""
    pool = check.pool(1)
    holder = check.service("holder")
    address = check.assigned(holder)
    waiting = check.service("waiting", ask=address if case == "b" else "")
    check.refused(waiting, Cause.IN_USE if case == "b" else Cause.POOL_EXHAUSTED)

    check.delete(holder)

    given = check.assigned(waiting)
    assert given == pool.addresses[0], f"{waiting} was given {given}, expected {pool.addresses[0]}"


@proves("PEND-04")
def test_a_pool_that_grows_serves_who_waits(check: CheckContext, case: str) -> None:
    """A Pending Service gets an address when a pool is added or extended; other Services keep theirs."""
    block = check.run.addresses(3)
    first = check.pool([AddressRange(block[0], block[0])], addresses=block[:1])
    holder = check.service("holder")
    held = check.assigned(holder)
    waiting = check.service("waiting")
    check.refused(waiting, Cause.POOL_EXHAUSTED)

    if case == "a":
        check.pool([AddressRange(block[1], block[2])], addresses=block[1:])
    else:
        check.change_pool(first, blocks=(AddressRange(block[0], block[2]),))

    given = check.wait.eventually(
        waiting.addresses, bool, what=f"{waiting} is given an address of the grown pool", budget="pool_applied"
    )[0]
    assert given in block[1:], f"{waiting} was given {given}, expected one of {words(block[1:])}"
    assert holder.addresses() == [held], f"{holder} held {held} and now holds {words(holder.addresses())}"
