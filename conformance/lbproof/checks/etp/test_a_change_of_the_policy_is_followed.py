"""externalTrafficPolicy that is changed on a live Service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.checks.etp.local import announced_by, assigned, own_address_seen, served_by
from lbproof.context import proves

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("ETP-05", "a")
def test_a_change_to_local_is_followed(check: CheckContext) -> None:
    """Services whose endpoints are not where they are announced, as far as there are such nodes."""
    nodes = check.nodes_with_pods(least=2)
    held = assigned(check, nodes, policy="Cluster")
    now = {}
    for service, (address, node) in held.items():
        via = check.an_announcer(address).name
        there = next((one for one in nodes if one != via), node)
        check.serve_from(service, nodes=[there])
        now[address] = [there]
    with check.unchanged(*held):
        for service in held:
            service.patch(spec={"externalTrafficPolicy": "Local"})
        announced_by(check, now)
        for address in now:
            own_address_seen(check, check.client, address)


@proves("ETP-05", "b")
def test_a_change_to_cluster_is_followed(check: CheckContext) -> None:
    """After it the endpoint of each Service goes from the announcing node to each other one, and clients are served."""
    nodes = check.nodes_with_pods(least=2)
    held = assigned(check, nodes)
    with check.precondition():
        check.holders_within({address: [node] for address, node in held.values()})
    with check.unchanged(*held):
        for service in held:
            service.patch(spec={"externalTrafficPolicy": "Cluster"})
        for turn in range(len(nodes)):
            pods = {
                service: check.serve_from(service, nodes=[nodes[(nodes.index(node) + turn) % len(nodes)]])
                for service, (_, node) in held.items()
            }
            for service, (address, _) in held.items():
                served_by(check, check.client, address, pods[service])
