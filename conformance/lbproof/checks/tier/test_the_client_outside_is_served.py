"""Access to the address and the declared port from outside the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.lab.base import Capability
from lbproof.witnesses import neighbours

if TYPE_CHECKING:
    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

SERVICES = 3
IN_A_ROW = 3


def assigned(check: CheckContext) -> list[IPAddress]:
    """Create Services for all addresses of a pool, namesakes in two namespaces among them; return the addresses."""
    check.pool(SERVICES)
    return list(check.all_assigned(*check.several()).values())


def served(check: CheckContext, vantage: Vantage, hop: Vantage, addresses: list[IPAddress]) -> None:
    """Verify that a client is served whatever the next hop before the nodes knows of the addresses.

    At first, when it has the entry of an earlier request that it has to confirm, and when it has no entry: an
    announcement alone makes none. Between two addresses as well.
    """
    for address in addresses:
        check.serves(vantage, address, in_a_row=IN_A_ROW)
    check.serves_without_entry(vantage, *addresses, hop=hop)
    for address in addresses:
        entry = neighbours.entry(hop, address)
        if entry and entry.mac:
            neighbours.pin(hop, address, entry.mac, "STALE")
        check.serves(vantage, address, in_a_row=IN_A_ROW)


@proves("TIER-01")
def test_the_client_on_the_segment_is_served(check: CheckContext) -> None:
    """Backends answer the external client at each of several addresses, with and without a neighbour entry."""
    served(check, check.client, check.client, assigned(check))


@proves("TIER-04")
def test_the_client_behind_a_router_is_served(check: CheckContext) -> None:
    """A client in another subnet is served, so replies return through the router, which had to ask for the address."""
    check.run.need(Capability.ROUTED_CLIENT)
    addresses = assigned(check)
    served(check, check.lab.routed_client(), check.lab.router(), addresses)
