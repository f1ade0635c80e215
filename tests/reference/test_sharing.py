"""One address of several Services (`metallb.io/allow-shared-ip`)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.cable import cable
from tests.reference.polling import stays, until
from tests.reference.small_cluster import SmallCluster, play
from tests.reference.test_allocator import addresses, ip, pool

from lbproof_reference.controller.allocate import (
    AddressRequest,
    AllocationError,
    Allocator,
    Sharing,
    read_address_request,
)
from lbproof_reference.speaker.offers import OfferIndex
from lbproof_reference.speaker.plan import Allowed, Offer

KEY = "metallb.io/allow-shared-ip"


def ports(*numbers: int, protocol: str = "TCP") -> list[dict[str, Any]]:
    """Return ports of a Service."""
    return [{"port": number, "protocol": protocol, "name": f"{protocol}-{number}".lower()} for number in numbers]


def sharing(*numbers: int, key: str = "k", backend: str = "") -> Sharing:
    """Return how a Service with these TCP ports shares."""
    return Sharing(key=key, backend=backend, ports=frozenset(("TCP", number) for number in numbers))


def request(name: str, *numbers: int, at: int | None = None, **more: str) -> AddressRequest:
    """Return the request of ns/<name>, which shares by the key `k`, for the address 10.0.0.<at>."""
    return AddressRequest(
        key=f"ns/{name}", requested_ip=None if at is None else ip(at), sharing=sharing(*numbers, **more)
    )


def read(key: str, notes: dict[str, str], **spec: Any) -> Sharing:  # noqa: ANN401 - a ServiceSpec
    """Return the sharing of a Service."""
    return read_address_request(key, {"metadata": {"annotations": notes}, "spec": spec}).sharing


def test_who_shares_and_how_is_read_from_the_service() -> None:
    """The key in either group, ports with their protocols, and with policy Local the namespace and the selector."""
    udp = ports(53, protocol="UDP")
    local: dict[str, Any] = {"externalTrafficPolicy": "Local", "selector": {"b": "2", "a": "1"}}

    assert read("ns/a", {}, ports=ports(80)) == Sharing()
    assert read("ns/a", {KEY: ""}, ports=ports(80)) == Sharing()
    found = read("ns/a", {KEY: "k"}, ports=[*ports(80), *udp, {"port": 81}])
    assert found.ports == {("TCP", 80), ("UDP", 53), ("TCP", 81)}
    assert read("ns/a", {"metallb.universe.tf/allow-shared-ip": "k"}, ports=ports(80)) == sharing(80)
    backend = read("ns/a", {KEY: "k"}, ports=ports(80), **local).backend
    assert backend == read("ns/b", {KEY: "k"}, ports=ports(81), **local).backend
    assert backend != read("other/b", {KEY: "k"}, ports=ports(81), **local).backend
    assert backend != read("ns/b", {KEY: "k"}, ports=ports(81), **local | {"selector": {"a": "1"}}).backend
    without = {"externalTrafficPolicy": "Local"}
    assert len({read(key, {KEY: "k"}, ports=ports(80), **without).backend for key in ("ns/a", "ns/b")} - {""}) == 2


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (sharing(81), None),
        (Sharing(key="k", ports=frozenset({("UDP", 80)})), None),
        (sharing(80), "port TCP/80"),
        (sharing(81, key="other"), "sharing key"),
        (sharing(81, key=""), "does not allow"),
        (sharing(81, backend="ns a=1"), "traffic policy"),
    ],
)
def test_a_second_service_shares_or_is_refused(second: Sharing, why: str | None) -> None:
    """Same key, other ports, and the same backends or policy Cluster; else a request is refused and says why."""
    made = Allocator([pool(0, 3)])
    first = made.allocate(request("a", 80))
    automatic = made.allocate(AddressRequest(key="ns/b", sharing=second))
    asked = AddressRequest(key="ns/c", sharing=second, requested_ip=first.ip)
    made.release("ns/b")

    assert (automatic.ip == first.ip) == (why is None)
    if why is None:
        assert made.allocate(asked).ip == first.ip
    else:
        with pytest.raises(AllocationError, match=f"in use by ns/a: .*{why}"):
            made.allocate(asked)
        assert addresses(made) == {"ns/a": first.ip}


def test_services_without_a_key_share_nothing() -> None:
    """Not even if both ask for one address with different ports; a key comes too late for the one that has none."""
    made = Allocator([pool(0, 3)])
    made.allocate(AddressRequest(key="ns/a", requested_ip=ip(1)))

    with pytest.raises(AllocationError, match="in use by ns/a"):
        made.allocate(AddressRequest(key="ns/b", requested_ip=ip(1)))
    with pytest.raises(AllocationError, match="in use by ns/a: it does not allow"):
        made.allocate(request("b", 80, at=1))
    assert made.allocate(request("b", 80)).ip == ip(0)


def test_a_shared_address_is_preferred_to_a_free_one() -> None:
    """A Service joins those of its key although a lower address is free; a port that is taken takes another one."""
    made = Allocator([pool(0, 9)])
    for name in ("x", "y"):
        made.allocate(AddressRequest(key=f"ns/{name}"))
    first = made.allocate(request("a", 80)).ip
    made.release("ns/x")

    assert made.allocate(request("b", 443)).ip == first == ip(2)
    assert made.allocate(request("c", 80)).ip == ip(0)
    assert made.allocate(request("d", 443, 80)).ip == ip(3)
    assert made.allocate(request("e", 8080)).ip == ip(0)


def test_an_address_is_free_when_its_last_service_leaves() -> None:
    """The others keep it, in either order of leaving, and nobody else gets it meanwhile."""
    for order in (("a", "b"), ("b", "a")):
        made = Allocator([pool(0, 0)])
        for name, port in (("a", 80), ("b", 443)):
            made.allocate(request(name, port))
        for name, left in zip(order, (1, 0), strict=True):
            with pytest.raises(AllocationError):
                made.allocate(AddressRequest(key="ns/other"))
            assert made.release(f"ns/{name}") == [ip(0)]
            assert len(made.allocations()) == left
        assert made.holder == {}
        assert made.allocate(AddressRequest(key="ns/other")).ip == ip(0)


@pytest.mark.parametrize(
    "edited", [sharing(443), sharing(80, 443), sharing(80, key="other"), sharing(80, key=""), sharing(80, backend="b")]
)
def test_who_is_edited_leaves(edited: Sharing) -> None:
    """An edit that does not agree with the others moves the edited Service; the others keep the address."""
    made = Allocator([pool(0, 3)])
    made.allocate(request("a", 80))
    made.allocate(request("b", 443))

    moved = made.allocate(AddressRequest(key="ns/a", sharing=edited))

    assert moved.ip == ip(1)
    assert made.allocate(request("b", 443)).ip == ip(0)
    assert made.release("ns/a", {moved.ip}) == [ip(0)]
    assert made.holder == {ip(0): "ns/b", ip(1): "ns/a"}


def test_an_edit_that_agrees_changes_nothing_but_what_others_may_use() -> None:
    """A port that a Service gives up is free for others on its address, and one that it takes is not."""
    made = Allocator([pool(0, 3)])
    made.allocate(request("a", 80))
    made.allocate(request("b", 443))

    assert made.allocate(request("a", 8080)).ip == ip(0)
    assert made.allocate(request("c", 80)).ip == ip(0)
    assert made.allocate(request("d", 8080)).ip == ip(1)


def test_a_service_that_is_alone_changes_its_key() -> None:
    """It keeps its address, and shares it by the new key alone."""
    made = Allocator([pool(0, 3)])
    made.allocate(request("a", 80))

    assert made.allocate(request("a", 80, key="new")).ip == ip(0)
    assert made.allocate(request("b", 443)).ip == ip(1)
    assert made.allocate(request("c", 443, key="new")).ip == ip(0)
    made.release("ns/c")
    assert made.allocate(request("a", 80, key="")).ip == ip(0)
    assert made.allocate(request("d", 443, key="new")).ip == ip(2)


STEPS = st.lists(
    st.tuples(
        st.sampled_from([f"ns/s{number}" for number in range(8)]),
        st.none() | st.tuples(st.sampled_from(["", "k", "l"]), st.sampled_from([80, 443, 53])),
        st.none() | st.integers(0, 4),
    ),
    max_size=40,
)


@given(STEPS)
def test_those_on_one_address_agree(steps: list[tuple[str, tuple[str, int] | None, int | None]]) -> None:
    """After any history, two Services with one address have one key and different ports, and nobody else was moved."""
    made = Allocator([pool(0, 3)])
    now: dict[str, Sharing] = {}
    for key, wish, offset in steps:
        before = addresses(made)
        if wish is None:
            made.release(key)
            now.pop(key, None)
        else:
            asked = None if offset is None else ip(offset)
            now[key] = sharing(wish[1], key=wish[0])
            try:
                made.allocate(AddressRequest(key=key, requested_ip=asked, sharing=now[key]))
            except AllocationError:
                held = made.allocation_of(key)
                if held and not made.assign(key, held.ip, sharing=now[key]):
                    made.release(key)
        holds = addresses(made)
        made.release(key, {holds[key]} if key in holds else ())
        assert {k: v for k, v in holds.items() if k != key} == {k: v for k, v in before.items() if k != key}
        assert made.holder.keys() == set(holds.values())
        for one, address in holds.items():
            for other in (other for other, at in holds.items() if at == address and other != one):
                assert now[one].key == now[other].key != ""
                assert not now[one].ports & now[other].ports


def test_services_share_in_their_statuses_and_after_a_restart() -> None:
    """Both have the address in their statuses, keep it over a restart, and one that leaves disturbs nobody."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/30")
        cluster.service("a", {KEY: "k"}, ports=ports(80))
        cluster.service("b", {KEY: "k"}, ports=ports(443))
        cluster.service("two/a", {KEY: "k"}, ports=ports(80, protocol="UDP"))
        for name in ("a", "b", "two/a"):
            await cluster.gets(name, "10.0.0.0")
        await cluster.restart()
        cluster.service("c", {KEY: "k"}, ports=ports(8080))
        await cluster.gets("c", "10.0.0.0")
        cluster.remove("a")
        cluster.service("other")
        await cluster.gets("other", "10.0.0.1")
        assert [cluster.ip(name) for name in ("b", "two/a", "c")] == ["10.0.0.0"] * 3
        assert all(len(versions) < 4 for key, versions in cluster.history.items() if key != "ns/a")

    play(scenario)


