"""Absence of the announced address from the nodes' interfaces."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from lbproof.context import CheckContext

SERVICES = 3


@proves("L2-03")
def test_the_address_is_on_no_interface(check: CheckContext) -> None:
    """No node has one of several announced addresses on an interface, except IPVS's own, at any time of a watch.

    Also after a newer Service is announced, for the address of one that was released and given again, and after the
    address of one has moved to another node, where the implementation moves it from a node that is excluded.
    """
    check.pool(SERVICES)
    services = [check.service(f"web-{n}", serving=True) for n in range(SERVICES)]
    held = list(check.all_assigned(*services).values())
    with check.precondition("L2-01"):
        check.holders(*held)
    check.wait.consistently(
        lambda: check.interfaces_with_any(*held),
        lambda found: not found,
        what=f"no interface of a node has one of {SERVICES} announced addresses",
        budget="stays_silent",
        every=0.1,
    )

    check.delete(check.random.choice(services))
    again = check.control(serving=True)
    with check.precondition("L2-01"):
        check.holders(again)
    check.on_no_interface(*held)

    old = check.an_announcer(again)
    check.exclude(old.name)
    with suppress(Violation), check.wait.tentative():
        check.holders(again, but=old.name)
    check.on_no_interface(*held)
