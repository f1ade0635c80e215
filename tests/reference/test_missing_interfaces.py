"""An advertisement that names an interface which no node has: its Services are told, once, by one speaker."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.reference.cable import cable
from tests.reference.polling import until

from lbproof_reference.speaker import loop, missing
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.keys import Keyring
from lbproof_reference.speaker.links import Link
from lbproof_reference.speaker.missing import MissingInterfaces
from lbproof_reference.speaker.plan import Allowed, Offer, PeerView, Subnet

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

IP, OTHER_IP = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
HERE: tuple[Subnet, ...] = ((bytes([10, 0, 0, 0]), 24),)
THERE: tuple[Subnet, ...] = ((bytes([10, 9, 0, 0]), 24),)
BOTH = frozenset({"n1", "n2"})


def offer(*interfaces: str, nodes: Collection[str] = BOTH, service: str = "ns/a") -> Offer:
    """Return an offer by interfaces, or by any if none is named."""
    named = frozenset(interfaces) if interfaces else None
    return Offer(service=service, allowed=(Allowed(nodes=frozenset(nodes), interfaces=named),))


def segment(me: str = "n1", interface: str = "eth0", **peers: PeerView) -> Any:  # noqa: ANN401 - stands for Segment
    """Return a segment with peers by node."""
    live = {Station(node, interface): peer for node, peer in peers.items()}
    return SimpleNamespace(me=Station(me, interface), subnets=HERE, peers=SimpleNamespace(live=live))


def told(node: str, offers: Mapping[bytes, Offer | None], *looks: list[Any]) -> list[tuple[str, str]]:
    """Return what a node tells after a look at each of these lists of segments."""
    found: list[tuple[str, str]] = []
    left = [*looks]

    async def follow() -> None:
        missing = MissingInterfaces(node, lambda *said: found.append(said), lambda: left.pop(0))
        missing.set_desired({**offers, OTHER_IP: offer("eth9", nodes=["n9"])})  # so that it looks in any case
        await until(lambda: not left)
        missing.close()

    asyncio.run(follow())
    return found


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often."""
    monkeypatch.setattr(missing, "LOOK_SECONDS", 0.005)


PEER = PeerView(subnets=HERE)
HEARD = [segment(n2=PEER)]


@pytest.mark.parametrize(
    ("what", "node", "offers", "segments", "is_told"),
    [
        ("an interface that no node has", "n1", offer("eth9"), [segment(n2=PEER)], True),
        ("told by the first node alone", "n2", offer("eth9"), [segment("n2", n1=PEER)], False),
        ("any interface", "n1", offer(), [segment(n2=PEER)], False),
        ("an interface of this node", "n1", offer("eth9", "eth0"), [segment(n2=PEER)], False),
        ("an interface of a peer", "n1", offer("eth1"), [segment(n2=PEER), segment("n1", "eth1", n2=PEER)], False),
        ("an interface of a node that is not selected", "n1", offer("eth0", nodes={"n3"}), [segment()], False),
        ("a node that is not heard", "n1", offer("eth9"), [segment()], False),
        ("a peer with an unknown interface", "n1", offer("eth9"), [segment(n2=replace(PEER, elsewhere=THERE))], False),
        (
            "a peer whose other interface is heard",
            "n1",
            offer("eth9"),
            [
                segment(n2=replace(PEER, elsewhere=THERE)),
                segment("n1", "eth1", n2=PeerView(subnets=THERE, elsewhere=HERE)),
            ],
            True,
        ),
        (
            "one of two advertisements is for any",
            "n1",
            replace(offer("eth9"), allowed=(*offer("eth9").allowed, *offer().allowed)),
            [segment(n2=PEER)],
            False,
        ),
        ("no node at all", "n1", offer("eth9", nodes=()), [segment(n2=PEER)], False),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_who_tells_of_which_address(what: str, node: str, offers: Offer, segments: list[Any], is_told: bool) -> None:
    """It is told when all nodes that may announce are heard, with all their interfaces, and none has the right one."""
    assert bool(told(node, {IP: offers}, segments, segments)) is is_told, what


def test_the_message_names_address_nodes_and_interfaces() -> None:
    """Each Service of a shared address is told."""
    shared = replace(offer("eth9", "bond0"), sharers=("ns/b",))

    assert told("n1", {IP: shared}, HEARD, HEARD) == [
        (name, "10.0.0.1 is not announced: none of the nodes n1, n2 has an interface bond0, eth9 that is up")
        for name in ("ns/a", "ns/b")
    ]


def test_it_is_told_once_and_not_at_the_first_look() -> None:
    """A link may be about to come; what is told again was announced meanwhile."""
    offers, announced = {IP: offer("eth9")}, [segment("n1", "eth9", n2=PEER)]

    assert told("n1", offers, HEARD) == []
    assert len(told("n1", offers, *[HEARD] * 5)) == 1
    assert len(told("n1", offers, HEARD, HEARD, announced, HEARD, HEARD, HEARD)) == 2


def test_a_speaker_looks_while_an_advertisement_names_interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells soon after the offer, and not at all when it leaves."""
    found: list[str] = []
    link = Link(name="eth0", index=1, mac=bytes(6), subnets=(ipaddress.ip_network("10.0.0.0/24"),))

    async def follow() -> None:
        async with cable(monkeypatch) as made:
            keyring = Keyring()
            keyring.update(b"sixteen bytes or more", b"", 0)
            config = loop.Config(
                node="n1", keyring=keyring, interval=0.05, misses=3, on_acquired=found.append,
                on_conflict=lambda *_: None, on_unannounced=lambda service, _: found.append(service),
            )  # fmt: skip
            speaker = loop.Speaker(config)
            speaker.use_links({"eth0": link})
            assert made.wires
            speaker.set_desired({IP: offer("eth9", nodes=["n1"])})
            await until(lambda: found == ["ns/a"])
            await speaker.leave()

    asyncio.run(follow())

    assert found == ["ns/a"]
