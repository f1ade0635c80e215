"""Right behaviour in circumstances that a third reader of the requirements found: each test is that of a mutant."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.reference.cable import cable
from tests.reference.fake_api import FakeApi
from tests.reference.polling import until
from tests.reference.simulated import SimulatedLan
from tests.reference.small_cluster import SmallCluster, play
from tests.reference.test_following_services import IP, announcer, endpoints, put
from tests.reference.test_following_services import service as service_of_policy
from tests.reference.test_offers import offers, policy, service

from lbproof_reference.kube import NODES, SERVICES, metallb_path
from lbproof_reference.services import FROM_POOL
from lbproof_reference.speaker import links
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.plan import Allowed, Offer
from lbproof_reference.speaker.source import Source

if TYPE_CHECKING:
    from typing import Any

    import pytest

ADDRESS = bytes([10, 0, 0, 10])
NAMES = ("n1", "n2", "n3")


async def decided(cluster: SmallCluster, name: str) -> str | None:
    """Wait until a Service has an address or is told why not; return the address."""
    await until(lambda: bool(cluster.ip(name) or cluster.events(name, "AllocationFailed")))
    return cluster.ip(name)


def offer(*nodes: str) -> Offer:
    """Return an offer for these nodes."""
    return Offer(service="ns/a", allowed=(Allowed(nodes=frozenset(nodes)),))


def test_a_narrowed_pool_takes_nothing_back() -> None:
    """An address that a pool no longer contains is not given again after its Service was deleted."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/30")
        cluster.service("a")
        await cluster.gets("a", "10.0.0.4")
        cluster.pool("web", "10.0.0.6/31")
        for name, address in (("b", "10.0.0.6"), ("c", "10.0.0.7")):
            cluster.service(name)
            await cluster.gets(name, address)
        cluster.remove("a")
        cluster.service("d")
        assert await decided(cluster, "d") is None

    play(scenario)


def test_a_service_that_is_being_deleted_has_its_address() -> None:
    """The address of a Service that a finalizer holds back is not given to another one, as its status shows it."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/32")
        cluster.service("a")
        await cluster.gets("a")
        found = cluster.get("a")
        meta = {**found["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/hold"]}
        cluster.put(SERVICES, {**found, "metadata": meta})
        cluster.service("b")
        assert await decided(cluster, "b") is None
        cluster.remove("a")
        await cluster.gets("b", "10.0.0.4")

    play(scenario)


def test_age_gives_no_right_to_an_address() -> None:
    """A Service that becomes a LoadBalancer waits for a free address, although the holder was created later."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/32")
        cluster.service("old", type="ClusterIP")
        cluster.service("young")
        await cluster.gets("young")
        cluster.change("old")
        assert await decided(cluster, "old") is None
        assert cluster.ip("young") == "10.0.0.4"

    play(scenario)


def test_a_wider_pool_serves_who_asked_for_an_address_of_it() -> None:
    """A Service that asked for an address in no pool gets it when a pool is widened to contain it."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/32")
        cluster.service("a", loadBalancerIP="10.0.0.6")
        await cluster.refused("a")
        cluster.pool("web", "10.0.0.4/30")
        await cluster.gets("a", "10.0.0.6")

    play(scenario)


def test_other_ports_are_no_request_to_share() -> None:
    """A Service does not get the address of another one that it asks for, although they have no port in common."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/30")
        cluster.service("a", ports=[{"port": 80, "protocol": "TCP"}])
        await cluster.gets("a", "10.0.0.4")
        cluster.service("b", loadBalancerIP="10.0.0.4", ports=[{"port": 443, "protocol": "TCP"}])
        assert await decided(cluster, "b") is None

    play(scenario)


def test_a_number_with_leading_zeros_is_no_part_of_an_address() -> None:
    """A request for an address with leading zeros gives none, by field and by annotation."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/30")
        cluster.service("a", loadBalancerIP="10.0.0.006")
        cluster.service("b", {"metallb.io/loadBalancerIPs": "10.00.0.7"})
        for name in "ab":
            assert await decided(cluster, name) is None

    play(scenario)


def test_an_address_is_given_back_each_time() -> None:
    """The only address of a pool goes to four Services, each of which is deleted before the next is created."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/32")
        for name in "abcd":
            cluster.service(name)
            assert await decided(cluster, name) == "10.0.0.4"
            cluster.remove(name)

    play(scenario)


