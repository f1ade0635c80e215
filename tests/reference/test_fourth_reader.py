"""What a reader of the requirements' sentences expects in circumstances where an implementation may break one.

Each test is that of a fault in `tests/mutants/fourth_reader.py`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from tests.reference.cable import Cable, cable, mac_of
from tests.reference.fake_api import FakeApi, status_error
from tests.reference.polling import stays, until
from tests.reference.simulated import SimulatedLan
from tests.reference.small_cluster import SmallCluster, play

from lbproof_reference.kube import NODES, SERVICES, metallb_path
from lbproof_reference.nodes import EXCLUDED
from lbproof_reference.services import ALLOCATED
from lbproof_reference.speaker import loop
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.keys import Keyring
from lbproof_reference.speaker.links import Link
from lbproof_reference.speaker.offers import AnnouncementPolicy, OfferIndex
from lbproof_reference.speaker.plan import Allowed, Offer
from lbproof_reference.speaker.source import Source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    import pytest


A, B = bytes([10, 0, 0, 10]), bytes([10, 0, 0, 11])
POOLS, ADVERTISEMENTS = (metallb_path(plural, "metallb-system") for plural in ("ipaddresspools", "l2advertisements"))
OWN = {"namespace": "metallb-system"}
POOL = {"metadata": {"name": "web", **OWN}, "spec": {"addresses": ["10.0.0.0/28"]}}
ADVERTISEMENT: dict[str, Any] = {"metadata": {"name": "all", **OWN}, "spec": {}}


def announced(**spec: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a ServiceSpec
    """Return the Service ns/a with the address A."""
    return {
        "metadata": {"namespace": "ns", "name": "a", "uid": "u"},
        "spec": {"type": "LoadBalancer", **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.10"}]}},
    }


def offer(*nodes: str) -> Offer:
    """Return the offer of one advertisement that selects these nodes."""
    return Offer(service="ns/a", allowed=(Allowed(nodes=frozenset(nodes)),))


@asynccontextmanager
async def source(api: FakeApi) -> AsyncIterator[tuple[Source, dict[bytes, Offer | None]]]:
    """Run the source of node n2 until it offers A; return it with what it offers."""
    for path, one in ((NODES, {"metadata": {"name": "n1"}}), (NODES, {"metadata": {"name": "n2"}}), (POOLS, POOL)):
        api.put(path, one)
    api.put(ADVERTISEMENTS, ADVERTISEMENT)
    api.put(SERVICES, announced(ports=[{"port": 80}]))
    made = Source(api, node="n2", lb_class=None, namespace="metallb-system")
    found: dict[bytes, Offer | None] = {}
    work = asyncio.create_task(made.run(found.update, lambda: None))
    await until(lambda: A in found)
    yield made, found
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


def on_cable(
    monkeypatch: pytest.MonkeyPatch, scenario: Callable[[Cable], Coroutine[Any, Any, None]], *nodes: str
) -> None:
    """Run a scenario on a cable with these nodes."""

    async def run() -> None:
        async with cable(monkeypatch, *nodes) as made:
            await scenario(made)

    asyncio.run(run())


def test_what_a_pool_has_no_more_is_not_given() -> None:
    """An address that a Service kept when its pool was shrunk is given to nobody when that Service is deleted."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.10-10.0.0.11")
        for name in "ab":
            cluster.service(name)
            await cluster.gets(name)
        cluster.pool("web", "10.0.0.10/32")
        await until(lambda: any("10.0.0.11" in str(body) for _, path, body in cluster.written if "configmaps" in path))
        cluster.remove("b")
        cluster.service("c")
        await until(lambda: bool(cluster.ip("c") or cluster.events("c", "AllocationFailed")))
        assert cluster.ip("c") is None

    play(scenario)


