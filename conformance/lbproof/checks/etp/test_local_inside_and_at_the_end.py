"""externalTrafficPolicy Local: clients inside the cluster, and endpoints that are being ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.checks.etp.local import announced_by, assigned, served_by
from lbproof.context import manifests, proves
from lbproof.lab.base import Capability

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("ETP-06", "a")
def test_clients_inside_are_served_on_every_node(check: CheckContext) -> None:
    """Pods and nodes, whether or not the node has an endpoint of the Service."""
    check.run.need(Capability.POD_VANTAGE)
    nodes = check.nodes_with_pods(least=2)
    held = assigned(check, nodes)
    inside = [check.pod(name) for name, _ in check.pods(check.run.web)]
    inside += [check.lab.node(node.name) for node in check.lab.nodes]
    for address, _ in held.values():
        for vantage in inside:
            check.serves(vantage, address, in_a_row=3)


@proves("ETP-06", "b")
def test_the_last_endpoint_serves_while_it_ends(check: CheckContext) -> None:
    """The only endpoint of each Service begins to end, or has done so when another one, on another node, is ready."""
    nodes = check.nodes_with_pods(least=2)
    held = assigned(check, nodes)
    with check.precondition():
        check.holders_within({address: [node] for address, node in held.values()})
    with check.unchanged(*held):
        for service, (_, node) in held.items():
            check.serve_from(service, nodes=[node], conditions=manifests.TERMINATING)
        announced_by(check, {address: [node] for address, node in held.values()})
        for service, (address, node) in held.items():
            pods = check.serve_from(service, nodes=[node], conditions=manifests.TERMINATING)
            served_by(check, check.client, address, pods)