def test_a_service_that_becomes_an_external_name_has_no_address() -> None:
    """The address of a Service that becomes an ExternalName goes to one that waits."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/32")
        cluster.service("a")
        await cluster.gets("a")
        spec = {"type": "ExternalName", "externalName": "example.com"}
        cluster.put(SERVICES, {**cluster.get("a"), "spec": spec, "status": {}})  # the API server empties the status
        cluster.service("b")
        await cluster.gets("b", "10.0.0.4")

    play(scenario)


def test_a_class_that_begins_like_the_own_one_is_foreign() -> None:
    """A Service whose class only begins with the own one is not touched."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/30")
        cluster.service("a", loadBalancerClass="lbproof.dev/reference-2")
        cluster.service("b")
        await cluster.gets("b")
        assert cluster.ingress("a") == []
        assert cluster.events("a") == []

    play(scenario)


def test_a_cluster_ip_may_become_a_load_balancer() -> None:
    """A Service that was created as a ClusterIP gets an address when its type is changed."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/30")
        cluster.service("a", type="ClusterIP")
        cluster.service("b")
        await cluster.gets("b")
        cluster.change("a")
        await cluster.gets("a")

    play(scenario)


def test_each_address_of_a_service_is_told() -> None:
    """A Service that moves to another address has an Event that names it."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/30")
        cluster.service("a")
        await cluster.gets("a", "10.0.0.4")
        cluster.change("a", loadBalancerIP="10.0.0.6")
        await cluster.gets("a", "10.0.0.6")
        await until(lambda: any("10.0.0.6" in one["message"] for one in cluster.events("a", "IPAllocated")))

    play(scenario)


def test_a_pool_between_the_blocks_of_another_is_named() -> None:
    """The annotation names the pool that contains the address, not one with blocks on both sides of it."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("around", "10.0.0.4/31", "10.0.0.8/31")
        cluster.pool("between", "10.0.0.6/31")
        for name, wanted in (("a", "between"), ("b", "around")):
            cluster.service(name, {"metallb.io/address-pool": wanted})
            await cluster.gets(name)
            assert cluster.get(name)["metadata"]["annotations"][FROM_POOL] == wanted

    play(scenario)


def test_a_restart_leaves_the_mode_of_an_address() -> None:
    """Nodes deliver the packets of an assigned address (`ipMode: VIP`) also after a restart of the controller."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/30")
        cluster.service("a")
        await cluster.gets("a")
        await cluster.restart()
        cluster.service("b")
        await cluster.gets("b")
        assert cluster.ingress("a") == [{"ip": "10.0.0.4", "ipMode": "VIP"}]

    play(scenario)


def test_a_former_announcer_changes_no_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that may no longer announce an address sends nothing to the kernel when another one takes over."""
    asked: list[int] = []

    def refuse() -> None:
        asked.append(1)
        raise OSError

    monkeypatch.setattr(links, "_netlink", refuse)

    async def run() -> None:
        async with cable(monkeypatch, "n1", "n2") as made:
            made.offer(ADDRESS)
            owner = await made.owner(ADDRESS)
            (other,) = made.speakers.keys() - {owner}
            made.offer(ADDRESS, nodes=[other])
            await until(lambda: made.owners(ADDRESS) == [other])

    asyncio.run(run())
    assert asked == []


def test_a_node_answers_for_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that announces thirty addresses answers for each of them."""
    addresses = [bytes([10, 0, 0, number]) for number in range(100, 130)]

    async def run() -> None:
        async with cable(monkeypatch, "n1") as made:
            made.offer(*addresses)
            await until(lambda: all(made.owners(address) for address in addresses))
            for address in addresses:
                assert [node for node, _ in await made.replies(address)] == ["n1"]

    asyncio.run(run())