def test_an_address_that_was_left_is_not_freed_again() -> None:
    """The deletion of a Service that is a LoadBalancer no more does not free what another Service has since."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.10-10.0.0.11")
        cluster.service("a")
        await cluster.gets("a", "10.0.0.10")
        cluster.change("a", type="ClusterIP")
        await until(lambda: cluster.ip("a") is None)
        cluster.service("b")
        await cluster.gets("b", "10.0.0.10")
        cluster.remove("a")
        cluster.service("c")
        await cluster.gets("c")
        assert cluster.ip("c") == "10.0.0.11"

    play(scenario)


def test_whoever_can_use_a_freed_address_gets_it() -> None:
    """A freed address goes to a Service that waits for any, although an older one waits for one that there is not."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.10/32")
        cluster.service("a")
        await cluster.gets("a")
        cluster.service("x", loadBalancerIP="10.9.9.9")
        cluster.service("b")
        await cluster.refused("x")
        await cluster.refused("b")
        cluster.remove("a")
        await cluster.gets("b", "10.0.0.10")

    play(scenario)


def test_a_widened_pool_serves_who_asked_for_what_it_lacked() -> None:
    """A Service that waits for one exact address gets it when a pool is widened to have it."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.10/32")
        cluster.service("a")
        await cluster.gets("a")
        cluster.service("x", loadBalancerIP="10.0.0.11")
        await cluster.refused("x")
        cluster.pool("web", "10.0.0.10-10.0.0.11")
        await cluster.gets("x", "10.0.0.11")

    play(scenario)


def test_an_address_between_two_blocks_is_refused() -> None:
    """A request for an address between the two blocks of a pool is refused."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.10/31", "10.0.0.20/31")
        cluster.service("a")
        await cluster.gets("a")
        cluster.service("x", loadBalancerIP="10.0.0.15")
        await until(lambda: bool(cluster.ip("x") or cluster.events("x", "AllocationFailed")))
        assert cluster.ip("x") is None

    play(scenario)


def test_a_refused_service_leaves_without_a_trace() -> None:
    """When a Service that was refused an address is deleted, the one that has the address keeps it for itself."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.10-10.0.0.11")
        cluster.service("a")
        await cluster.gets("a", "10.0.0.10")
        cluster.service("x", loadBalancerIP="10.0.0.10")
        await cluster.refused("x")
        cluster.remove("x")
        cluster.service("c")
        await cluster.gets("c")
        assert cluster.ip("c") == "10.0.0.11"

    play(scenario)


def test_a_service_of_the_own_class_gives_its_address_back() -> None:
    """The address of a Service of the own class is free when its type becomes ClusterIP, which removes the class."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.10/32")
        cluster.service("a", loadBalancerClass="lbproof.dev/reference")
        await cluster.gets("a")
        cluster.change("a", type="ClusterIP")
        cluster.service("b")
        await cluster.gets("b", "10.0.0.10")

    play(scenario)


def test_the_former_address_of_a_moved_service_is_withdrawn() -> None:
    """Only the present address of a Service is offered."""
    index = OfferIndex()
    index.update("ns/a", {A: offer("n1")})

    assert index.update("ns/a", {B: offer("n1")}) == {A: None, B: offer("n1")}


def test_a_restart_leaves_foreign_statuses_alone() -> None:
    """The status of a Service of another class is as it was after the controller started."""
    theirs = [{"ip": "192.0.2.7"}]

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.10/32")
        cluster.service("f", loadBalancerClass="example.com/other")
        cluster.put(SERVICES, {**cluster.get("f"), "status": {"loadBalancer": {"ingress": theirs}}})
        await cluster.restart()
        cluster.service("a")
        await cluster.gets("a")
        assert cluster.ingress("f") == theirs

    play(scenario)


