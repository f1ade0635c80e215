"""What a sixth reader of the requirements' sentences expects: each test is that of a fault in `sixth_reader.py`."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

from tests.reference.cable import CLIENT, CLIENT_ADDRESS, Cable, cable, mac_of
from tests.reference.fake_api import FakeApi
from tests.reference.polling import stays, until
from tests.reference.simulated import SimulatedLan
from tests.reference.small_cluster import POOLS, SmallCluster, play, played
from tests.reference.test_offering import CONFIG, FakeSegmentSpeaker

from lbproof_reference import frames
from lbproof_reference.controller.allocate import AddressRequest, Allocator, Sharing
from lbproof_reference.controller.loop import Controller
from lbproof_reference.frames import BROADCAST, REQUEST, solicited_node
from lbproof_reference.kube import NODES, SERVICES, metallb_path
from lbproof_reference.nodes import EXCLUDED
from lbproof_reference.pools import parse_pools
from lbproof_reference.speaker import loop
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.keys import Keyring
from lbproof_reference.speaker.links import Link
from lbproof_reference.speaker.offers import AnnouncementPolicy
from lbproof_reference.speaker.plan import Allowed, Offer
from lbproof_reference.speaker.source import Source
from lbproof_reference.speaker.wire import Groups

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    import pytest

A = bytes([10, 0, 0, 10])
KEY = "metallb.io/allow-shared-ip"
OWN_POOLS, ADVERTISEMENTS = (metallb_path(name, "metallb-system") for name in ("ipaddresspools", "l2advertisements"))
POOL: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "metallb-system"},
    "spec": {"addresses": ["10.0.0.0/28"]},
}
EVERYWHERE: dict[str, Any] = {"metadata": {"name": "all", "namespace": "metallb-system"}, "spec": {}}
OUTSIDER = Station("outsider", "eth0")


def ports(number: int) -> list[dict[str, Any]]:
    """Return the ports of a Service with one."""
    return [{"port": number, "protocol": "TCP"}]


def announced(**spec: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a ServiceSpec
    """Return the Service ns/a with the address A."""
    return {
        "metadata": {"namespace": "ns", "name": "a", "uid": "u"},
        "spec": {"type": "LoadBalancer", **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.10"}]}},
    }


def node(name: str, labels: Mapping[str, str] | None = None, ready: str = "True") -> dict[str, Any]:
    """Return a Node."""
    return {
        "metadata": {"name": name, "labels": dict(labels or {})},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def offered(
    nodes: Iterable[dict[str, Any]],
    advertisements: Iterable[dict[str, Any]] = (EVERYWHERE,),
    *endpoints: dict[str, Any],
    **spec: Any,  # noqa: ANN401 - fields of a ServiceSpec
) -> Offer:
    """Return what is offered for ns/a."""
    policy = AnnouncementPolicy(advertisements=advertisements, pools=[POOL], nodes=nodes, lb_class=None)
    service = announced(**spec)
    slices = [{"metadata": {"namespace": "ns", "name": "a-x"}, "endpoints": list(endpoints)}]
    return policy.offers("ns/a", service, policy.announceable("ns/a", service, None), slices)[A]


def offer(*nodes: str, interface: str | None = None) -> Offer:
    """Return the offer of one advertisement that selects these nodes, and maybe an interface."""
    interfaces = frozenset({interface}) if interface else None
    return Offer(service="ns/a", allowed=(Allowed(nodes=frozenset(nodes), interfaces=interfaces),))


def link(number: int, name: str) -> Link:
    """Return a link with the subnet 10.<number>.0.0/24, and the MAC address of node n<number + 1> of a cable."""
    subnets = (ipaddress.ip_network(f"10.{number}.0.0/24"),)
    return Link(name=name, index=number + 1, mac=mac_of(f"n{number + 1}"), subnets=subnets)


def speaker_on(made: Cable, *links: Link) -> loop.Speaker:
    """Return a speaker of node n1 with these links, which the cable closes."""
    keyring = Keyring()
    keyring.update(b"sixteen bytes or more", b"", time.monotonic())
    config = loop.Config(
        node="n1", keyring=keyring, interval=0.05, misses=3, on_acquired=lambda _: None, on_conflict=lambda *_: None
    )
    speaker = loop.Speaker(config)
    speaker.use_links({one.name: one for one in links})
    made.speakers = speaker._segment_speakers  # noqa: SLF001 - by interface
    return speaker


async def decided(cluster: SmallCluster, name: str) -> str | None:
    """Wait until a Service has an address or is told why not; return the address."""
    await until(lambda: bool(cluster.ip(name) or cluster.events(name, "AllocationFailed")))
    return cluster.ip(name)


def becomes(cluster: SmallCluster, name: str, **spec: Any) -> None:  # noqa: ANN401 - fields of a ServiceSpec
    """Change the type of a Service as the API server does, which empties the status of what is no LoadBalancer."""
    cluster.put(SERVICES, {**cluster.get(name), "spec": spec, "status": {}})


def test_of_two_priorities_the_lower_number_is_first() -> None:
    """A pool with priority 2 is used before one with priority 10."""
    objects = [
        {
            "metadata": {"name": name},
            "spec": {"addresses": [addresses], "serviceAllocation": {"priority": priority}},
        }
        for name, addresses, priority in (("ten", "10.0.0.0/30", 10), ("two", "10.0.1.0/30", 2))
    ]
    made = Allocator(parse_pools(objects)[0])

    assert made.allocate(AddressRequest(key="ns/a")).pool == "two"


@played
async def test_an_address_that_a_service_moved_from_wakes_who_waits(cluster: SmallCluster) -> None:
    """A Service that waits for one exact address gets it when its holder asks for another one."""
    cluster.pool("web", "10.0.0.10/31")
    cluster.service("a")
    await cluster.gets("a", "10.0.0.10")
    cluster.service("b", loadBalancerIP="10.0.0.10")
    await cluster.refused("b")
    cluster.change("a", loadBalancerIP="10.0.0.11")
    await cluster.gets("a", "10.0.0.11")
    await until(lambda: cluster.ip("b") == "10.0.0.10", 3)


@played
async def test_an_address_with_a_prefix_length_is_no_address(cluster: SmallCluster) -> None:
    """A request for an address with a prefix length is refused, by field and by annotation."""
    cluster.pool("web", "10.0.0.10/31")
    cluster.service("a", loadBalancerIP="10.0.0.10/24")
    cluster.service("b", {"metallb.io/loadBalancerIPs": "10.0.0.11/32"})
    assert [await decided(cluster, name) for name in "ab"] == [None, None]


@played
async def test_what_left_while_no_controller_ran_is_free(cluster: SmallCluster) -> None:
    """The address of a Service that became a ClusterIP while no controller ran goes to one that waits."""
    cluster.pool("web", "10.0.0.10/32")
    cluster.service("a")
    await cluster.gets("a")
    cluster.service("b")
    await cluster.refused("b")
    await cluster.restart(lambda: becomes(cluster, "a", type="ClusterIP"))
    await until(lambda: cluster.ip("b") == "10.0.0.10", 3)


@played
async def test_a_key_ends_with_the_last_of_its_services(cluster: SmallCluster) -> None:
    """A Service that does not share keeps its address for itself, although others shared it by a key before."""
    cluster.pool("web", "10.0.0.10/31")
    cluster.service("a", {KEY: "k"}, ports=ports(80))
    await cluster.gets("a", "10.0.0.10")
    cluster.remove("a")
    cluster.service("b", ports=ports(443))
    await cluster.gets("b", "10.0.0.10")
    cluster.service("c", {KEY: "k"}, ports=ports(80))
    assert await decided(cluster, "c") == "10.0.0.11"


@played
async def test_two_requested_addresses_are_in_the_order_of_families(cluster: SmallCluster) -> None:
    """The addresses of a status are in the order of the families, in whatever order the Service asks for them."""
    cluster.pool("web", "10.0.0.10/31", "fd00:a::10/127")
    notes = {"metallb.io/loadBalancerIPs": "fd00:a::11,10.0.0.11"}
    cluster.service("a", notes, ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="RequireDualStack")
    await cluster.gets("a")
    assert [entry["ip"] for entry in cluster.ingress("a")] == ["10.0.0.11", "fd00:a::11"]


@played
async def test_a_service_that_changes_hands_at_once_frees_its_address(cluster: SmallCluster) -> None:
    """A Service that returns with another class before the controller looks again gives its address back."""
    cluster.pool("web", "10.0.0.10/32")
    cluster.service("a")
    await cluster.gets("a")
    cluster.service("b")
    await cluster.refused("b")
    becomes(cluster, "a", type="ClusterIP")
    becomes(cluster, "a", type="LoadBalancer", loadBalancerClass="example.com/other")
    await until(lambda: cluster.ip("b") == "10.0.0.10", 3)


@played
async def test_a_second_address_that_comes_later_is_told(cluster: SmallCluster) -> None:
    """An Event names the address of the other family that a Service gets when there is one."""
    cluster.pool("web", "10.0.0.10/31")
    cluster.service("a", ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="PreferDualStack")
    await cluster.gets("a", "10.0.0.10")
    cluster.pool("six", "fd00:a::10/127")
    await until(lambda: len(cluster.ingress("a")) == 2)
    await until(lambda: any("fd00:a::10" in one["message"] for one in cluster.events("a", "IPAllocated")), 3)


@played
async def test_the_mode_is_the_same_without_node_ports(cluster: SmallCluster) -> None:
    """The mode of an address is VIP, so that nodes deliver its packets, also if its Service has no node ports."""
    cluster.pool("web", "10.0.0.10/31")
    cluster.service("a", allocateLoadBalancerNodePorts=False)
    await cluster.gets("a")
    assert cluster.ingress("a") == [{"ip": "10.0.0.10", "ipMode": "VIP"}]


class GroupsOfNoKernel(Groups):
    """Groups that are joined without a socket."""

    def _join(self, group: bytes) -> None:
        self.joined[group] = Mock()


def test_a_group_is_joined_as_long_as_an_address_needs_it() -> None:
    """The group of two addresses that end alike is left when neither is answered for any more."""
    one, two = (ipaddress.ip_address(text).packed for text in ("fd00:a::10", "fd00:a::1:0:10"))
    groups = GroupsOfNoKernel(1)
    groups.join([one, two])

    groups.leave([one])
    assert set(groups.joined) == {solicited_node(two)}
    groups.leave([two])
    assert not groups.joined


def test_an_asker_may_send_from_another_hardware_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is answered at its sender hardware address, whatever the source of its frame is."""
    asked = frames.arp(to=BROADCAST, op=REQUEST, mac=CLIENT, sender=CLIENT_ADDRESS, target_mac=bytes(6), target=A)
    asked = asked[:6] + bytes.fromhex("0200000000fd") + asked[12:]

    async def run() -> None:
        async with cable(monkeypatch, "n1") as made:
            made.offer(A)
            await made.owner(A)
            made.sent.clear()
            made.wires[0].arp_end.send(asked)
            await until(lambda: any(frame[:6] == CLIENT for _, frame in made.sent), 3)

    asyncio.run(run())