def test_an_address_is_announced_each_time_it_is_acquired(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that gets an address again, for another Service, sends gratuitous ARP for it again."""

    async def run() -> None:
        async with cable(monkeypatch, "n1") as made:
            for _ in range(2):
                made.sent.clear()
                made.offer(ADDRESS)
                await until(lambda: made.owners(ADDRESS) == ["n1"])
                assert made.gratuitous() != []
                made.withdraw(ADDRESS)
                await until(lambda: made.owners(ADDRESS) == [])

    asyncio.run(run())


def test_a_death_while_the_api_server_is_away_moves_addresses() -> None:
    """The addresses of a node that dies are taken over by nodes that cannot reach the API server."""
    lan = SimulatedLan(NAMES, {ADDRESS: offer(*NAMES)})
    lan.run(1)
    (owner,) = lan.answerers(ADDRESS)
    for one in lan.stations.values():
        one.segment.set_outdated(True)
    lan.run(1)
    del lan.stations[Station(owner, "eth0")]
    lan.run(1)

    assert len(lan.answerers(ADDRESS)) == 1


def test_a_node_that_was_excluded_takes_nothing_back() -> None:
    """One node answers when a node that was excluded, and whose address moved, may announce again."""
    lan = SimulatedLan(NAMES, {ADDRESS: offer(*NAMES)})
    lan.run(1)
    (owner,) = lan.answerers(ADDRESS)
    lan.set_desired({ADDRESS: offer(*(name for name in NAMES if name != owner))})
    lan.run(1)
    lan.set_desired({ADDRESS: offer(*NAMES)})
    lan.run(1)

    assert len(lan.answerers(ADDRESS)) == 1


def test_a_requested_address_is_shown_throughout_a_restart() -> None:
    """The status of a Service that asks for its address is never empty while the controller restarts."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/30")
        cluster.service("a", loadBalancerIP="10.0.0.6")
        await cluster.gets("a")
        before = len(cluster.history["ns/a"])
        await cluster.restart()
        cluster.service("b")
        await cluster.gets("b")
        assert all(cluster.history["ns/a"][before:])

    play(scenario)


def test_a_restart_keeps_addresses_that_are_not_in_order_of_age() -> None:
    """A Service that waited and got the address of a deleted one keeps it when the controller restarts."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/31")
        for name in "ab":
            cluster.service(name)
            await cluster.gets(name)
        cluster.service("c")
        await cluster.refused("c")
        cluster.remove("a")
        await cluster.gets("c", "10.0.0.4")
        await cluster.restart()
        cluster.service("d")
        await cluster.refused("d")
        assert (cluster.ip("b"), cluster.ip("c")) == ("10.0.0.5", "10.0.0.4")

    play(scenario)


def test_the_internal_policy_is_not_the_external_one() -> None:
    """With `externalTrafficPolicy: Cluster` a node without an endpoint answers, whatever `internalTrafficPolicy` is."""
    source = Source(FakeApi(), node="n1", lb_class=None, namespace="metallb-system")
    own = {"namespace": "metallb-system"}
    known: list[tuple[str, str, dict[str, Any]]] = [
        (NODES, "n1", {"metadata": {"name": "n1"}}),
        (metallb_path("ipaddresspools", "metallb-system"), "web", {"spec": {"addresses": ["10.0.0.0/28"]}}),
        (metallb_path("l2advertisements", "metallb-system"), "all", {"spec": {}}),
    ]
    for path, name, obj in known:
        put(source, path, name, {"metadata": {"name": name, **own}, **obj})
    of_service = service_of_policy("Cluster")
    of_service["spec"]["internalTrafficPolicy"] = "Local"
    put(source, SERVICES, "ns/a", of_service)
    endpoints(source, "n2")

    assert announcer(source).answers(IP, 1)


def test_endpoints_need_not_name_their_node() -> None:
    """With policy Cluster an address is announced although nobody knows on which nodes its endpoints are."""
    meta = {"namespace": "ns", "name": "a-x", "labels": {"kubernetes.io/service-name": "a"}}
    unknown = {"metadata": meta, "endpoints": [{"addresses": ["10.1.0.7"], "conditions": {"ready": True}}]}

    assert offers(policy(), service(externalTrafficPolicy="Cluster"), [unknown]) == {IP: offer("n1", "n2")}


def test_a_range_is_reversed_whatever_its_last_octets() -> None:
    """A range from one block of 256 addresses to an earlier one is flagged."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("odd", "10.0.1.1-10.0.0.9")
        await until(lambda: cluster.valid("odd") is not None)
        assert cluster.valid("odd") == "False"

    play(scenario)


def test_the_good_block_of_a_malformed_pool_is_free_for_others() -> None:
    """A pool is used although an older one that is malformed names some of its addresses."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("a-malformed", "10.0.0.4/31", "nonsense")
        await until(lambda: cluster.valid("a-malformed") == "False")
        cluster.pool("b-good", "10.0.0.4/30")
        await until(lambda: cluster.valid("b-good") is not None)
        assert cluster.valid("b-good") == "True"

    play(scenario)