def test_a_service_is_served_each_time_it_is_a_loadbalancer() -> None:
    """A Service without a class that becomes a LoadBalancer a second time gets an address."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.10/32")
        cluster.service("a")
        await cluster.gets("a")
        cluster.change("a", type="ClusterIP")
        await until(lambda: ALLOCATED not in cluster.get("a")["metadata"]["annotations"])
        cluster.change("a")
        await cluster.gets("a", "10.0.0.10")

    play(scenario)


def test_each_allocation_of_a_service_has_an_event() -> None:
    """An Event names the second address of a Service, though the API server accepts no two of one name."""

    async def scenario(cluster: SmallCluster) -> None:
        answer, names = cluster.call, set[str]()

        async def call(method: str, path: str, body: Any = None, **params: str | int) -> Any:  # noqa: ANN401 - JSON
            if method == "POST" and path.endswith("/events"):
                if body["metadata"]["name"] in names:
                    raise status_error(409, method, path)
                names.add(body["metadata"]["name"])
            return await answer(method, path, body, **params)

        cluster.call = call  # type: ignore[method-assign] # names are unique
        cluster.pool("web", "10.0.0.10-10.0.0.11")
        cluster.service("a")
        await cluster.gets("a", "10.0.0.10")
        cluster.change("a", loadBalancerIP="10.0.0.11")
        await until(lambda: len(cluster.events("a", "IPAllocated")) == 2, 5)
        assert "10.0.0.11" in cluster.events("a", "IPAllocated")[1]["message"]

    play(scenario)


def test_a_speaker_that_starts_does_not_name_itself() -> None:
    """A speaker that has only listed Services records no Event that it announces them."""

    async def follow() -> None:
        api = FakeApi()
        async with source(api):
            await stays(lambda: api.written == [], 0.2)  # Events wait 0.05 s before they are sent

    asyncio.run(follow())


def test_nobody_answers_the_announcer(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel of the announcing node asks for the address, no other node answers it."""

    async def scenario(made: Cable) -> None:
        made.offer(A)
        owner = await made.owner(A)
        assert await made.replies(A, mac=mac_of(owner)) == []

    on_cable(monkeypatch, scenario, "n1", "n2", "n3")


def test_an_edit_of_ports_keeps_the_address_announced() -> None:
    """The address of a Service whose ports were edited is still offered."""

    async def follow() -> None:
        api = FakeApi()
        async with source(api) as (made, found):
            api.put(SERVICES, announced(ports=[{"port": 8080}]))
            services = made._informers[SERVICES].objects  # noqa: SLF001 - what the source knows
            await until(lambda: services["ns/a"]["spec"]["ports"] == [{"port": 8080}])
            await until(lambda: not made._services)  # noqa: SLF001 - what it has to process
            assert found[A] == offer("n1", "n2")

    asyncio.run(follow())


def test_a_deleted_advertisement_ends_the_announcement() -> None:
    """An address that is announced is offered no more when the only advertisement of its pool is deleted."""

    async def follow() -> None:
        api = FakeApi()
        async with source(api) as (_, found):
            assert found[A]
            api.delete(ADVERTISEMENTS, "metallb-system", "all")
            await until(lambda: found[A] is None, 5)

    asyncio.run(follow())


def test_an_address_is_announced_each_time_it_is_acquired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gratuitous ARP is sent for an address that was released and is given again, by the same node."""

    async def scenario(made: Cable) -> None:
        made.offer(A)
        await made.owner(A)
        made.withdraw(A)
        made.sent.clear()
        made.offer(A)
        await made.owner(A)
        assert {arp.sender for _, arp in made.gratuitous()} == {A}

    on_cable(monkeypatch, scenario, "n1")


def test_a_speaker_that_started_late_takes_over_too() -> None:
    """When an announcer dies, one of two nodes answers whose speakers were restarted while it announced."""
    nodes = ("n1", "n2", "n3")
    lan = SimulatedLan(nodes, {A: offer(*nodes)})
    lan.run(1)
    (owner,) = lan.answerers(A)
    others = [node for node in nodes if node != owner]
    for node in others:
        lan.start(Station(node, "eth0"))
        lan.set_desired({A: offer(*nodes)}, node)
        lan.run(1)
    assert lan.answerers(A) == [owner]
    del lan.stations[Station(owner, "eth0")]
    lan.run(2)

    assert len(lan.answerers(A)) == 1


def test_a_link_that_came_back_is_answered_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node whose link was down and is up again answers for an address that it gets then."""
    keyring = Keyring()
    keyring.update(b"sixteen bytes or more", b"", time.monotonic())
    config = loop.Config(
        node="n1", keyring=keyring, interval=0.05, misses=3, on_acquired=lambda _: None, on_conflict=lambda *_: None
    )
    link = Link(name="eth0", index=1, mac=mac_of("n1"), subnets=(ipaddress.ip_network("10.0.0.0/24"),))

    async def scenario(made: Cable) -> None:
        speaker = loop.Speaker(config)
        speaker.use_links({"eth0": link})
        speaker.use_links({})
        made.wires.clear()
        speaker.use_links({"eth0": link})
        made.speakers = speaker._segment_speakers  # noqa: SLF001 - closed by the cable
        speaker.set_desired({A: offer("n1")})
        await until(lambda: made.owners(A) == ["eth0"])
        assert len(await made.replies(A)) == 1

    on_cable(monkeypatch, scenario)


