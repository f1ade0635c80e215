"""Behaviour of the reference that the faults of `tests/mutants/second_reader.py` break, one test each."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.reference.cable import cable
from tests.reference.controlled import pool, service
from tests.reference.fake_api import FakeApi
from tests.reference.polling import stays, until
from tests.reference.simulated import SimulatedLan
from tests.reference.small_cluster import SmallCluster, play
from tests.reference.test_offering import CONFIG, FakeSegmentSpeaker

from lbproof_reference.controller.allocate import AddressRequest, Allocator
from lbproof_reference.events import EventRecorder
from lbproof_reference.informer import Informer
from lbproof_reference.kube import SERVICES
from lbproof_reference.pools import parse_pool, parse_pools
from lbproof_reference.services import FROM_POOL
from lbproof_reference.speaker import loop
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.links import Link
from lbproof_reference.speaker.offers import AnnouncementPolicy
from lbproof_reference.speaker.plan import Allowed, Offer

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from lbproof_reference.kube import Object

ADDRESS = bytes([10, 0, 0, 1])
NODES = frozenset({"n1", "n2", "n3"})
OFFERS = {ADDRESS: Offer(service="ns/a", allowed=(Allowed(nodes=NODES),))}
LINK = Link(name="eth0", index=2, mac=bytes([2, 0, 0, 0, 0, 1]), subnets=(ipaddress.ip_network("10.0.0.0/16"),))


def allocator(*addresses: str) -> Allocator:
    """Return an allocator with one pool."""
    return Allocator([parse_pool(pool("web", *addresses))])


def gets(of: Allocator, *keys: str) -> list[str]:
    """Return the addresses that Services get that ask for any."""
    return [str(of.allocate(AddressRequest(key=key)).ip) for key in keys]


def test_a_pool_does_not_give_what_it_no_longer_contains() -> None:
    """An address that is released after its pool was shrunk is not assigned again."""
    one = allocator("10.0.0.1-10.0.0.2")
    gets(one, "ns/a")

    one.set_pools([parse_pool(pool("web", "10.0.0.2-10.0.0.3"))])
    one.release("ns/a")

    assert gets(one, "ns/b", "ns/c") == ["10.0.0.2", "10.0.0.3"]


def test_services_of_one_name_in_two_namespaces_differ() -> None:
    """Services of the same name in two namespaces get two addresses."""
    assert gets(allocator("10.0.0.1-10.0.0.2"), "ns/a", "other/a") == ["10.0.0.1", "10.0.0.2"]


def test_a_range_across_two_last_octets_gives_all_addresses() -> None:
    """A range goes on after an address that ends in 255."""
    addresses = ["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"]

    assert gets(allocator("10.0.0.254-10.0.1.1"), "ns/a", "ns/b", "ns/c", "ns/d") == addresses


def test_a_service_created_again_is_told_why_it_waits() -> None:
    """A Service that is deleted and created again while the pool is full has an Event of its own."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.1/32")
        cluster.service("a")
        await cluster.gets("a")
        cluster.service("b")
        await cluster.refused("b")
        cluster.remove("b")
        cluster.service("b")
        uid = cluster.get("b")["metadata"]["uid"]
        cluster.service("c")
        await cluster.refused("c")  # after that of b

        assert uid in [event["involvedObject"]["uid"] for event in cluster.events("b", "AllocationFailed")]

    play(scenario)


def test_a_freed_address_goes_past_one_that_cannot_use_it() -> None:
    """A released address is assigned, although the Service that waits longest asks for another one."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.1/32")
        cluster.service("a")
        await cluster.gets("a")
        cluster.service("b", loadBalancerIP="10.0.0.9")
        cluster.service("c")
        await cluster.refused("b")
        await cluster.refused("c")
        cluster.remove("a")

        await until(lambda: cluster.ip("c") == "10.0.0.1", 3)

    play(scenario)


async def older_waits(cluster: SmallCluster) -> None:
    """Fill a pool of one address by Service b, and let Service a wait, which is older."""
    cluster.pool("web", "10.0.0.1/32")
    cluster.service("a", type="ClusterIP")
    cluster.service("b")
    await cluster.gets("b")
    cluster.change("a")
    await cluster.refused("a")


def test_a_widened_pool_moves_no_younger_service() -> None:
    """A Service that waits gets the new address, although it is older than the one that has the other."""

    async def scenario(cluster: SmallCluster) -> None:
        await older_waits(cluster)
        cluster.pool("web", "10.0.0.1-10.0.0.2")
        await cluster.gets("a")

        assert (cluster.ip("a"), cluster.ip("b")) == ("10.0.0.2", "10.0.0.1")

    play(scenario)


def test_a_request_for_an_address_between_two_blocks_is_refused() -> None:
    """An address between two blocks of a pool is in no pool."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.1-10.0.0.2", "10.0.0.8-10.0.0.9")
        cluster.service("a", loadBalancerIP="10.0.0.5")
        await until(lambda: cluster.ip("a") is not None or bool(cluster.events("a", "AllocationFailed")))

        assert cluster.ip("a") is None

    play(scenario)


