"""What one speaker does at its sockets when many addresses come at once, and after it was suspended."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.reference.test_recorded_heartbeats import KEY, LINK, PairedWire

from lbproof_reference.frames import read_arp
from lbproof_reference.speaker import loop
from lbproof_reference.speaker.keys import Keyring
from lbproof_reference.speaker.plan import Allowed, Offer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    import pytest

    from lbproof_reference.speaker.links import Link

OFFER = Offer(service="ns/a", allowed=(Allowed(nodes=frozenset({"n1"})),))
ADDRESSES = [bytes([10, 0, number >> 8, number & 255]) for number in range(1000)]
DEAD_INTERVAL = 0.15


class RecordingWire(PairedWire):
    """Records filters, and announced addresses: each with whether it was answered, and its requests received."""

    wires: list[RecordingWire] = []  # noqa: RUF012 - emptied by each test

    def __init__(self, link: Link) -> None:
        """Start without records."""
        super().__init__(link)
        self.filters: list[set[bytes]] = []
        self.announced: list[tuple[bytes, bool, bool]] = []
        self.answers: Callable[[bytes, float], bool] = lambda _address, _now: True
        self.wires.append(self)

    def accept_requests_for(self, addresses: Collection[bytes]) -> None:
        """Record a filter."""
        self.filters.append(set(addresses))

    def send(self, frame: bytes) -> None:
        """Record an announcement."""
        arp = read_arp(frame)
        assert arp
        answers = self.answers(arp.sender, time.monotonic())
        self.announced.append((arp.sender, answers, arp.sender in self.filters[-1]))


@contextmanager
def speaking(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[loop.SegmentSpeaker, RecordingWire]]:
    """Run one speaker without peers."""
    RecordingWire.wires.clear()
    monkeypatch.setattr(loop, "Wire", RecordingWire)
    keyring = Keyring()
    keyring.update(KEY, b"", 0)
    config = loop.Config(
        node="n1", keyring=keyring, interval=DEAD_INTERVAL / 3, misses=3, on_acquired=lambda _: None,
        on_conflict=lambda *_: None,
    )  # fmt: skip
    speaker = loop.SegmentSpeaker(config, LINK, lambda: None)
    wire = RecordingWire.wires[0]
    wire.answers = speaker.segment.answers
    yield speaker, wire
    speaker.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - depends on the event loop
            await asyncio.sleep(0)


def test_a_burst_of_addresses_builds_few_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand addresses none is announced before its requests are received; the filter is built a few times."""

    async def follow() -> None:
        with speaking(monkeypatch) as (speaker, wire):
            await until(lambda: bool(wire.filters) or speaker.segment.is_settled(time.monotonic()))
            speaker.set_desired(dict.fromkeys(ADDRESSES, OFFER))
            await until(lambda: len(speaker.segment.claims) == len(ADDRESSES) and wire.filters[-1] == set(ADDRESSES))
            assert len(wire.filters) < 5
            assert all(received for _, _, received in wire.announced)
            speaker.set_desired(dict.fromkeys(ADDRESSES[1:]))
            await until(lambda: wire.filters[-1] == {ADDRESSES[0]})
            assert len(wire.filters) < 8

    asyncio.run(follow())


def test_a_suspended_speaker_announces_nothing_that_it_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a suspension that other stations took for its death, no announcement that was due meanwhile is sent."""

    async def follow() -> None:
        with speaking(monkeypatch) as (speaker, wire):
            speaker.set_desired({ADDRESSES[0]: OFFER})
            await until(lambda: bool(wire.announced))
            time.sleep(loop.ANNOUNCE_SECONDS[1] + DEAD_INTERVAL)  # noqa: ASYNC251 - the process is suspended
            await until(lambda: not speaker.segment.answers(ADDRESSES[0], time.monotonic()))
            await until(lambda: speaker.segment.answers(ADDRESSES[0], time.monotonic()))
            assert all(answers for _, answers, _ in wire.announced)

    asyncio.run(follow())