def test_an_unmet_request_costs_nothing_at_a_restart() -> None:
    """A Service that asks for an address that it cannot have keeps the one that it has when the controller starts."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.10/32")
        cluster.service("a")
        await cluster.gets("a")
        cluster.change("a", loadBalancerIP="10.9.9.9")
        await cluster.refused("a")
        first = len(cluster.history["ns/a"]) - 1
        await cluster.restart()
        await cluster.refused("a", 2)
        assert all(cluster.history["ns/a"][first:])

    play(scenario)


def test_a_restart_gives_nothing_to_who_asks_for_it() -> None:
    """A Service that waits for the address of another one does not get it when the controller starts."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.10/32")
        cluster.service("a")
        await cluster.gets("a")
        cluster.service("x", loadBalancerIP="10.0.0.10")
        await cluster.refused("x")
        await cluster.restart()
        await until(lambda: bool(cluster.ip("x") or len(cluster.events("x", "AllocationFailed")) > 1))
        assert (cluster.ip("a"), cluster.ip("x")) == ("10.0.0.10", None)

    play(scenario)


def offered(labels: Mapping[str, str], *endpoints: dict[str, Any]) -> dict[bytes, Offer]:
    """Return what is offered for ns/a with policy Cluster, these endpoints, and these labels of node n1."""
    nodes: list[dict[str, Any]] = [{"metadata": {"name": "n1", "labels": labels}}, {"metadata": {"name": "n2"}}]
    policy = AnnouncementPolicy(advertisements=[ADVERTISEMENT], pools=[POOL], nodes=nodes, lb_class=None)
    meta = {"namespace": "ns", "name": "a-x", "labels": {"kubernetes.io/service-name": "a"}}
    service = announced(externalTrafficPolicy="Cluster")
    known = policy.announceable("ns/a", service, None)
    return policy.offers("ns/a", service, known, [{"metadata": meta, "endpoints": list(endpoints)}])


def test_endpoints_without_a_node_are_announced() -> None:
    """A Service whose endpoints name no node, as those that its author wrote, is announced by any node."""
    assert offered({}, {"addresses": ["10.1.0.1"], "conditions": {"ready": True}}) == {A: offer("n1", "n2")}


def test_endpoints_may_all_be_where_nobody_announces() -> None:
    """A Service whose endpoints are all on a node that may not announce is announced by the other one."""
    endpoint = {"addresses": ["10.1.0.1"], "nodeName": "n1", "conditions": {"ready": True}}

    assert offered({EXCLUDED: ""}, endpoint) == {A: offer("n2")}


def test_one_bad_entry_makes_a_pool_bad() -> None:
    """A pool is flagged if one of its entries cannot be read, also if another one can."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("odd", "10.0.0.10/32", "10.0.0.999/32")
        await until(lambda: cluster.valid("odd") is not None)
        assert cluster.valid("odd") == "False"

    play(scenario)


def test_a_pool_that_comes_after_a_bad_one_is_used() -> None:
    """A pool that is created while another one is malformed serves Services."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("odd", "ten")
        await until(lambda: cluster.valid("odd") == "False")
        cluster.pool("web", "10.0.0.10/32")
        cluster.service("a")
        await cluster.gets("a", "10.0.0.10")

    play(scenario)