SHARED = bytes([10, 0, 0, 1])


def offer(name: str, *nodes: str, share: str = "k", sharers: tuple[str, ...] = ()) -> Offer:
    """Return the offer of ns/<name>, which these nodes may announce."""
    allowed = tuple(Allowed(nodes=frozenset({node})) for node in nodes)
    return Offer(service=f"ns/{name}", allowed=allowed, share=share, sharers=sharers)


def test_offers_of_a_shared_address_are_one() -> None:
    """One offer names all Services, and every node that may announce one of them, whoever came first or goes first."""
    index = OfferIndex()

    assert index.update("ns/a", {SHARED: offer("a", "n1")}) == {SHARED: offer("a", "n1")}
    both = offer("a", "n1", "n2", sharers=("ns/b",))
    assert index.update("ns/b", {SHARED: offer("b", "n2")}) == {SHARED: both}
    assert index.update("ns/c", {SHARED: offer("c", "n3", share="other")}) == {SHARED: both}
    assert index.update("ns/a", {}) == {SHARED: offer("b", "n2")}
    assert index.update("ns/b", {}) == {SHARED: offer("c", "n3", share="other")}


def test_every_service_of_an_address_is_told_who_announces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that share it when a node acquires it, and one that joins later, once each; the claim stays."""

    async def scenario() -> None:
        async with cable(monkeypatch, "n1") as made:
            speaker, told = made.speakers["n1"], made.acquired
            speaker.set_desired({SHARED: offer("a", "n1", sharers=("ns/b",))})
            await made.owner(SHARED)
            claim = speaker.segment.claims[SHARED]
            assert told == ["ns/a", "ns/b"]
            speaker.set_desired({SHARED: offer("a", "n1", sharers=("ns/b", "ns/c"))})
            speaker.set_desired({SHARED: offer("b", "n1", sharers=("ns/c",))})
            assert told == ["ns/a", "ns/b", "ns/c"]
            assert speaker.segment.claims[SHARED] is claim

    asyncio.run(scenario())


def test_a_service_waits_for_a_port_of_the_address_that_it_asks_for() -> None:
    """It is refused while the port is taken, and served when the other Service gives the port up or is deleted."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/30")
        cluster.service("a", {KEY: "k"}, ports=ports(80), loadBalancerIP="10.0.0.2")
        await cluster.gets("a")
        cluster.service("b", {KEY: "k"}, ports=ports(80), loadBalancerIP="10.0.0.2")
        await cluster.refused("b")
        assert "port TCP/80" in cluster.events("b", "AllocationFailed")[0]["message"]
        cluster.change("a", ports=ports(81), loadBalancerIP="10.0.0.2")
        await cluster.gets("b", "10.0.0.2")
        assert cluster.ip("a") == "10.0.0.2"

    play(scenario)


