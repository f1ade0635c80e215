"""Segments and places that a lab has on request: interfaces, hosts, subnets, and cuts of one kind of traffic alone."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.lab import registry
from lbproof.lab.base import Capability, LabError, Topology
from lbproof.lab.netns import plan
from lbproof.lab.netns.lab import NetnsLab
from lbproof.spec.families import Family, family_of
from lbproof.witnesses import http, neighbour
from lbproof.witnesses.kube import Kube
from lbproof.witnesses.wait import consistently, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from lbproof.lab.base import Node
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
NODES = "/api/v1/nodes"


def served(vantage: Vantage, address: IPAddress, port: int = 10256, path: str = "/healthz") -> bool:
    """Whether kube-proxy, which every node has, answers there."""
    try:
        return http.get(vantage, address, port, path, timeout=0.5).status == http.OK
    except http.Unreached:
        return False


def macs(vantage: Vantage, address: IPAddress) -> set[str]:
    """Who answers for an address."""
    return {answer.mac for answer in neighbour.ask(vantage, address)}


def named(lab: NetnsLab, name: str) -> Node:
    """A node by its name."""
    return next(node for node in lab.nodes if node.name == name)


def lease_of(kube: Kube, node: str) -> str:
    """When a node's kubelet was heard last."""
    lease = kube.get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}")
    return str(lease["spec"]["renewTime"])


def test_a_second_nic_answers_on_the_same_segment(lab: NetnsLab) -> None:
    """It has a hardware address and addresses of its own; undone, or after a crash of its node, nothing is left."""
    added = lab.second_nic("w02")
    links = json.loads(lab.run("w02", ["ip", "-j", "link", "show", "eth1"]))
    own = {family: macs(lab.client(), added.vantage.address_for(family)) for family in Family}
    back = served(added.vantage, named(lab, "w01").address)
    cut = lab.node_crash("w02")
    silent = macs(lab.client(), added.vantage.address)
    cut.undo()
    gone = json.loads(lab.run("w02", ["ip", "-j", "link", "show"]))
    added.undo()
    again = lab.second_nic("w02")
    again.undo()
    after = json.loads(lab.run("w02", ["ip", "-j", "link", "show"]))

    assert added.earliest < added.began
    assert [link["address"] for link in links] == [added.vantage.mac]
    # by ARP a kernel answers on each interface for all addresses (arp_ignore 0), by NDP for those of the interface
    assert added.vantage.mac in own[Family.IPV4]
    assert own[Family.IPV6] == {added.vantage.mac}
    assert back
    assert silent == set()
    assert "eth1" not in {link["ifname"] for link in (*gone, *after)}


@pytest.mark.parametrize("family", Family)
def test_a_foreign_host_holds_and_claims_an_address(lab: NetnsLab, family: Family) -> None:
    """Its kernel answers for the address it holds, and it announces one that it has not; undone it is silent."""
    held, claimed = lab.segment.free_for(family)[-2:]
    with neighbour.Listener(lab.client()) as listener:
        host = lab.foreign_host(held)
        answers = [macs(lab.client(), address) for address in (held, claimed)]
        neighbour.announce(host.vantage, claimed, count=3, every=0.02)
        said = [message.sender_mac for message in listener.announcements(claimed)]
    host.undo()

    assert host.kind == Capability.FOREIGN_HOST.value
    assert answers == [{host.vantage.mac}, set()]
    assert said == [host.vantage.mac] * 3
    assert host.vantage.mac not in {node.mac for node in lab.nodes}
    assert macs(lab.client(), held) == set()


