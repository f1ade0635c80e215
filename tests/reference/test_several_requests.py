"""What a speaker sends: replies to hosts that ask in several ways, and announcements of several addresses."""

from __future__ import annotations

import asyncio
import fcntl
from typing import TYPE_CHECKING

from tests.reference.cable import CLIENT, Cable, cable, mac_of
from tests.reference.polling import stays, until

from lbproof_reference.frames import read_arp
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.offers import AnnouncementPolicy
from lbproof_reference.speaker.plan import Allowed, Offer
from lbproof_reference.speaker.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    import pytest

A, B, C = (bytes([10, 0, 0, number]) for number in (10, 20, 30))
BETWEEN = bytes([10, 0, 0, 15])


def play(monkeypatch: pytest.MonkeyPatch, scenario: Callable[[Cable], Coroutine[Any, Any, None]], *nodes: str) -> None:
    """Run a scenario on a cable with these nodes."""

    async def run() -> None:
        async with cable(monkeypatch, *nodes) as made:
            await scenario(made)

    asyncio.run(run())


def test_a_unicast_request_is_answered_like_a_broadcast_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that checks an entry by unicast gets one reply, whose Ethernet source is its sender hardware address."""

    async def scenario(made: Cable) -> None:
        made.offer(A)
        owner = await made.owner(A)
        ((node, frame),) = await made.replies(A, to=mac_of(owner))
        arp = read_arp(frame)
        assert arp
        assert (node, frame[6:12], arp.mac) == (owner, mac_of(owner), mac_of(owner))

    play(monkeypatch, scenario, "n1", "n2")


def test_one_node_answers_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly one node answers a host, a probe from 0.0.0.0, and another node."""

    async def scenario(made: Cable) -> None:
        made.offer(A)
        owner = await made.owner(A)
        others = [node for node in made.speakers if node != owner]
        assert [node for node, _ in await made.replies(A)] == [owner]
        assert [node for node, _ in await made.replies(A, sender=bytes(4))] == [owner]
        for other in others:
            assert [node for node, _ in await made.replies(A, mac=mac_of(other))] == [owner]

    play(monkeypatch, scenario, "n1", "n2", "n3")


def test_requests_are_answered_at_any_time() -> None:
    """A claimed address is answered in each half second of a minute."""
    offer = Offer(service="ns/a", allowed=(Allowed(nodes=frozenset({"n1"})),))
    subnets = ((bytes([10, 0, 0, 0]), 24),)
    segment = Segment(me=Station("n1", "eth0"), mac=CLIENT, subnets=subnets, session=1, dead_interval=0.15, now=0)
    segment.set_desired({A: offer})
    segment.reconcile(1.0)

    assert all(segment.answers(A, 1 + half / 2) for half in range(120))


def test_a_free_address_between_two_is_answered_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node with two addresses does not answer for those between them, which its pool contains."""
    pool = {"metadata": {"name": "web", "namespace": "metallb-system"}, "spec": {"addresses": ["10.0.0.0/24"]}}
    AnnouncementPolicy(advertisements=[], pools=[pool], nodes=[], lb_class=None)

    async def scenario(made: Cable) -> None:
        made.offer(A, B)
        await made.owner(A)
        await made.owner(B)
        assert await made.replies(BETWEEN) == []
        assert await made.replies(BETWEEN, sender=bytes(4)) == []

    play(monkeypatch, scenario, "n1")


def test_a_released_address_is_neither_answered_nor_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a release a unicast request has no reply, and no gratuitous ARP follows."""

    async def scenario(made: Cable) -> None:
        made.offer(A)
        owner = await made.owner(A)
        made.withdraw(A)
        assert await made.replies(A, to=mac_of(owner)) == []
        await stays(lambda: made.gratuitous() == [], 2.5)

    play(monkeypatch, scenario, "n1")


def test_every_address_is_announced_in_frames_that_hosts_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three addresses acquired at once are each announced, and each announcement names its address as target."""

    async def scenario(made: Cable) -> None:
        made.offer(A, B, C)
        for address in (A, B, C):
            await made.owner(address)
        found = [arp for _, arp in made.gratuitous()]
        assert {arp.sender for arp in found} == {A, B, C}
        assert all(arp.sender == arp.target for arp in found)

    play(monkeypatch, scenario, "n1")


def test_a_former_node_announces_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an address moved, only its new node sends gratuitous ARP for it."""

    async def scenario(made: Cable) -> None:
        made.offer(A)
        owner = await made.owner(A)
        (other,) = set(made.speakers) - {owner}
        made.offer(A, nodes=[other])
        await until(lambda: made.owners(A) == [other])
        made.sent.clear()
        await stays(lambda: owner not in {node for node, _ in made.gratuitous()}, 2)

    play(monkeypatch, scenario, "n1", "n2")


def test_no_address_is_added_to_an_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the first node of an address nor its successor changes an interface."""
    calls: list[object] = []
    monkeypatch.setattr(fcntl, "ioctl", lambda *args: calls.append(args))

    async def scenario(made: Cable) -> None:
        made.offer(A)
        owner = await made.owner(A)
        made.speakers[owner].close()
        await until(lambda: bool(made.owners(A)))

    play(monkeypatch, scenario, "n1", "n2")
    assert calls == []
