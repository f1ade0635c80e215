"""Services without node ports (allocateLoadBalancerNodePorts), at whose address alone clients are served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.text import words
from lbproof.witnesses import neighbours

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

IN_A_ROW = 3


def assigned(check: CheckContext) -> dict[Service, IPAddress]:
    """Create Services without node ports, and return their addresses; others are free."""
    with check.pool_with_room(2):
        services = [
            check.service(allocateLoadBalancerNodePorts=False),
            check.service(serving=True, allocateLoadBalancerNodePorts=False),
        ]
        return check.all_assigned(*services)


def served(check: CheckContext, held: dict[Service, IPAddress]) -> None:
    """Wait until each client is served at each address."""
    for vantage in check.clients():
        for address in held.values():
            check.serves(vantage, address, in_a_row=IN_A_ROW)


@proves("TIER-08", "a")
def test_a_service_without_node_ports_is_served(check: CheckContext) -> None:
    """Clients on the segment and behind a router are served, and the Services still have no node port."""
    held = assigned(check)
    served(check, held)
    ports = {str(service): [port.get("nodePort") for port in service.read()["spec"]["ports"]] for service in held}
    assert not any(any(found) for found in ports.values()), f"node ports were given that nobody wanted: {words(ports)}"


@proves("TIER-08", "b")
def test_node_ports_are_added_later(check: CheckContext) -> None:
    """The API server gives the node ports; they serve, and the Services keep their addresses, where they are served."""
    held = assigned(check)
    with check.precondition():
        served(check, held)
    with check.unchanged(*held):
        for service in held:
            service.patch(spec={"allocateLoadBalancerNodePorts": True})
        served(check, held)
        for service in held:
            for node in check.lab.nodes:
                check.serves(check.client, node.address_for(check.family), service.node_port())
        for address in held.values():
            neighbours.forget(check.client, address)  # and so asks who has it now
        served(check, held)