def test_nobody_announces_if_every_node_is_excluded() -> None:
    """The label that excludes nodes counts also if all nodes have it."""
    found = offered([node("n1", {EXCLUDED: ""}), node("n2", {EXCLUDED: ""})])

    assert not any(one.nodes for one in found.allowed)


@played
async def test_a_restart_moves_no_service_that_shares(cluster: SmallCluster) -> None:
    """A Service keeps an address that it shares, although it would fit another one of the same key by now."""
    cluster.pool("web", "10.0.0.10-10.0.0.13")
    for name, port, address in (("a", 80, "10"), ("b", 80, "11"), ("c", 443, "10"), ("d", 443, "11")):
        cluster.service(name, {KEY: "k"}, ports=ports(port))
        await cluster.gets(name, f"10.0.0.{address}")
    cluster.remove("c")
    await cluster.restart()
    cluster.service("e")
    await cluster.gets("e")
    await stays(lambda: cluster.ip("d") == "10.0.0.11", 0.3)


def test_an_endpoint_is_ready_unless_it_says_that_it_is_not() -> None:
    """With policy Local, the node of an endpoint without conditions announces."""
    found = offered([node("n1"), node("n2")], [EVERYWHERE], {"nodeName": "n2"}, externalTrafficPolicy="Local")

    assert found == offer("n2")