def test_a_port_that_a_refused_service_gives_up_is_free() -> None:
    """A Service that keeps its address while it asks for one that it cannot have gives up a port all the same."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/30")
        cluster.service("a", {KEY: "k"}, ports=ports(80), loadBalancerIP="10.0.0.2")
        await cluster.gets("a")
        cluster.service("b", {KEY: "k"}, ports=ports(80), loadBalancerIP="10.0.0.2")
        await cluster.refused("b")
        cluster.change("a", ports=ports(81), loadBalancerIP="10.9.9.9")
        await cluster.gets("b", "10.0.0.2")
        assert cluster.ip("a") == "10.0.0.2"

    play(scenario)


def test_an_edit_that_clashes_pends_and_comes_back() -> None:
    """A Service that asks for an address keeps it no longer than its ports agree; the other never loses it."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/30")
        for name, port in (("a", 80), ("b", 443)):
            cluster.service(name, {KEY: "k"}, ports=ports(port), loadBalancerIP="10.0.0.2")
            await cluster.gets(name, "10.0.0.2")
        cluster.change("b", ports=ports(80), loadBalancerIP="10.0.0.2")
        await until(lambda: cluster.ip("b") is None)
        await cluster.refused("b")
        await stays(lambda: cluster.ip("a") == "10.0.0.2", 0.05)
        cluster.change("b", ports=ports(8443), loadBalancerIP="10.0.0.2")
        await cluster.gets("b", "10.0.0.2")

    play(scenario)


def test_of_two_that_clash_while_nobody_looked_the_older_keeps_the_address() -> None:
    """Statuses of before a restart may show one address for Services that do not agree any more."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/30")
        for name, port in (("a", 80), ("b", 443)):
            cluster.service(name, {KEY: "k"}, ports=ports(port))
            await cluster.gets(name, "10.0.0.0")
        await cluster.restart(lambda: cluster.change("b", ports=ports(80)))
        await cluster.gets("b", "10.0.0.1")
        assert cluster.ip("a") == "10.0.0.0"

    play(scenario)
