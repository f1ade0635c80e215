"""Both address families in a lab, and each alone: what serves in one serves in the other."""

from __future__ import annotations

import json
import subprocess
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import Ether

from lbproof.lab import registry
from lbproof.lab.base import Topology
from lbproof.lab.netns.lab import NetnsLab
from lbproof.spec.families import Family
from lbproof.witnesses import http, neighbour
from lbproof.witnesses.capture import Capture
from lbproof.witnesses.kube import Kube
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

SERVICES = "/api/v1/namespaces/default/services"
PODS = "/api/v1/namespaces/default/pods"


def answers(vantage: Vantage, address: IPAddress, port: int, path: str = "/hostname") -> str:
    """What is answered there, once it is."""
    return eventually(
        lambda: http.get(vantage, address, port, path),
        lambda answer: answer.status == http.OK,
        what=f"{vantage.name} is served at {address}",
        within=10,
        ignore=(http.Unreached,),
    ).value.text


def node_port(kube: Kube, name: str, families: Sequence[Family]) -> dict[str, Any]:
    """The spec of a new Service of these families that selects the pod of the same name."""
    made = {
        "metadata": {"name": name},
        "spec": {
            "type": "NodePort",
            "selector": {"app": name},
            "ports": [{"port": 80, "targetPort": 8080}],
            "ipFamilies": [family.label for family in families],
            "ipFamilyPolicy": "RequireDualStack" if len(families) > 1 else "SingleStack",
        },
    }
    spec: dict[str, Any] = kube.create(SERVICES, made)["spec"]
    return spec


def test_a_service_of_both_families_serves_in_each(lab: NetnsLab, kube: Kube, serving: Callable[..., Any]) -> None:
    """Outside at each node's port, also behind the router; inside at the cluster IPs, from a node and a pod."""
    serving("both")
    serving("asks", node="w02")
    spec = node_port(kube, "both", lab.topology.families)
    port, cluster_ips = spec["ports"][0]["nodePort"], [ip_address(one) for one in spec["clusterIPs"]]
    outside = {
        answers(place, address, port)
        for place in (lab.client(), lab.routed_client())
        for node in lab.nodes
        for address in node.addresses
    }
    inside = {
        answers(place, address, 80)
        for place in (lab.node("w02"), lab.pod("default", "asks"))
        for address in cluster_ips
    }
    refused = {http.connects(lab.client(), address, 80, timeout=0.3) for address in cluster_ips}
    kube.delete(f"{SERVICES}/both")

    assert (outside, inside) == ({"both"}, {"both"})
    assert len(cluster_ips) == 2
    assert "open" not in refused


@pytest.mark.parametrize("family", Family)
def test_pods_meet_by_their_own_addresses(lab: NetnsLab, serving: Callable[..., Any], family: Family) -> None:
    """A pod is reached by one on another node, and sees that one's address; its status has both of its own."""
    status = serving("asked")["status"]
    serving("asking", node="w02")
    asked, asking = (lab.pod("default", name) for name in ("asked", "asking"))
    seen = answers(asking, asked.address_for(family), 8080, "/clientip")

    assert status["podIPs"] == [{"ip": str(address)} for address in asked.addresses]
    assert ip_address(seen.rpartition(":")[0].strip("[]")) == asking.address_for(family)


@pytest.mark.parametrize("family", Family)
def test_pods_leave_their_nodes_by_the_node_s_address(
    lab: NetnsLab, serving: Callable[..., Any], family: Family
) -> None:
    """Nobody outside knows the pods' networks, so a node masquerades what its pods send there."""
    serving("leaves")
    node = next(node for node in lab.nodes if node.name == "w01")
    m01 = lab.nodes[0]
    serving("host", node=m01.name, hostNetwork=True)
    seen = answers(lab.pod("default", "leaves"), m01.address_for(family), 8080, "/clientip")

    assert ip_address(seen.rpartition(":")[0].strip("[]")) == node.address_for(family)


def test_a_pod_is_told_its_addresses(
    pod: Callable[..., Any], pod_when: Callable[..., dict[str, Any]], lab: NetnsLab
) -> None:
    """By its environment: the first alone or all, of the pod and of its node."""
    fields = ("podIP", "podIPs", "hostIP", "hostIPs")
    env = [{"name": name.upper(), "valueFrom": {"fieldRef": {"fieldPath": f"status.{name}"}}} for name in fields]
    script = f"import os; print(*(os.environ[name] for name in {[name.upper() for name in fields]}))"
    pod("told", container={"image": "test/python", "args": ["-c", script], "env": env}, restartPolicy="Never")
    seen = pod_when("told", lambda seen: seen["status"]["phase"] == "Succeeded")["status"]
    words = (lab.state / "log" / "default_told_main.log").read_text().split()
    own, host = ([row["ip"] for row in seen[name]] for name in ("podIPs", "hostIPs"))

    assert words == [own[0], ",".join(own), host[0], ",".join(host)]
    assert [len(own), len(host)] == [2, 2]


