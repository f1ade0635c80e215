"""Access to the address and the declared port from outside the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.lab.base import Capability

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("TIER-01")
def test_the_client_on_the_segment_is_served(check: CheckContext) -> None:
    """Backends answer three consecutive requests from the external client."""
    check.pool(1)
    address = check.assigned(check.service(serving=True))

    check.serves(check.client, address, in_a_row=3)


@proves("TIER-04")
def test_the_client_behind_a_router_is_served(check: CheckContext) -> None:
    """A client in another subnet is served, so replies return through the router."""
    check.run.need(Capability.ROUTED_CLIENT)
    check.pool(1)
    address = check.assigned(check.service(serving=True))

    check.serves(check.lab.routed_client(), address, in_a_row=3)
