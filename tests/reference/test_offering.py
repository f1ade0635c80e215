"""Which links are opened, and which addresses are offered to each of them."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.reference.cable import cable

from lbproof_reference.options import speaker_options
from lbproof_reference.speaker import loop
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.keys import Keyring
from lbproof_reference.speaker.links import Link
from lbproof_reference.speaker.plan import Allowed, Offer

if TYPE_CHECKING:
    from collections.abc import Mapping

ADDRESSES = [bytes([10, 0, number >> 8, number & 255]) for number in range(1000)]
OFFER = Offer(service="ns/a", allowed=(Allowed(nodes=frozenset({"n1"})),))
CONFIG = loop.Config(
    node="n1",
    keyring=Keyring(),
    interval=0.05,
    misses=3,
    on_acquired=lambda _: None,
    on_conflict=lambda *_: None,
)


class FakeSegmentSpeaker:
    """Records what it is offered; the sockets of an interface in `failing` cannot be opened so many times."""

    is_open = True
    failing: dict[str, int] = {}  # noqa: RUF012 - replaced by each test
    opened: dict[str, FakeSegmentSpeaker] = {}  # noqa: RUF012 - likewise

    def __init__(self, _config: loop.Config, link: Link, _lost: object) -> None:
        """Speak on a link. Raises OSError."""
        if self.failing.get(link.name):
            self.failing[link.name] -= 1
            raise OSError(12, "Cannot allocate memory")
        self.link = link
        self.offered: dict[bytes, Offer | None] = {}
        self.others: list[str] = []
        self.opened[link.name] = self

    def close(self) -> None:
        """Do nothing: there are no sockets."""

    def set_link(self, link: Link) -> None:
        """Take the link as it is now."""
        self.link = link

    def set_other_links(self, links: list[Link]) -> None:
        """Record the other links of the node."""
        self.others = sorted(one.name for one in links)

    def set_desired(self, changes: Mapping[bytes, Offer | None]) -> None:
        """Record an offer."""
        self.offered |= changes


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeSegmentSpeaker]:
    """Speakers of the links that are open, by name."""
    monkeypatch.setattr(FakeSegmentSpeaker, "failing", {})
    monkeypatch.setattr(FakeSegmentSpeaker, "opened", {})
    monkeypatch.setattr(loop, "SegmentSpeaker", FakeSegmentSpeaker)
    return FakeSegmentSpeaker.opened


def link(number: int) -> Link:
    """Return a link with a subnet of its own, the first that of the addresses."""
    return Link(
        name=f"eth{number}",
        index=number + 2,
        mac=bytes(6),
        subnets=(ipaddress.IPv4Network(f"10.{number}.0.0/16"),),
        own=frozenset(),
    )


def test_each_link_is_offered_what_it_should_have(opened: dict[str, FakeSegmentSpeaker]) -> None:
    """A link is offered the addresses of its subnet, also one that appears later: 64 at a time."""

    async def follow() -> None:
        speaker = loop.Speaker(CONFIG)
        speaker.use_links({"eth0": link(0)})
        speaker.set_desired(dict.fromkeys(ADDRESSES, OFFER))
        speaker.set_desired({ADDRESSES[-1]: None})
        speaker.use_links({"eth0": link(0), "eth1": link(1)})
        assert 0 < len(opened["eth1"].offered) <= 64  # heartbeats are sent between the batches
        async with asyncio.timeout(10):
            while len(opened["eth1"].offered) < len(ADDRESSES) - 1:  # noqa: ASYNC110 - depends on the event loop
                await asyncio.sleep(0)

    asyncio.run(follow())

    assert opened["eth0"].offered == dict.fromkeys(ADDRESSES[:-1], OFFER) | {ADDRESSES[-1]: None}
    assert opened["eth1"].offered == dict.fromkeys(ADDRESSES[:-1])


def test_a_link_that_cannot_be_opened_is_tried_again(
    opened: dict[str, FakeSegmentSpeaker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets that fail (ENOMEM, EMFILE) are opened later, without an event of the kernel."""
    monkeypatch.setattr(loop, "AGAIN_SECONDS", 0.001)
    FakeSegmentSpeaker.failing["eth0"] = 3

    async def follow() -> None:
        speaker = loop.Speaker(CONFIG)
        speaker.use_links({"eth0": link(0)})
        speaker.set_desired({ADDRESSES[0]: OFFER})
        assert not opened
        async with asyncio.timeout(10):
            while not opened:  # noqa: ASYNC110 - depends on a timer of the speaker
                await asyncio.sleep(0)

    asyncio.run(follow())

    assert opened["eth0"].offered == {ADDRESSES[0]: OFFER}


def test_each_link_knows_the_others(opened: dict[str, FakeSegmentSpeaker]) -> None:
    """What the other links of the node reach is said on each, also of one that appears later, and of one that goes."""
    speaker = loop.Speaker(CONFIG)
    speaker.use_links({"eth0": link(0)})
    assert opened["eth0"].others == []
    speaker.use_links({"eth0": link(0), "eth1": link(1)})
    assert (opened["eth0"].others, opened["eth1"].others) == (["eth1"], ["eth0"])

    speaker.use_links({"eth1": link(1)})

    assert opened["eth1"].others == []


def test_peers_are_told_what_the_other_links_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next heartbeats of a station name the subnets of other links of its node, apart from its own."""

    async def follow() -> tuple[object, object]:
        async with cable(monkeypatch, "n1", "n2") as made:
            made.speakers["n1"].set_other_links([link(1)])
            await made.beats(2)
            peer = made.speakers["n2"].segment.peers.live[Station("n1", "eth0")]
            return peer.subnets, peer.elsewhere

    own, others = asyncio.run(follow())

    assert own == ((bytes([10, 0, 0, 0]), 24), (bytes([0xFD, 0, 0, 10, *bytes(12)]), 64))
    assert others == ((bytes([10, 1, 0, 0]), 16),)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], ["cni0", "eth0", "eth1"]),
        (["--interface=eth0"], ["eth0"]),
        (["--interface=eth*", "--interface=bond0"], ["eth0", "eth1"]),
    ],
)
def test_only_named_interfaces_are_used(
    opened: dict[str, FakeSegmentSpeaker], options: list[str], names: list[str]
) -> None:
    """With `--interface` no socket is opened on others, whose addresses are still the node's own."""
    patterns = speaker_options(["--node=n1", *options]).interface
    speaker = loop.Speaker(replace(CONFIG, interfaces=patterns))
    bridge = replace(link(2), name="cni0", own=frozenset(ADDRESSES[:1]))
    speaker.use_links({"cni0": bridge, "eth0": link(0), "eth1": link(1)})
    speaker.set_desired(dict.fromkeys(ADDRESSES[:2], OFFER))

    assert sorted(opened) == names
    assert opened["eth0"].offered == {ADDRESSES[0]: None, ADDRESSES[1]: OFFER}