@played
async def test_a_pool_outlives_its_namesake_elsewhere(cluster: SmallCluster) -> None:
    """A pool serves on when a pool of its name in another namespace is deleted."""
    cluster.pool("web", "10.0.0.10/31")
    meta = {"name": "web", "namespace": "other", "uid": "other", "generation": 1}
    cluster.put(POOLS, {"metadata": meta, "spec": {"addresses": ["10.9.0.0/31"]}})
    cluster.service("a")
    await cluster.gets("a")
    cluster.delete(POOLS, "other", "web")
    for _ in range(20):  # turns of the event loop, in which the controller is told
        await asyncio.sleep(0)
    cluster.service("b")
    assert await decided(cluster, "b") == "10.0.0.11"


def test_a_key_opens_no_pool_of_another_namespace() -> None:
    """A Service does not join one of another namespace by its key, if the pool is for that namespace."""
    objects = [
        {"metadata": {"name": "all"}, "spec": {"addresses": ["10.0.0.0/30"]}},
        {
            "metadata": {"name": "own"},
            "spec": {"addresses": ["10.0.1.0/30"], "serviceAllocation": {"namespaces": ["team"]}},
        },
    ]
    made = Allocator(parse_pools(objects)[0])
    found = [
        made.allocate(AddressRequest(key=key, sharing=Sharing(key="k", ports=frozenset({("TCP", port)})))).pool
        for key, port in (("team/a", 80), ("other/b", 443))
    ]

    assert found == ["own", "all"]


