"""The first part: a NodePort Service, then two LoadBalancers beside it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from lbproof.checks.article.scene import ADDRESS, NAMESPACE, NODE_PORT, REPLICAS
from lbproof.lab.base import LabError
from lbproof.proves import proves
from lbproof.spec import Untestable
from lbproof.stage import CannotShow, ingress

if TYPE_CHECKING:
    from lbproof.checks.article.scene import Scene
    from lbproof.stage import Stage

OUTSIDE = "192.168.172.171"
"""Of the nodes' subnet, and in no pool."""


@proves("ARTICLE-01")
def test_installing_gives_what_the_article_lists(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """The custom resources, the controller's Deployment, the speaker on every node, the master included."""
    adapter = stage.ground.adapter
    there = {
        row["metadata"]["name"] for row in stage.cluster.list("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    }
    missing = set(adapter.resources) - there
    speakers = stage.ground.pods(adapter.announcer)

    assert not missing, f"custom resources that are missing: {missing}"
    assert adapter.controller.kind == "Deployment"
    assert len(stage.ground.pods(adapter.controller)) == 1
    assert adapter.announcer.kind == "DaemonSet"
    assert sorted(speakers) == sorted(node.name for node in stage.lab.nodes)


@proves("ARTICLE-02")
def test_pools_live_with_the_implementation(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """The pool and its advertisement are read back from the implementation's namespace."""
    found = stage.cluster.get(f"{stage.ground.adapter.pool_path}/lb-ip-pool")

    assert found["metadata"]["namespace"] == stage.ground.adapter.namespace
    assert found["spec"]["addresses"] == ["192.168.172.160-192.168.172.169"]


@proves("ARTICLE-03")
def test_before_the_load_balancer(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """The NodePort Service answers inside at its cluster address, outside at any node's IP, and has no EXTERNAL-IP."""
    scene.show("before")
    service = scene.service("nginx")

    scene.answers(stage.lab.node(stage.lab.nodes[-1].name), service.cluster_ip(), 80)
    for node in stage.lab.nodes:
        scene.answers(stage.client, node.address, NODE_PORT)

    assert service.addresses() == []


@proves("ARTICLE-04")
def test_the_requested_address_is_shown(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """`nginxlb` shows .161, and the NodePort Service answers as before."""
    scene.show("one")

    assert scene.assigned("nginxlb") == ADDRESS
    scene.answers(stage.client, stage.lab.nodes[0].address, NODE_PORT)


@proves("ARTICLE-05")
def test_three_tiers_answer(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """Inside at the cluster address; outside at any node's IP and node port, and at .161 and the declared port."""
    scene.show("one")
    service = scene.service("nginxlb")
    scene.assigned("nginxlb")

    scene.answers(stage.lab.node(stage.lab.nodes[-1].name), service.cluster_ip(), 80)
    for node in stage.lab.nodes:
        scene.answers(stage.client, node.address, service.node_port())
    scene.answers(stage.client, ADDRESS, 80)


@proves("ARTICLE-06")
def test_kube_proxy_holds_the_rule(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """In the nat table (or nftables' map) of every node the address stands with the Service's name."""
    scene.show("one")
    scene.assigned("nginxlb")
    mode = stage.lab.topology.proxy_mode
    if mode == "iptables":
        command, wanted = (
            ["iptables-save", "-t", "nat"],
            (f"{ADDRESS}/32", "default/nginxlb:http loadbalancer IP", "KUBE-EXT-"),
        )
    elif mode == "nftables":
        command, wanted = (
            ["nft", "list", "map", "ip", "kube-proxy", "service-ips"],
            (ADDRESS, "external-", "default/nginxlb"),
        )
    else:
        raise CannotShow(Untestable.PROXY_MODE, mode)

    for node in stage.lab.nodes:
        stage.wait.settles(
            lambda name=node.name: [line for line in _rules(stage, name, command) if ADDRESS in line],  # type: ignore[misc]
            lambda lines: any(all(word in line for word in wanted) for line in lines),
            what=f"a rule on {node.name} holds {', '.join(wanted)}",
            budget="serves",
            every=0.1,
        )


def _rules(stage: Stage, node: str, command: list[str]) -> list[str]:
    try:
        return stage.lab.run(node, command).splitlines()
    except LabError as error:
        return [str(error)]


@proves("ARTICLE-07")
def test_the_address_is_on_no_interface(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """While a client is answered at .161, no interface of any node has it."""
    scene.show("one")
    scene.answers(stage.client, scene.assigned("nginxlb"), 80)

    stage.on_no_interface(ADDRESS)


@proves("ARTICLE-08")
def test_outside_the_pool_stays_pending(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """Asked for an address that is in no pool, EXTERNAL-IP stays Pending."""
    stage.stays_pending(stage.service("outside", loadBalancerIP=OUTSIDE))


@proves("ARTICLE-09")
def test_who_does_not_ask_takes_one(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """`nginxlb2` is given an address of the pool that is not `nginxlb`'s; which, nobody promised."""
    scene.show("one")
    taken, given = scene.assigned("nginxlb"), scene.assigned("nginxlb2")

    assert given in stage.lab.segment.reserved
    assert given != taken
    scene.answers(stage.client, given, 8080)


@proves("ARTICLE-15")
def test_describe_shows_what_happened(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """The pool's annotation, the address, and two Events with the article's words, the second naming the announcer."""
    scene.show("two")
    service = scene.service("nginxlb")
    scene.assigned("nginxlb")
    words = stage.ground.adapter.words
    announcer = stage.announcer(ADDRESS)

    stage.wait.settles(
        lambda: [service.annotations().get(name) for name in words.pool_annotations],
        lambda values: "lb-ip-pool" in values,
        what=f"an annotation of {service} says lb-ip-pool",
        budget="annotation_seen",
    )
    stage.event(service, words.allocated, says=f'Assigned IP ["{ADDRESS}"]')
    stage.event(service, words.announcing, says=f'announcing from node "{announcer.name}" with protocol "layer2"')
    assert ingress(service.read()) == [ADDRESS]


@proves("ARTICLE-18")
def test_deleting_gives_the_address_back(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """The address of a Service that was deleted is given to another that asks for it."""
    first = stage.service("first", loadBalancerIP="192.168.172.165")
    assert stage.assigned(first) == "192.168.172.165"
    stage.delete(first)

    second = stage.service("second", loadBalancerIP="192.168.172.165")
    assert stage.assigned(second) == "192.168.172.165"


@proves("ARTICLE-10")
def test_three_kinds_share_the_endpoints(stage: Stage, scene: Scene, case: str) -> None:  # noqa: ARG001 - one verdict
    """ClusterIP, NodePort and LoadBalancer list the same three pods at port 80."""
    scene.show("two")
    pods = sorted(f"{address}:80" for _, _, address in scene.pods())
    for name in ("nginxcip", "nginxnp", "nginxlb"):
        stage.wait.settles(
            lambda name=name: scene.endpoints(name),  # type: ignore[misc]
            lambda found: found == pods,
            what=f"{NAMESPACE}/{name} has the endpoints {pods}",
            budget="serves",
        )

    assert len(pods) == REPLICAS
    assert all(ipaddress.ip_address(pod.rpartition(":")[0]) for pod in pods)
