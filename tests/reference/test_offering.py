"""Offers of many addresses to many links: in batches, so that heartbeats are in time."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING

from lbproof_reference.speaker import loop
from lbproof_reference.speaker.keys import Keyring
from lbproof_reference.speaker.links import Link
from lbproof_reference.speaker.plan import Allowed, Offer

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

ADDRESSES = [bytes([10, 0, number >> 8, number & 255]) for number in range(1000)]
OFFER = Offer(service="ns/a", allowed=(Allowed(nodes=frozenset({"n1"})),))


class FakeSegmentSpeaker:
    """Records what it is offered."""

    is_open = True

    def __init__(self, link: Link, *_: object, **__: object) -> None:
        """Speak on a link."""
        self.link = link
        self.offered: dict[bytes, Offer | None] = {}
        self.sizes: list[int] = []

    def set_link(self, link: Link) -> None:
        """Take the link as it is now."""
        self.link = link

    def set_desired(self, changes: Mapping[bytes, Offer | None]) -> None:
        """Record an offer."""
        self.offered |= changes
        self.sizes.append(len(changes))


def link(number: int) -> Link:
    """Return a link with a subnet of its own, the first that of the addresses."""
    return Link(
        name=f"eth{number}",
        index=number + 2,
        mac=bytes(6),
        subnets=(ipaddress.IPv4Network(f"10.{number}.0.0/16"),),
        own=frozenset(),
    )


def test_other_work_is_done_between_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses, and a new link, are offered 64 at a time, and each link ends with what it should have."""
    opened = list[FakeSegmentSpeaker]()

    def opening(of: Link, *_: object, **__: object) -> FakeSegmentSpeaker:
        opened.append(FakeSegmentSpeaker(of))
        return opened[-1]

    monkeypatch.setattr(loop, "SegmentSpeaker", opening)

    async def offer() -> None:
        speaker = loop.Speaker(
            node="n1",
            keyring=Keyring(),
            interval=0.05,
            misses=3,
            on_acquired=lambda _: None,
            on_conflict=lambda *_: None,
        )
        speaker.use_links({"eth0": link(0)})
        speaker.set_desired(dict.fromkeys(ADDRESSES, OFFER))
        speaker.set_desired({ADDRESSES[-1]: None})
        await until_offered(len(ADDRESSES), opened[0])
        speaker.use_links({"eth0": link(0), "eth1": link(1)})
        await until_offered(len(ADDRESSES) - 1, opened[1])

    asyncio.run(offer())

    assert max(size for one in opened for size in one.sizes) <= 64
    assert opened[0].offered == dict.fromkeys(ADDRESSES[:-1], OFFER) | {ADDRESSES[-1]: None}
    assert opened[1].offered == dict.fromkeys(ADDRESSES[:-1])


async def until_offered(addresses: int, one: FakeSegmentSpeaker) -> None:
    """Let the event loop run until so many addresses are offered."""
    for _ in range(100):
        if len(one.offered) == addresses:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{len(one.offered)} of {addresses} offered")