def test_a_node_is_cut_from_the_api_server_alone(lab: NetnsLab, kube: Kube, serving: Callable[..., Any]) -> None:
    """Its kubelet is no longer heard and its pods reach no API server; everything else passes, until the undo."""
    serving("cut-off", node="w02")
    pod, w01, m01 = lab.pod("default", "cut-off"), named(lab, "w01"), lab.nodes[0]
    api = ip_address(kube.get("/api/v1/namespaces/default/services/kubernetes")["spec"]["clusterIP"])
    ways: list[tuple[Vantage, IPAddress, int]] = [(lab.node("w02"), m01.address, 6443), (pod, api, 443)]
    before = [http.connects(*way) for way in ways]
    fault = lab.api_cut("w02")
    during = [http.connects(*way) for way in ways]
    others = [http.connects(lab.node("w01"), m01.address, 6443), served(lab.node("w02"), m01.address)]
    passes = served(pod, w01.address)
    last = lease_of(kube, "w02")
    consistently(lambda: lease_of(kube, "w02"), lambda seen: seen == last, what="w02 is not heard", during=3)
    fault.undo()
    eventually(lambda: lease_of(kube, "w02"), lambda seen: seen != last, what="w02 is heard again", within=10)

    assert (before, during) == (["open", "open"], ["silent", "silent"])
    assert others == ["open", True]
    assert passes
    with pytest.raises(LabError, match="the API server runs on m01"):
        lab.api_cut("m01")


def test_a_kubelet_falls_silent_while_its_node_goes_on(lab: NetnsLab, kube: Kube) -> None:
    """Its lease is renewed no more and its status stays as others set it, while it answers on the segment."""
    path, w02 = "/api/v1/nodes/w02", named(lab, "w02")

    def ready() -> str:
        conditions = kube.get(path)["status"]["conditions"]
        return "".join(one["status"] for one in conditions if one["type"] == "Ready")

    fault = lab.silent_kubelet("w02")
    last = lease_of(kube, "w02")
    others = [one for one in kube.get(path)["status"]["conditions"] if one["type"] != "Ready"]
    unknown = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
    kube.patch(f"{path}/status", {"status": {"conditions": [*others, unknown]}})
    consistently(
        lambda: (lease_of(kube, "w02"), ready()),
        lambda seen: seen == (last, "Unknown"),
        what="w02 is not heard",
        during=3,
    )
    answered = macs(lab.client(), w02.address)
    fault.undo()
    eventually(ready, lambda seen: seen == "True", what="w02 is heard again", within=10)

    assert (fault.kind, fault.target) == ("silent-kubelet", "kubelet of w02")
    assert answered == {w02.mac}


def test_a_new_segment_is_joined_by_all_nodes(lab: NetnsLab) -> None:
    """Each node answers there by its new interface, none of them is heard on the first, all is gone after the undo.

    A kernel answers on the first segment for its addresses on the new one, by its interface there (`arp_ignore` 0).
    """
    first = named(lab, "w01").address
    there = lab.new_segment()
    numbers = {mac: int(mac.rpartition(":")[2], 16) for mac in (*there.macs, there.vantage.mac)}
    own = numbers.pop(there.vantage.mac)
    hosts = {mac: there.vantage.address + (number - own) for mac, number in numbers.items()}
    answers = {mac: macs(there.vantage, address) for mac, address in hosts.items()}
    links = [json.loads(lab.run(node, ["ip", "-j", "link", "show", name])) for node, name in there.interfaces.items()]
    heard_on_first = macs(lab.client(), next(iter(hosts.values())))
    there.undo()
    gone = json.loads(lab.run("w01", ["ip", "-j", "link", "show"]))

    assert sorted(there.macs.values()) == sorted(node.name for node in lab.nodes)
    assert answers == {mac: {mac} for mac in hosts}
    assert {link["address"] for (link,) in links} == set(hosts)
    assert not heard_on_first & set(hosts)
    assert "eth1" not in {link["ifname"] for link in gone}
    assert macs(lab.client(), first) == {named(lab, "w01").mac}


def test_some_nodes_have_a_link_local_address_alone_on_a_new_segment(lab: NetnsLab) -> None:
    """Their interface there has no address of the segment's subnet, and they have no route to it; others answer.

    One has an address of another subnet there.
    """
    hosts = {place.node.name: plan.SECOND.ipv4_host(place.host) for place in plan.places(lab.topology)}
    there = lab.new_segment(["w02"], ["w01"])
    answers = {node: macs(there.vantage, address) for node, address in hosts.items()}
    shown = json.loads(lab.run("w02", ["ip", "-j", "address", "show", there.interfaces["w02"]]))
    beside = lab.run("w01", ["ip", "-oneline", "address", "show", there.interfaces["w01"]])
    scopes = {one["scope"] for link in shown for one in link["addr_info"] if not one["local"].startswith("169.254.")}
    there.undo()

    assert {node for node, who in answers.items() if who} == {node.name for node in lab.nodes} - {"w01", "w02"}
    assert " 192.168.175.151/24 " in beside
    assert [one["local"] for one in shown[0]["addr_info"] if one["family"] == "inet"] == ["169.254.173.152"]
    assert scopes == {"link"}