def test_an_address_is_announced_on_its_segment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gratuitous ARP leaves a node through the interface alone that reaches the address."""

    async def run() -> None:
        async with cable(monkeypatch) as made:
            speaker = speaker_on(made, link(0, "eth0"), link(1, "eth1"))
            speaker.set_desired({A: offer("n1")})
            await until(lambda: made.owners(A) == ["eth0"])
            await until(lambda: len(made.gratuitous()) > 2)
            assert {name for name, _ in made.gratuitous()} == {"n1"}

    asyncio.run(run())


def test_each_advertisement_is_a_pair_of_its_own() -> None:
    """Of two advertisements with a node and an interface each, no node uses the interface of the other one."""
    pairs = [
        {
            "metadata": {"name": name, "namespace": "metallb-system"},
            "spec": {"nodeSelectors": [{"matchLabels": {"name": name}}], "interfaces": [interface]},
        }
        for name, interface in (("n1", "eth1"), ("n2", "eth2"))
    ]
    found = offered([node(name, {"name": name}) for name in ("n1", "n2")], pairs)
    stations = [(name, interface) for name in ("n1", "n2") for interface in ("eth1", "eth2")]

    assert [station for station in stations if found.allows(*station)] == [("n1", "eth1"), ("n2", "eth2")]


def test_a_node_without_the_named_interface_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node does not announce for an advertisement that names an interface that it lacks."""

    async def run() -> None:
        async with cable(monkeypatch) as made:
            speaker = speaker_on(made, link(0, "eth0"))
            speaker.set_desired({A: offer("n1", interface="eth9")})
            await made.beats(10)
            assert made.owners(A) == []

    asyncio.run(run())


def repeating(lan: SimulatedLan, frame: bytes) -> None:
    """Let an outsider send a frame, now and each hundredth of a second."""
    lan.broadcast(frame, OUTSIDER)
    lan.at(lan.now + 0.01, partial(repeating, lan, frame))


def last_frame(lan: SimulatedLan, of: str, *, leaving: bool = False) -> bytes:
    """Return the last message of a node, or the last by which it left."""
    found = [
        number
        for number, (heartbeat, _, sender) in enumerate(lan.frames)
        if sender.node == of and heartbeat.leaving >= leaving and not heartbeat.relayed
    ]
    return found[-1].to_bytes(8)


def test_a_repeated_heartbeat_keeps_nobody_alive() -> None:
    """When an announcer dies whose last message an outsider repeats, another node answers."""
    names = ("n1", "n2", "n3")
    lan = SimulatedLan(names, {A: offer(*names)})
    lan.run(1)
    (owner,) = lan.answerers(A)
    frame = last_frame(lan, owner)
    del lan.stations[Station(owner, "eth0")]
    repeating(lan, frame)
    lan.run(2)

    assert len(lan.answerers(A)) == 1


