"""Layers of a LoadBalancer: ClusterIP and NodePort, each reachable only from its own places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.context.unchanged import untouched
from lbproof.lab.base import Capability

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("TIER-05", "a")
def test_each_tier_serves_its_own_places(check: CheckContext) -> None:
    """The cluster IP serves a pod and a node but not the client; each node's port serves the client."""
    check.run.need(Capability.POD_VANTAGE)
    check.pool(1)
    service = check.service(serving=True)
    check.assigned(service)
    cluster_ip, node_port = service.cluster_ip(), service.node_port()
    worker = check.lab.nodes[-1]

    check.serves(check.pod(check.pods(check.run.web)[0][0]), cluster_ip)
    check.serves(check.lab.node(worker.name), cluster_ip)
    for node in check.lab.nodes:
        check.serves(check.client, node.address_for(check.family), node_port)
    check.not_served(check.client, cluster_ip, 80)


@proves("TIER-05", "b")
def test_a_node_port_service_is_left_as_it_was(check: CheckContext) -> None:
    """A NodePort Service of the same pods is not touched, and serves before and after a LoadBalancer is assigned."""
    before = check.service("before", serving=True, type="NodePort")
    node = check.lab.nodes[-1]
    check.serves(check.client, node.address_for(check.family), before.node_port())

    check.pool(1)
    with check.unchanged(before, part=untouched):
        address = check.assigned(check.service(serving=True))
        check.serves(check.client, address)
    check.serves(check.client, node.address_for(check.family), before.node_port())
