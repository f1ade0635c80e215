"""Absence of the announced address from the nodes' interfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("L2-03")
def test_the_address_is_on_no_interface(check: CheckContext) -> None:
    """No node has the announced address on an interface, except IPVS's own (`kube-ipvs0`)."""
    check.pool(1)
    address = check.assigned(check.service(serving=True))
    check.announcer(address)

    check.on_no_interface(address)
