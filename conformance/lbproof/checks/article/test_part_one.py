"""First part: a NodePort Service, then two LoadBalancers beside it."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from lbproof.adapters import rendering
from lbproof.adapters.base import WorkloadRole
from lbproof.adapters.reports import EventPattern
from lbproof.checks.article.scene import ADDRESS, NAMESPACE, NODE_PORT, POOL, REPLICAS
from lbproof.context import CannotShow, ingress, proves
from lbproof.lab.base import LabError
from lbproof.spec import Untestable
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.checks.article.scene import Scene
    from lbproof.context import CheckContext

CUSTOM = {"ipaddresspools.metallb.io", "l2advertisements.metallb.io"}
"""Custom resources of the article's pool and its advertisement."""
ALLOCATED = EventPattern(type="Normal", reason="^IPAllocated$")
ANNOUNCED = EventPattern(type="Normal", reason="^nodeAssigned$")
OUTSIDE = IPv4Address("192.168.172.171")
"""Address of the nodes' subnet that is in no pool."""


@proves("ARTICLE-01")
def test_installing_gives_what_the_article_lists(check: CheckContext) -> None:
    """The installation has the CRDs, the controller's Deployment, and a speaker on every node including the master."""
    workloads = check.run.workloads
    brought = rendering.manifests(check.run.adapter, check.run.site)
    wanted = CUSTOM | {made["metadata"]["name"] for made in brought if made["kind"] == "CustomResourceDefinition"}
    there = {
        row["metadata"]["name"] for row in check.cluster.list("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    }
    missing = wanted - there
    controllers = [workload.kind for workload in workloads.of(WorkloadRole.CONTROLLER)]
    announcers = [workload.kind for workload in workloads.of(WorkloadRole.ANNOUNCER)]
    speakers = [node for node, _, _ in workloads.pods(WorkloadRole.ANNOUNCER)]

    assert not missing, f"custom resources that are missing: {words(missing)}"
    assert controllers == ["Deployment"], f"the controller is not one Deployment but {words(controllers)}"
    assert len(workloads.pods(WorkloadRole.CONTROLLER)) == 1
    assert announcers == ["DaemonSet"], f"the speaker is not one DaemonSet but {words(announcers)}"
    assert sorted(speakers) == sorted(node.name for node in check.lab.nodes)


@proves("ARTICLE-02")
@pytest.mark.usefixtures("scene")
def test_pools_live_with_the_implementation(check: CheckContext) -> None:
    """The pool and its advertisement can be read from the implementation's namespace."""
    namespaces = {workload.namespace for workload in check.run.workloads.of(WorkloadRole.CONTROLLER)}
    paths = [
        check.cluster.path_of("metallb.io/v1beta1", "IPAddressPool", namespace, "lb-ip-pool")
        for namespace in sorted(namespaces)
    ]
    found = [pool["spec"]["addresses"] for pool in map(check.cluster.find, paths) if pool]

    assert found == [["192.168.172.160-192.168.172.169"]]


@proves("ARTICLE-03")
def test_before_the_load_balancer(check: CheckContext, scene: Scene) -> None:
    """The NodePort Service answers inside at its cluster IP, outside at any node's IP, and has no EXTERNAL-IP."""
    scene.show("before")
    service = scene.service("nginx")

    scene.answers(check.lab.node(check.lab.nodes[-1].name), service.cluster_ip(), 80)
    for node in check.lab.nodes:
        scene.answers(check.client, node.address, NODE_PORT)

    assert service.addresses() == []


@proves("ARTICLE-04")
def test_the_requested_address_is_shown(check: CheckContext, scene: Scene) -> None:
    """`nginxlb` has the address .161, and the NodePort Service still answers."""
    scene.show("one")

    assert scene.assigned("nginxlb") == ADDRESS
    scene.answers(check.client, check.lab.nodes[0].address, NODE_PORT)


@proves("ARTICLE-05")
def test_three_tiers_answer(check: CheckContext, scene: Scene) -> None:
    """The Service answers inside at its cluster IP, and outside at each node's node port and at .161:port."""
    scene.show("one")
    service = scene.service("nginxlb")
    scene.assigned("nginxlb")

    scene.answers(check.lab.node(check.lab.nodes[-1].name), service.cluster_ip(), 80)
    for node in check.lab.nodes:
        scene.answers(check.client, node.address, service.node_port())
    scene.answers(check.client, ADDRESS, 80)


@proves("ARTICLE-06")
def test_kube_proxy_holds_the_rule(check: CheckContext, scene: Scene) -> None:
    """The nat table (or nftables map) of every node contains the address with the Service's name."""
    scene.show("one")
    scene.assigned("nginxlb")
    mode = check.lab.topology.proxy_mode
    if mode == "iptables":
        command, wanted = (
            ["iptables-save", "-t", "nat"],
            (f"{ADDRESS}/32", "default/nginxlb:http loadbalancer IP", "KUBE-EXT-"),
        )
    elif mode == "nftables":
        command, wanted = (
            ["nft", "list", "map", "ip", "kube-proxy", "service-ips"],
            (str(ADDRESS), "external-", "default/nginxlb"),
        )
    else:
        raise CannotShow(Untestable.PROXY_MODE, mode)

    for node in check.lab.nodes:
        check.wait.eventually(
            lambda name=node.name: [line for line in _rules(check, name, command) if str(ADDRESS) in line],  # type: ignore[misc]
            lambda lines: any(all(word in line for word in wanted) for line in lines),
            what=f"a rule on {node.name} holds {', '.join(wanted)}",
            budget="serves",
            every=0.1,
        )


def _rules(check: CheckContext, node: str, command: list[str]) -> list[str]:
    try:
        return check.lab.run(node, command).splitlines()
    except LabError as error:
        return [str(error)]


@proves("ARTICLE-07")
def test_the_address_is_on_no_interface(check: CheckContext, scene: Scene) -> None:
    """No interface of any node has .161 while a client is answered there."""
    scene.show("one")
    scene.answers(check.client, scene.assigned("nginxlb"), 80)

    check.on_no_interface(ADDRESS)


@proves("ARTICLE-08")
@pytest.mark.usefixtures("scene")
def test_outside_the_pool_stays_pending(check: CheckContext) -> None:
    """EXTERNAL-IP stays Pending when the requested address is in no pool."""
    outside = check.service("outside", loadBalancerIP=str(OUTSIDE))

    with check.unchanged(outside):
        check.control()
        check.stays_pending(outside)


@proves("ARTICLE-09")
def test_who_does_not_ask_takes_one(check: CheckContext, scene: Scene) -> None:
    """`nginxlb2` gets any address of the pool other than that of `nginxlb`."""
    scene.show("one")
    taken, given = scene.assigned("nginxlb"), scene.assigned("nginxlb2")

    assert given in POOL
    assert given != taken
    scene.answers(check.client, given, 8080)


@proves("ARTICLE-15")
def test_describe_shows_what_happened(check: CheckContext, scene: Scene) -> None:
    """The Service has the pool's annotation, the address, and the article's two Events, one naming the announcer."""
    scene.show("two")
    service = scene.service("nginxlb")
    scene.assigned("nginxlb")
    with check.precondition("L2-01"):
        announcer = check.announcer(ADDRESS)

    check.wait.eventually(
        lambda: check.pool_marks(service),
        lambda values: "lb-ip-pool" in values,
        what=f"an annotation of {service} says lb-ip-pool",
        budget="annotation_seen",
    )
    check.event(service, ALLOCATED, says=f'Assigned IP ["{ADDRESS}"]')
    check.event(service, ANNOUNCED, says=f'announcing from node "{announcer.name}" with protocol "layer2"')
    assert ingress(service.read()) == [ADDRESS]


@proves("ARTICLE-18")
@pytest.mark.usefixtures("scene")
def test_deleting_gives_the_address_back(check: CheckContext) -> None:
    """The address of a deleted Service is assigned to another Service that requests it."""
    wanted = POOL[5]
    first = check.service("first", loadBalancerIP=str(wanted))
    assert check.assigned(first) == wanted
    check.delete(first)

    second = check.service("second", loadBalancerIP=str(wanted))
    assert check.assigned(second) == wanted


@proves("ARTICLE-10")
def test_three_kinds_share_the_endpoints(check: CheckContext, scene: Scene) -> None:
    """ClusterIP, NodePort and LoadBalancer list the same three pods at port 80."""
    scene.show("two")
    pods = sorted(f"{address}:80" for _, _, address in scene.pods())
    for name in ("nginxcip", "nginxnp", "nginxlb"):
        check.wait.eventually(
            lambda name=name: scene.endpoints(name),  # type: ignore[misc]
            lambda found: found == pods,
            what=f"{NAMESPACE}/{name} has the endpoints {words(pods)}",
            budget="serves",
        )

    assert len(pods) == REPLICAS