@pytest.mark.parametrize("family", Family)
def test_some_nodes_have_a_second_subnet(lab: NetnsLab, family: Family) -> None:
    """A client in it is answered by these nodes at their addresses there, the others have no route to it; all goes."""
    there = lab.second_subnet(["w01"])
    (wanted,) = (plan.ADDED.host(one.host, family) for one in plan.places(lab.topology) if one.node.name == "w01")
    client = str(there.vantage.address_for(family))
    answers = macs(there.vantage, wanted)
    with pytest.raises(LabError, match="has a second subnet already"):
        lab.second_subnet(["w02"])
    routes = {node.name: lab.run(node.name, ["ip", "route", "get", client]) for node in lab.nodes}
    own = macs(lab.client(), named(lab, "w01").address_for(family))
    there.undo()
    left = lab.run("w01", ["ip", "-oneline", "address", "show", "eth0"])

    assert (there.kind, there.target) == ("second-subnet", "subnet of w01")
    assert answers == own == {named(lab, "w01").mac}
    assert {name for name, route in routes.items() if " via " not in route} == {"w01"}
    assert set(there.macs.values()) == set(routes)
    assert str(wanted) not in left


def test_frames_are_lost_on_one_way_alone(lab: NetnsLab) -> None:
    """What the one sends does not arrive, what the other sends does; others are heard by both."""
    w01, w02 = (named(lab, name) for name in ("w01", "w02"))
    fault = lab.one_way_loss("w01", "w02", 1)
    with neighbour.Listener(lab.node("w01")) as heard, neighbour.Listener(lab.node("w02")) as missed:
        neighbour.announce(lab.node("w01"), lab.segment.free[0])
        neighbour.announce(lab.node("w02"), lab.segment.free[1])
        arrived = (heard.announcements(lab.segment.free[1]), missed.announcements(lab.segment.free[0]))
    client = [macs(lab.client(), node.address) for node in (w01, w02)]
    fault.undo()
    some = lab.one_way_loss("w01", "w02", 0.5)
    answered = sum(bool(neighbour.ask(lab.node("w01"), w02.address, wait=0.03)) for _ in range(60))
    some.undo()

    assert [len(each) for each in arrived] == [1, 0]
    assert client == [{w01.mac}, {w02.mac}]
    assert fault.target == "100% from w01 to w02"
    assert 12 <= answered <= 48
    assert macs(lab.node("w01"), w02.address) == {w02.mac}
    with pytest.raises(LabError, match="from 0 to 1"):
        lab.one_way_loss("w01", "w02", 2)
    with pytest.raises(LabError, match="takes two nodes, not w01 twice"):
        lab.one_way_loss("w01", "w01", 1)


def test_a_clock_cannot_be_put_back(lab: NetnsLab) -> None:
    """There is one wall clock for all namespaces of a machine, and the lab says so."""
    assert not lab.can(Capability.CLOCK_BEHIND)
    with pytest.raises(LabError, match=r"the clock of w01 cannot be 60 s behind: all namespaces share one wall clock"):
        lab.clock_behind("w01", 60)


@pytest.fixture(scope="module")
def wide(programs: Mapping[str, Path]) -> Iterator[NetnsLab]:
    """A lab with a second segment, a node in another subnet, and a control plane that announces like any node."""
    topology = Topology(workers=2, second_segment=True, other_subnet=True, exclude_control_plane=False)
    made = NetnsLab.up(registry.free_name("wide"), topology, programs=programs)
    yield made
    made.down()


