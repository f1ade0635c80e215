"""A LoadBalancer is a NodePort is a ClusterIP; and each is reachable from its own places alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.lab.base import Ability
from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.stage import Stage


@proves("TIER-05", "a")
def test_each_tier_serves_its_own_places(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """The cluster address serves a pod and a node but not the client, whom every node's port serves."""
    stage.ground.need(Ability.POD_VANTAGE)
    stage.pool(1)
    service = stage.service(serving=True)
    stage.assigned(service)
    cluster_ip, node_port = service.cluster_ip(), service.node_port()
    worker = stage.lab.nodes[-1]

    stage.serves(stage.pod(stage.pods(stage.ground.web)[0][0]), cluster_ip)
    stage.serves(stage.lab.node(worker.name), cluster_ip)
    for node in stage.lab.nodes:
        stage.serves(stage.client, node.address, node_port)
    stage.not_served(stage.client, cluster_ip, 80)


@proves("TIER-05", "b")
def test_a_node_port_service_is_left_as_it_was(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """A NodePort Service of the same pods keeps its spec and serves, before and after the LoadBalancer is assigned."""
    before = stage.service("before", serving=True, type="NodePort")
    node, spec = stage.lab.nodes[-1], before.read()["spec"]
    stage.serves(stage.client, node.address, before.node_port())

    stage.pool(1)
    address = stage.assigned(stage.service(serving=True))
    stage.serves(stage.client, address)

    after = before.read()
    assert after["spec"] == spec, f"{before} was changed from {spec} to {after['spec']}"
    assert not before.addresses(), f"{before} of type NodePort was given {before.addresses()}"
    stage.serves(stage.client, node.address, before.node_port())
