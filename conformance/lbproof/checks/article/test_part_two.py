"""The second part: the three kinds of Service side by side, and what happens when a node goes down."""

from __future__ import annotations

import functools
import ipaddress
from typing import TYPE_CHECKING

import pytest

from lbproof.checks.article.scene import ADDRESS, NODE_PORT
from lbproof.lab.base import Ability, Role
from lbproof.observe import arp, http
from lbproof.observe.kube import ApiError
from lbproof.proves import proves
from lbproof.stage import manifests

if TYPE_CHECKING:
    from lbproof.checks.article.scene import Scene
    from lbproof.stage import Stage

UNPROCESSABLE = 422
PORT = 8090


@proves("ARTICLE-11")
def test_cluster_ip_is_for_inside(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """It answers from any node and from inside a pod, and not from outside."""
    scene.show("two")
    address = scene.service("nginxcip").cluster_ip()

    for node in stage.lab.nodes:
        scene.answers(stage.lab.node(node.name), address, 8020)
    scene.answers(stage.lab.pod("default", scene.pods()[0][0]), address, 8020)
    stage.not_served(stage.client, address, 8020)


@proves("ARTICLE-12")
def test_node_port_is_for_outside_too(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """It answers at the IP of every master and worker; the API refuses a node port outside 30000 to 32767."""
    scene.show("two")
    for node in stage.lab.nodes:
        scene.answers(stage.client, node.address, NODE_PORT)
    for port in (29999, 32768):
        wrong = manifests.service("default", "out-of-range", type="NodePort", ports=({"port": 80, "nodePort": port},))
        with pytest.raises(ApiError) as refused:
            stage.cluster.create("/api/v1/namespaces/default/services", wrong)
        assert refused.value.status == UNPROCESSABLE
        assert "30000-32767" in refused.value.message


@proves("ARTICLE-13")
def test_ports_are_not_redirected(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """At .161 the declared port answers; the node port and the pods' port do not."""
    scene.show("two")
    scene.answers(stage.client, scene.assigned("nginxlb"), PORT)

    stage.not_served(stage.client, ADDRESS, 80, scene.service("nginxlb").node_port())


@proves("ARTICLE-14")
def test_each_kind_balances_over_the_pods(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """Through each kind of Service, every one of the three pods answers in the course of some requests."""
    scene.show("two")
    scene.assigned("nginxlb")

    scene.spread(stage.lab.node(stage.lab.nodes[-1].name), scene.service("nginxcip").cluster_ip(), 8020)
    scene.spread(stage.client, stage.lab.nodes[-1].address, NODE_PORT)
    scene.spread(stage.client, ADDRESS, PORT)


@proves("ARTICLE-16")
def test_the_address_moves_when_its_node_goes_down(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """It lives on one node, and is served from another when that one goes down."""
    scene.show("two")
    scene.assigned("nginxlb")
    old = stage.announcer(ADDRESS)

    with stage.fault(Ability.POWER_CUT, functools.partial(stage.lab.power_cut, old.name)):
        new = stage.announcer(ADDRESS, but=old.name, budget="failover")
        scene.answers(stage.client, ADDRESS, PORT)
    stage.settled_after_fault()
    scene.ground.ready("default", "nginx")

    assert new.name != old.name


@proves("ARTICLE-17")
def test_node_port_has_a_single_point_of_failure(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """With the node dead whose IP was published, NodePort there answers no more, and the LoadBalancer does.

    It is the node that announces, so that both lose what they stood on; another worker if no worker announces.
    """
    scene.show("two")
    scene.assigned("nginxlb")
    announcer = stage.announcer(ADDRESS).name
    workers = [node for node in stage.lab.nodes if node.role is Role.WORKER]
    published = next((node for node in workers if node.name == announcer), workers[0])
    scene.answers(stage.client, published.address, NODE_PORT)

    with stage.fault(Ability.POWER_CUT, functools.partial(stage.lab.power_cut, published.name)):
        stage.announcer(ADDRESS, but=published.name, budget="failover")
        scene.answers(stage.client, ADDRESS, PORT)
        stage.not_served(stage.client, published.address, NODE_PORT)
    stage.settled_after_fault()
    scene.ground.ready("default", "nginx")


@proves("ARTICLE-19")
def test_its_two_limits(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """The address is of the nodes' subnet, a client behind a router is served too, and another port is not."""
    scene.show("two")
    scene.assigned("nginxlb")
    stage.ground.need(Ability.FAR_CLIENT)

    assert ipaddress.ip_address(ADDRESS) in ipaddress.ip_network(stage.lab.segment.subnet)
    scene.answers(stage.lab.far(), ADDRESS, PORT)
    assert http.connects(stage.lab.far(), ADDRESS, 80) != "open"


@proves("ARTICLE-20")
def test_one_owner_at_a_time_as_with_vrrp(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """One node answers for the address, and after its death one other."""
    scene.show("two")
    scene.assigned("nginxlb")
    master = stage.announcer(ADDRESS)
    before = {answer.mac for _ in range(5) for answer in arp.ask(stage.client, ADDRESS)}

    with stage.fault(Ability.POWER_CUT, functools.partial(stage.lab.power_cut, master.name)):
        backup = stage.announcer(ADDRESS, but=master.name, budget="failover")
        after = {answer.mac for _ in range(5) for answer in arp.ask(stage.client, ADDRESS)}
    stage.settled_after_fault()
    scene.ground.ready("default", "nginx")

    assert before == {master.mac}
    assert after == {backup.mac}
