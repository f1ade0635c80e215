"""Heartbeats that were recorded and are sent again, at the socket of one speaker."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING

from tests.reference.cable import RecordedGroups, queued

from lbproof_reference.frames import BROADCAST, ETH_P_HEARTBEAT, ETHERNET
from lbproof_reference.speaker import loop
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.heartbeat import Heartbeat, decode, encode
from lbproof_reference.speaker.keys import Keyring
from lbproof_reference.speaker.links import Link

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import pytest

KEY = bytes(16)
LINK = Link(name="eth0", index=2, mac=bytes(6), subnets=(ipaddress.IPv4Network("10.0.0.0/16"),))
MESSAGE = Heartbeat(
    station=Station("n2", "eth0"), mac=bytes(6), session=2, sequence=1, dead_interval_ms=150, heard={}, subnets=(),
    chunk=0, claims={},
)  # fmt: skip


class PairedWire:
    """The wire of a link as the speaker sees it, without a link: frames are what the test sends to `segment`."""

    lost = False

    def __init__(self, _: Link) -> None:
        """Open pairs of sockets."""
        self.groups = RecordedGroups()
        self.heartbeat, self.segment = socket.socketpair(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.arp, self._other = socket.socketpair(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.ndp, self._third = socket.socketpair(type=socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def accept_heartbeats_of(self, keys: Sequence[bytes]) -> None:
        """Receive all heartbeats."""

    def accept_requests_for(self, addresses: Collection[bytes]) -> None:
        """Receive all requests."""

    def requests(self, limit: int = 256) -> Iterator[bytes]:
        """Yield the queued ARP frames, at most `limit`."""
        return queued(self.arp, limit)

    def solicitations(self, limit: int = 256) -> Iterator[bytes]:
        """Yield the queued frames of neighbour discovery, at most `limit`."""
        return queued(self.ndp, limit)

    def heartbeats(self) -> Iterator[tuple[bytes, float]]:
        """Yield the queued heartbeats, as if they had just arrived."""
        return ((frame, 0.0) for frame in queued(self.heartbeat, 256))

    def send_heartbeat(self, payload: bytes) -> None:
        """Send nothing."""

    def close(self) -> None:
        """Close all sockets."""
        for sock in (self.heartbeat, self.segment, self.arp, self._other, self.ndp, self._third):
            sock.close()


def test_a_heartbeat_that_was_received_before_is_not_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a recorded heartbeat is repeated, its signature is computed once."""
    verified: list[int] = []
    wires: list[PairedWire] = []
    keyring = Keyring()
    keyring.update(KEY, b"", 0)

    def opened(link: Link) -> PairedWire:
        wires.append(PairedWire(link))
        return wires[-1]

    def verify(data: bytes, keys: Sequence[bytes]) -> Heartbeat:
        heartbeat = decode(data, keys)
        verified.append(heartbeat.sequence)
        return heartbeat

    monkeypatch.setattr(loop, "Wire", opened)
    monkeypatch.setattr(loop, "decode", verify)

    async def repeat() -> None:
        config = loop.Config(
            node="n1", keyring=keyring, interval=0.05, misses=3, on_acquired=lambda _: None, on_conflict=lambda *_: None
        )
        speaker = loop.SegmentSpeaker(config, LINK, lambda: None)
        for sequence in (1, 1, 1, 2, 1, 2, 3):
            data = encode(MESSAGE._replace(sequence=sequence), [KEY])
            wires[0].segment.send(ETHERNET.pack(BROADCAST, bytes(6), ETH_P_HEARTBEAT) + data)
        async with asyncio.timeout(10):
            while 3 not in verified:  # noqa: ASYNC110 - depends on the event loop
                await asyncio.sleep(0)
        speaker.close()

    asyncio.run(repeat())

    assert verified == [1, 2, 3]