@pytest.mark.parametrize("family", Family)
def test_each_node_answers_for_its_own_address(lab: NetnsLab, family: Family) -> None:
    """By ARP or NDP, as the address says, with the hardware address that the lab gives it."""
    found = neighbour.sweep(lab.client(), [node.address_for(family) for node in lab.nodes])

    assert found == {node.address_for(family): {node.mac} for node in lab.nodes}


def test_an_ndp_answer_is_read_back_by_a_decoder_that_is_not_ours(lab: NetnsLab) -> None:
    """A node advertises its address to the one who asks, with its hardware address, in Ethernet and in the option."""
    node, client = lab.nodes[1], lab.client()
    address = node.address_for(Family.IPV6)
    with Capture(client) as capture:
        answers = neighbour.ask(client, address)
    read = [packet for _, frame in capture.frames() if ICMPv6ND_NA in (packet := Ether(frame))]
    # a kernel's answer to a unicast question may lack the option (RFC 4861 section 4.4)
    about = [packet for packet in read if packet[ICMPv6ND_NA].tgt == str(address) and ICMPv6NDOptDstLLAddr in packet]
    said = {(packet[ICMPv6NDOptDstLLAddr].lladdr, packet.src, packet.dst) for packet in about}

    assert [answer.mac for answer in answers] == [node.mac]
    assert said == {(node.mac, node.mac, client.mac)}


def test_a_kernel_that_boots_asks_nobody_by_itself(lab: NetnsLab) -> None:
    """The segment hears neither a probe for a duplicate address nor a router solicitation from a node that boots."""
    with Capture(lab.client()) as capture:
        lab.node_crash("w02").undo()
    heard = [
        packet for _, frame in capture.frames() if ICMPv6ND_RS in (packet := Ether(frame)) or ICMPv6ND_NS in packet
    ]
    probes = [packet for packet in heard if ICMPv6ND_RS in packet or packet[IPv6].src == "::"]

    assert [packet.summary() for packet in probes] == []


@pytest.fixture(params=Family, ids=lambda family: family.label)
def alone(request: pytest.FixtureRequest, programs: Mapping[str, Path]) -> Iterator[NetnsLab]:
    """A lab of one family with a worker."""
    topology = Topology(workers=1, families=(request.param,))
    made = NetnsLab.up(registry.free_name("alone"), topology, programs=programs)
    yield made
    made.down()


def test_a_lab_of_one_family_has_no_other(alone: NetnsLab) -> None:
    """Its nodes are Ready, a Service serves outside and inside, and no host has an address of the other family."""
    (family,) = alone.topology.families
    kube = Kube(alone.kubeconfig)
    worker = alone.nodes[1]
    container = {"name": "main", "image": "agnhost:2", "args": ["netexec", "--http-port=8080"]}
    spec = {"nodeName": "w01", "containers": [container]}
    kube.create(PODS, {"metadata": {"name": "one", "labels": {"app": "one"}}, "spec": spec})
    made = node_port(kube, "one", [family])
    served = [
        answers(alone.client(), worker.address, made["ports"][0]["nodePort"]),
        answers(alone.routed_client(), worker.address, made["ports"][0]["nodePort"]),
        answers(alone.node("m01"), ip_address(made["clusterIP"]), 80),
        answers(alone.node("m01"), alone.pod("default", "one").address, 8080),
    ]
    kube.close()
    shown = [
        json.loads(subprocess.run(alone.exec_argv(place, ["ip", "-j", "addr"]), capture_output=True, check=True).stdout)
        for place in ("client", "far", "w01", "default/one")
    ]
    found = {row["family"] for host in shown for link in host if link["ifname"] != "lo" for row in link["addr_info"]}

    assert served == ["one"] * 4
    assert found == {"inet" if family is Family.IPV4 else "inet6"}
    assert [node.families for node in alone.nodes] == [(family,)] * 2
    assert {address.version for address in alone.segment.free} == {family}
    assert alone.describe()["address families"] == family.label