def test_different_ports_do_not_share_an_address() -> None:
    """A Service that asks for the address of another one is refused, whatever their ports."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.1-10.0.0.2")
        cluster.service("a", ports=[{"port": 80}])
        await cluster.gets("a", "10.0.0.1")
        cluster.service("b", loadBalancerIP="10.0.0.1", ports=[{"port": 443}])
        await until(lambda: cluster.ip("b") is not None or bool(cluster.events("b", "AllocationFailed")))

        assert cluster.ip("b") is None

    play(scenario)


def test_a_list_reports_what_was_deleted_meanwhile() -> None:
    """An object that the next list does not contain any more is reported as changed."""
    told: list[str] = []

    async def scenario() -> None:
        api = FakeApi()
        informer = Informer(api, SERVICES, lambda key, _: told.append(key))
        for name in "ab":
            api.put(SERVICES, service(name))
        await informer._list()  # noqa: SLF001 - what a watch that is too old leads to
        told.clear()
        api.delete(SERVICES, "ns", "a")
        await informer._list()  # noqa: SLF001 - likewise

    asyncio.run(scenario())

    assert told == ["ns/a"]


def test_a_released_address_is_not_announced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The announcements that are repeated after an assignment end with the release."""

    async def scenario() -> None:
        async with cable(monkeypatch, "n1", "n2") as segment:
            segment.offer(ADDRESS)
            await segment.owner(ADDRESS)
            segment.withdraw(ADDRESS)
            await until(lambda: not segment.owners(ADDRESS))
            segment.sent.clear()

            await stays(lambda: not segment.gratuitous(), max(loop.ANNOUNCE_SECONDS[:3]) + 0.1)

    asyncio.run(scenario())


def test_a_service_that_becomes_a_load_balancer_is_served() -> None:
    """A Service of type ClusterIP gets an address once its type is LoadBalancer."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.1-10.0.0.2")
        cluster.service("a", type="ClusterIP")
        cluster.service("b")
        await cluster.gets("b")
        cluster.change("a")

        await until(lambda: cluster.ip("a") is not None, 3)

    play(scenario)


def policy(*, advertisements: list[dict[str, Any]]) -> AnnouncementPolicy:
    """Return a policy with three nodes and the pool `web`."""
    nodes = [{"metadata": {"name": name}} for name in sorted(NODES)]
    pools = [pool("web", "10.0.0.0/28")]
    return AnnouncementPolicy(advertisements=advertisements, pools=pools, nodes=nodes, lb_class=None)


EVERYWHERE: list[dict[str, Any]] = [{"metadata": {"name": "everywhere", "namespace": "metallb-system"}, "spec": {}}]


def offered(by: AnnouncementPolicy, obj: Object, *ready: str) -> Mapping[bytes, Offer]:
    """Return the offers for a Service that has the address in its status, with endpoints on these nodes."""
    obj = {**obj, "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}}
    piece = {"metadata": {"namespace": "ns", "name": "a-x"}, "endpoints": [{"nodeName": name} for name in ready]}
    return by.offers("ns/a", obj, by.announceable("ns/a", obj, None), [piece])


def test_a_foreign_service_with_an_address_of_a_pool_is_not_offered() -> None:
    """The class decides, also if the other controller wrote an address that is in a pool of ours."""
    assert not offered(policy(advertisements=EVERYWHERE), service("a", loadBalancerClass="example.com/other"))


def test_each_move_has_an_event_of_its_own() -> None:
    """Two Events about one Service and one node have two names, so that the second one is not rejected."""
    api = FakeApi()

    async def scenario() -> None:
        recorder = EventRecorder(api, "lbproof-speaker", "n1")
        sending = asyncio.create_task(recorder.run())
        for _ in range(2):
            recorder.event(service("a"), "Normal", "nodeAssigned", 'announcing from node "n1"')
        await until(lambda: len(api.written) == 2)
        sending.cancel()

    asyncio.run(scenario())

    assert len({body["metadata"]["name"] for _, _, body in api.written}) == 2


def test_the_mark_names_the_pool_that_took_over_the_range() -> None:
    """If a pool is replaced by another one with the same range, the annotation follows."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("old", "10.0.0.1/32")
        cluster.service("a")
        await cluster.gets("a")
        cluster.delete_pool("old")
        cluster.pool("new", "10.0.0.1/32")

        await until(lambda: cluster.get("a")["metadata"]["annotations"][FROM_POOL] == "new", 3)

    play(scenario)


