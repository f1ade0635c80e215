"""Second part: the three types of Service side by side, and the failure of a node."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from lbproof.checks.article.scene import ADDRESS, NODE_PORT
from lbproof.context import manifests, proves
from lbproof.lab.base import Capability, Role
from lbproof.spec.families import Family
from lbproof.witnesses.kube import ApiError

if TYPE_CHECKING:
    from lbproof.checks.article.scene import Scene
    from lbproof.context import CheckContext

UNPROCESSABLE = 422
PORT = 8090


@proves("ARTICLE-11")
def test_cluster_ip_is_for_inside(check: CheckContext, scene: Scene) -> None:
    """The ClusterIP Service answers requests from any node and from a pod, and not from outside."""
    scene.show("two")
    address = scene.service("nginxcip").cluster_ip()

    for node in check.lab.nodes:
        scene.answers(check.lab.node(node.name), address, 8020)
    scene.answers(check.lab.pod("default", scene.pods()[0][0]), address, 8020)
    check.not_served(check.client, address, 8020)


@proves("ARTICLE-12")
def test_node_port_is_for_outside_too(check: CheckContext, scene: Scene) -> None:
    """The NodePort Service answers at every node's IP; the API rejects a node port outside 30000 to 32767."""
    scene.show("two")
    for node in check.lab.nodes:
        scene.answers(check.client, node.address, NODE_PORT)
    for port in (29999, 32768):
        wrong = manifests.service("default", "out-of-range", type="NodePort", ports=({"port": 80, "nodePort": port},))
        with pytest.raises(ApiError) as refused:
            check.cluster.create("/api/v1/namespaces/default/services", wrong)
        assert refused.value.status == UNPROCESSABLE
        assert "30000-32767" in refused.value.message


@proves("ARTICLE-13")
def test_ports_are_not_redirected(check: CheckContext, scene: Scene) -> None:
    """At .161 only the declared port answers, not the node port or the pods' port."""
    scene.show("two")
    scene.answers(check.client, scene.assigned("nginxlb"), PORT)

    check.not_served(check.client, ADDRESS, 80, scene.service("nginxlb").node_port())


@proves("ARTICLE-14")
def test_each_kind_balances_over_the_pods(check: CheckContext, scene: Scene) -> None:
    """Each of the three pods answers some of the requests through each type of Service."""
    scene.show("two")
    scene.assigned("nginxlb")

    scene.spread(check.lab.node(check.lab.nodes[-1].name), scene.service("nginxcip").cluster_ip(), 8020)
    scene.spread(check.client, check.lab.nodes[-1].address, NODE_PORT)
    scene.spread(check.client, ADDRESS, PORT)


@proves("ARTICLE-16", disruptive=True)
def test_the_address_moves_when_its_node_goes_down(check: CheckContext, scene: Scene) -> None:
    """The address is announced by one node, and served from another when that node goes down."""
    scene.show("two")
    scene.assigned("nginxlb")
    check.announcer(ADDRESS)
    old, _ = check.worker_that_announces([ADDRESS])

    with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, old.name)):
        new = check.announcer(ADDRESS, but=old.name, budget="failover")
        scene.answers(check.client, ADDRESS, PORT)
    check.settled_after_fault()
    scene.run.ready("default", "nginx")

    assert new.name != old.name


@proves("ARTICLE-17", disruptive=True)
def test_node_port_has_a_single_point_of_failure(check: CheckContext, scene: Scene) -> None:
    """After the failure of a node, NodePort at its IP no longer answers, and the LoadBalancer still does.

    The node is the announcer, so that both Services are affected; another worker if no worker announces.
    """
    scene.show("two")
    scene.assigned("nginxlb")
    announcer = check.an_announcer(ADDRESS).name
    workers = [node for node in check.lab.nodes if node.role is Role.WORKER]
    published = next((node for node in workers if node.name == announcer), workers[0])
    scene.answers(check.client, published.address, NODE_PORT)

    with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, published.name)):
        check.holders(ADDRESS, but=published.name, budget="failover")
        scene.answers(check.client, ADDRESS, PORT)
        check.not_served(check.client, published.address, NODE_PORT)
    check.settled_after_fault()
    scene.run.ready("default", "nginx")


@proves("ARTICLE-19")
def test_its_two_limits(check: CheckContext, scene: Scene) -> None:
    """The address is in the nodes' subnet, a client behind a router is served, and other ports are not."""
    scene.show("two")
    scene.assigned("nginxlb")
    check.run.need(Capability.ROUTED_CLIENT)

    assert ADDRESS in check.lab.segment.subnet_for(Family.IPV4)
    scene.answers(check.lab.routed_client(), ADDRESS, PORT)
    check.not_served(check.lab.routed_client(), ADDRESS, 80)


@proves("ARTICLE-20", disruptive=True)
def test_one_owner_at_a_time_as_with_vrrp(check: CheckContext, scene: Scene) -> None:
    """Exactly one node answers for the address, and after its failure exactly one other node."""
    scene.show("two")
    scene.assigned("nginxlb")
    check.worker_that_announces([ADDRESS])
    master = check.announcer(ADDRESS)
    before = {answer.mac for answer in check.replies(ADDRESS, count=5)}

    with check.fault(Capability.NODE_CRASH, functools.partial(check.lab.node_crash, master.name)):
        backup = check.announcer(ADDRESS, but=master.name, budget="failover")
        after = {answer.mac for answer in check.replies(ADDRESS, count=5)}
    check.settled_after_fault()
    scene.run.ready("default", "nginx")

    assert before == {master.mac}
    assert after == {backup.mac}
