"""Heartbeats that nothing depends on are read together, and count from when they arrived."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.reference.cable import cable
from tests.reference.polling import until
from tests.reference.test_recorded_heartbeats import KEY, LINK, MESSAGE, PairedWire

from lbproof_reference.frames import BROADCAST, ETH_P_HEARTBEAT, ETHERNET
from lbproof_reference.speaker import loop
from lbproof_reference.speaker.heartbeat import encode, key_id
from lbproof_reference.speaker.keys import Keyring
from lbproof_reference.speaker.links import Link
from lbproof_reference.speaker.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof_reference.speaker.heartbeat import Heartbeat

ADDRESS = socket.inet_aton("10.0.0.9")
INTERVAL = 0.05


def test_at_rest_heartbeats_are_read_as_often_as_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four speakers at rest read their sockets once a heartbeat of their own, and not once a heartbeat of a peer."""

    async def rest() -> None:
        async with cable(monkeypatch, "n1", "n2", "n3", "n4") as made:
            made.offer(ADDRESS)
            await made.owner(ADDRESS)
            await until(lambda: all(one.segment.is_calm(time.monotonic()) for one in made.speakers.values()))
            await made.beats(5)  # that of the announcement is sent several times
            before = [wire.reads - wire.beats for wire in made.wires]
            await made.beats(10)
            assert all(wire.reads - wire.beats <= was + 3 for wire, was in zip(made.wires, before, strict=True))

    asyncio.run(rest())


def test_what_concerns_an_address_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a speaker waits for others, each heartbeat is read when it arrives."""

    async def lose() -> None:
        async with cable(monkeypatch, "n1", "n2", "n3") as made:
            made.offer(ADDRESS)
            owner = await made.owner(ADDRESS)
            other = next(name for name in made.speakers if name != owner)
            made.speakers[owner].leave()
            await until(lambda: made.owners(ADDRESS) not in ([], [owner]))
            assert not made.speakers[other].segment.is_calm(time.monotonic())

    asyncio.run(lose())


class OldWire(PairedWire):
    """A wire whose frames have been in the queue for a time by a clock of the day that was set meanwhile."""

    age = 0.0
    made: OldWire

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        OldWire.made = self

    def heartbeats(self) -> Iterator[tuple[bytes, float]]:
        """Yield the queued heartbeats."""
        return ((frame, self.age) for frame, _ in super().heartbeats())


@pytest.mark.parametrize(("age", "counted"), [(0.03, 0.03), (1e9, INTERVAL), (-1e9, 0.0)])
def test_a_clock_that_is_set_moves_no_arrival_by_more_than_a_heartbeat(
    monkeypatch: pytest.MonkeyPatch, age: float, counted: float
) -> None:
    """A peer lives from the arrival of its last message, which is between one own heartbeat and now."""
    monkeypatch.setattr(OldWire, "age", age)
    monkeypatch.setattr(loop, "Wire", OldWire)
    keyring = Keyring()
    keyring.update(KEY, b"", 0)
    arrived: list[tuple[float, float]] = []

    async def hear() -> None:
        config = loop.Config(
            node="n1", keyring=keyring, interval=INTERVAL, misses=3, on_acquired=lambda _: None,
            on_conflict=lambda *_: None,
        )  # fmt: skip
        speaker = loop.SegmentSpeaker(config, LINK, lambda: None)
        receive = speaker.segment.receive

        def note(heartbeat: Heartbeat, frame: bytes, now: float) -> bool:
            arrived.append((now, time.monotonic()))
            return receive(heartbeat, frame, now)

        monkeypatch.setattr(speaker.segment, "receive", note)
        frame = ETHERNET.pack(BROADCAST, bytes(6), ETH_P_HEARTBEAT) + encode(MESSAGE, [KEY])
        began = time.monotonic()
        OldWire.made.segment.send(frame)
        await until(lambda: bool(arrived))
        speaker.close()
        now, ended = arrived[0]
        assert began - counted <= now <= ended - counted

    asyncio.run(hear())


def test_the_kernel_says_for_how_long_it_kept_a_heartbeat() -> None:
    """A heartbeat that is read later is so much older."""
    link = Link(name="lo", index=1, mac=bytes(6), subnets=())
    frame = ETHERNET.pack(BROADCAST, bytes(6), ETH_P_HEARTBEAT) + encode(MESSAGE, [KEY])
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender, closing(Wire(link)) as wire:
        sender.bind(("lo", ETH_P_HEARTBEAT))
        wire.accept_heartbeats_of([KEY])
        before = time.monotonic()
        sender.send(frame)
        after = time.monotonic()
        while time.monotonic() < after + 0.1:
            pass
        [(found, age), *_] = list(wire.heartbeats())
        read = time.monotonic()

    assert found == frame
    assert 0.1 <= age <= read - before
    assert key_id(KEY) in frame