def test_an_asker_with_an_address_of_another_subnet_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A router may ask with an address that is not of the segment (arp_announce 0)."""

    async def scenario() -> None:
        async with cable(monkeypatch, "n1", "n2") as segment:
            segment.offer(ADDRESS)
            owner = await segment.owner(ADDRESS)

            replies = await segment.replies(ADDRESS, sender=bytes([192, 168, 7, 1]))

            assert [node for node, _ in replies] == [owner]

    asyncio.run(scenario())


def test_a_link_with_another_mac_address_is_another_link() -> None:
    """When its MAC address changes, an interface is opened again."""
    assert not LINK.is_same(replace(LINK, mac=bytes([2, 0, 0, 0, 0, 2])))


def test_without_any_advertisement_nothing_is_announced() -> None:
    """No advertisement selects a pool where there is none at all."""
    assert not offered(policy(advertisements=[]), service("a"))


def test_the_last_node_of_three_takes_over() -> None:
    """One node is enough, however many there were."""
    lan = SimulatedLan(sorted(NODES), OFFERS)
    lan.run(1)

    for _ in range(2):
        (owner,) = lan.answerers(ADDRESS)
        del lan.stations[Station(owner, "eth0")]
        lan.run(2)

    assert lan.answerers(ADDRESS) == [station.node for station in lan.stations]


def test_a_link_that_is_back_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interface is used again when its carrier is back, the second time as the first."""
    monkeypatch.setattr(FakeSegmentSpeaker, "opened", {})
    monkeypatch.setattr(loop, "SegmentSpeaker", FakeSegmentSpeaker)

    async def scenario() -> None:
        speaker = loop.Speaker(CONFIG)
        for links in ({"eth0": LINK}, {}, {"eth0": LINK}):
            speaker.use_links(links)

        assert list(speaker._segment_speakers) == ["eth0"]  # noqa: SLF001 - what is open

    asyncio.run(scenario())


def test_a_returning_node_listens_before_it_answers() -> None:
    """While a node returns that knows the address at once, never do two answer."""
    lan = SimulatedLan(("n1", "n2"), OFFERS)
    lan.run(1)
    (owner,) = lan.answerers(ADDRESS)
    del lan.stations[Station(owner, "eth0")]
    lan.run(1)
    lan.start(Station(owner, "eth0"))
    lan.set_desired(OFFERS, owner)

    lan.run(1)

    assert lan.double[ADDRESS] == 0


def test_a_restart_gives_no_address_to_an_older_waiting_service() -> None:
    """A restart with a full pool leaves the address where it is, although an older Service waits."""

    async def scenario(cluster: SmallCluster) -> None:
        await older_waits(cluster)
        await cluster.restart()
        await until(lambda: cluster.ip("a") is not None or len(cluster.events("a", "AllocationFailed")) > 1)

        assert (cluster.ip("a"), cluster.ip("b")) == (None, "10.0.0.1")

    play(scenario)


def test_a_local_service_does_not_narrow_the_others_of_its_pool() -> None:
    """A Service with policy Local and no endpoint leaves all nodes to one with policy Cluster."""
    by = policy(advertisements=EVERYWHERE)
    offered(by, service("a", externalTrafficPolicy="Local"))

    found = offered(by, service("a", externalTrafficPolicy="Cluster"))

    assert found[ADDRESS].allowed == (Allowed(nodes=NODES),)


def test_a_bad_block_beside_a_good_one_is_flagged() -> None:
    """A pool is invalid if one of its blocks is."""
    good, bad = parse_pools([pool("web", "10.0.0.1/32", "10.0.0.9-10.0.0.5")])

    assert (good, list(bad)) == ([], ["web"])