def test_a_lab_has_what_its_topology_asks_for(lab: NetnsLab, wide: NetnsLab) -> None:
    """And says so, also to another process; a lab that did not ask has one segment and one subnet."""
    asked = (Capability.SECOND_SEGMENT, Capability.OTHER_SUBNET)
    found = NetnsLab.attach(wide.name)

    assert [wide.can(capability) for capability in asked] == [True, True]
    assert [lab.can(capability) for capability in asked] == [False, False]
    assert (len(lab.segments), len(wide.segments), found.segments) == (1, 2, wide.segments)
    assert found.nodes == wide.nodes


@pytest.mark.parametrize("family", Family)
def test_the_second_segment_is_one_of_its_own(wide: NetnsLab, family: Family) -> None:
    """Each node answers the client there with its second interface, and neither segment hears the other."""
    first, second = wide.segments
    there = wide.client_on(second)
    nodes = [wide.node_on(second, node.name) for node in wide.nodes]
    found = neighbour.sweep(there, [node.address_for(family) for node in nodes])
    with neighbour.Listener(wide.client()) as here:
        neighbour.announce(there, second.free_for(family)[0])
        across = here.announcements(second.free_for(family)[0])

    assert found == {node.address_for(family): {node.mac} for node in nodes}
    assert all(node.address_for(family) in second.subnet_for(family) for node in nodes)
    assert served(there, nodes[1].address_for(family))
    assert across == []
    assert wide.client_on(first) == wide.client()
    assert wide.node_on(first, "w01") == wide.node("w01")


def test_a_node_that_boots_again_is_on_both_segments(wide: NetnsLab) -> None:
    """And is off both while it has no power."""
    segments = wide.segments
    fault = wide.node_crash("w01")
    dark = [macs(wide.client_on(segment), wide.node_on(segment, "w01").address) for segment in segments]
    fault.undo()

    assert dark == [set(), set()]
    assert [macs(wide.client_on(one), wide.node_on(one, "w01").address) for one in segments] == [
        {wide.node_on(one, "w01").mac} for one in segments
    ]


@pytest.mark.parametrize("family", Family)
def test_a_node_in_another_subnet_is_reached_by_the_router(wide: NetnsLab, family: Family) -> None:
    """On the same cable, where it hears what is said to all; it is served, and serves the client and pods elsewhere."""
    far = wide.nodes[-1]
    address, near = far.address_for(family), wide.nodes[1].address_for(family)
    kube = Kube(wide.kubeconfig)
    name = f"far-{family}"
    container = {"name": "main", "image": "agnhost:2", "args": ["netexec", "--http-port=8080"]}
    spec = {"nodeName": far.name, "containers": [container]}
    kube.create("/api/v1/namespaces/default/pods", {"metadata": {"name": name}, "spec": spec})
    eventually(
        lambda: kube.get(f"/api/v1/namespaces/default/pods/{name}")["status"].get("phase"),
        lambda phase: phase == "Running",
        what="the pod runs",
        within=20,
    )
    kube.close()
    pod = wide.pod("default", name)
    eventually(
        lambda: served(wide.node("m01"), pod.address_for(family), 8080, "/hostname"), bool, what="it serves", within=10
    )
    with neighbour.Listener(wide.node(far.name)) as listener:
        neighbour.announce(wide.client(), wide.segment.free_for(family)[0])
        heard = len(listener.announcements(wide.segment.free_for(family)[0]))

    assert address not in wide.segment.subnet_for(family)
    assert all(family_of(one) in Family for one in far.addresses)
    assert heard == 1
    assert served(wide.client(), address)
    assert served(wide.routed_client(), address)
    assert served(wide.node(far.name), near)
    assert served(pod, near)


def test_the_control_plane_is_a_place_for_load_balancers_on_request(lab: NetnsLab, kube: Kube, wide: NetnsLab) -> None:
    """Without the label; its taint stays, so pods are kept off it as before."""
    asked = Kube(wide.kubeconfig)
    node = asked.get(f"{NODES}/m01")
    asked.close()

    assert EXCLUDED not in node["metadata"]["labels"]
    assert [taint["key"] for taint in node["spec"]["taints"]] == ["node-role.kubernetes.io/control-plane"]
    assert EXCLUDED in kube.get(f"{NODES}/{lab.nodes[0].name}")["metadata"]["labels"]