def test_a_repeated_goodbye_is_not_believed() -> None:
    """While an outsider repeats how an announcer once left, it alone goes on to answer."""
    names = ("n1", "n2", "n3")
    lan = SimulatedLan(names, {A: offer(*names)})
    lan.run(1)
    (owner,) = lan.answerers(A)
    lan.leave(owner)
    lan.run(1)
    frame = last_frame(lan, owner, leaving=True)
    del lan.stations[Station(owner, "eth0")]
    lan.run(1)
    lan.start(Station(owner, "eth0"))
    lan.set_desired({A: offer(owner)})
    lan.run(1)
    assert lan.answerers(A) == [owner]
    lan.set_desired({A: offer(*names)})
    lan.run(1)
    repeating(lan, frame)
    lan.run(1)

    assert (lan.answerers(A), lan.double[A], lan.silent[A]) == ([owner], 0, 0)


@asynccontextmanager
async def running(work: asyncio.Task[None]) -> AsyncIterator[None]:
    """End a task at the end of the block."""
    try:
        yield
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


def test_two_controllers_give_no_address_twice() -> None:
    """While two copies of the controller run, each Service of a burst keeps an address that no other one has."""
    names = "abcdefgh"

    def given(cluster: SmallCluster) -> list[set[str]]:
        return [{one["ip"] for version in cluster.history[f"ns/{name}"] for one in version} for name in names]

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/29")
        async with running(asyncio.create_task(Controller(cluster, lb_class=None, namespace="metallb-system").run())):
            for name in names:
                cluster.service(name)
            for name in names:
                await cluster.gets(name)
            await stays(lambda: all(len(ips) == 1 for ips in given(cluster)), 0.3)
        assert len(set().union(*given(cluster))) == len(names)

    play(scenario)


def test_an_address_that_no_link_reaches_is_offered_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node announces the addresses that no interface reaches, of either family."""
    monkeypatch.setattr(FakeSegmentSpeaker, "opened", {})
    monkeypatch.setattr(loop, "SegmentSpeaker", FakeSegmentSpeaker)
    far = {ipaddress.ip_address(text).packed: offer("n1") for text in ("192.0.2.10", "2001:db8::10")}
    speaker = loop.Speaker(CONFIG)
    speaker.use_links({"eth0": link(0, "eth0")})
    speaker.set_desired(far)

    assert FakeSegmentSpeaker.opened["eth0"].offered == far


@asynccontextmanager
async def following(api: FakeApi, name: str) -> AsyncIterator[dict[bytes, Offer | None]]:
    """Run the source of a node, and return what it offers."""
    found: dict[bytes, Offer | None] = {}
    source = Source(api, node=name, lb_class=None, namespace="metallb-system")
    async with running(asyncio.create_task(source.run(found.update, lambda: None))):
        await until(lambda: A in found)
        yield found


async def settled(*true: Callable[[], bool]) -> None:
    """Give the sources time to process what changed: they gather changes for some milliseconds."""
    with suppress(TimeoutError):
        await until(lambda: all(one() for one in true), 0.3)


def test_a_node_that_is_unknown_is_not_dead() -> None:
    """One node answers while the Ready condition of the announcing node is Unknown, and its speaker goes on."""
    names = ("n1", "n2", "n3")

    async def run() -> None:
        api = FakeApi()
        for name in names:
            api.put(NODES, node(name))
        api.put(OWN_POOLS, POOL)
        api.put(ADVERTISEMENTS, EVERYWHERE)
        api.put(SERVICES, announced())
        async with following(api, "n1") as one, following(api, "n2") as two, following(api, "n3") as three:
            known = dict(zip(names, (one, two, three), strict=True))
            lan = SimulatedLan(names, {})
            for name, offers in known.items():
                lan.set_desired(offers, name)
            lan.run(1)
            (owner,) = lan.answerers(A)
            before = {name: offers[A] for name, offers in known.items()}
            api.put(NODES, node(owner, ready="Unknown"))
            await settled(*(partial(lambda name: known[name][A] != before[name], name) for name in names))
            for name, offers in known.items():
                lan.set_desired(offers, name)
            lan.run(1)
            assert len(lan.answerers(A)) == 1

    asyncio.run(run())
