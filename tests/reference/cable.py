"""Segment in this process: speakers joined by datagram sockets, and a client that asks as hosts do."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from tests.reference.polling import until

from lbproof_reference import frames
from lbproof_reference.frames import BROADCAST, ETH_P_HEARTBEAT, ETHERNET, REQUEST, ArpFrame
from lbproof_reference.speaker import loop
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.keys import Keyring
from lbproof_reference.speaker.links import Link
from lbproof_reference.speaker.plan import Allowed, Offer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Iterator

    import pytest

CLIENT, CLIENT_ADDRESS = bytes.fromhex("0200000000fe"), bytes([10, 0, 0, 254])
CLIENT_6 = "fd00:a::fe"


def mac_of(node: str) -> bytes:
    """Return the MAC address of node `n1`, `n2`, ..."""
    return bytes([2, 0, 0, 0, 0, int(node[1:])])


def queued(sock: socket.socket, limit: int) -> Iterator[bytes]:
    """Yield the frames in the queue of a socket, at most `limit`."""
    for _ in range(limit):
        try:
            yield sock.recv(2048)
        except BlockingIOError:
            return


class RecordedGroups(set[bytes]):
    """Stands for `Groups`: the addresses whose groups are joined."""

    def join(self, addresses: Iterable[bytes]) -> None:
        """Add addresses."""
        self.update(addresses)

    def leave(self, addresses: Iterable[bytes]) -> None:
        """Remove addresses."""
        self.difference_update(addresses)


class CableWire:
    """Stands for `Wire`: frames go to the other speakers of the cable, and those of ARP and NDP are recorded."""

    lost = False

    def __init__(self, cable: Cable, link: Link) -> None:
        self.link, self._cable = link, cable
        self.groups = RecordedGroups()
        self.arp, self.arp_end = _pair()
        self.ndp, self.ndp_end = _pair()
        self.heartbeat, self.heartbeat_end = _pair()
        self.reads = self.beats = 0
        """How often heartbeats were read, and sent."""

    def accept_requests_for(self, _: Collection[bytes]) -> None:
        """Receive everything anyway."""

    def accept_heartbeats_of(self, _: object) -> None:
        """Receive everything anyway."""

    def requests(self, limit: int = 256) -> Iterator[bytes]:
        """Yield the queued ARP frames."""
        return queued(self.arp, limit)

    def solicitations(self, limit: int = 256) -> Iterator[bytes]:
        """Yield the queued frames of neighbour discovery."""
        return queued(self.ndp, limit)

    def heartbeats(self) -> Iterator[tuple[bytes, float]]:
        """Yield the queued heartbeats, as if they had just arrived."""
        self.reads += 1
        return ((frame, 0.0) for frame in queued(self.heartbeat, 256))

    def send_heartbeat(self, payload: bytes) -> None:
        """Broadcast one heartbeat."""
        self.beats += 1
        for wire in self._cable.wires:
            if wire is not self:
                _send(wire.heartbeat_end, ETHERNET.pack(BROADCAST, self.link.mac, ETH_P_HEARTBEAT) + payload)

    def send(self, frame: bytes) -> None:
        """Record one frame of ARP or neighbour discovery."""
        self._cable.sent.append((f"n{self.link.mac[-1]}", frame))

    def close(self) -> None:
        """Close the sockets."""
        self._cable.wires.remove(self)
        for sock in (self.arp, self.arp_end, self.ndp, self.ndp_end, self.heartbeat, self.heartbeat_end):
            sock.close()


class Cable:
    """Speakers of nodes n1, n2, ... that hear each other."""

    def __init__(self) -> None:
        self.wires: list[CableWire] = []
        self.sent: list[tuple[str, bytes]] = []
        """Frames of ARP and neighbour discovery, each with the node that sent it."""
        self.acquired: list[str] = []
        """Services that are told who announces them."""
        self.speakers: dict[str, loop.SegmentSpeaker] = {}

    def start(self, node: str) -> None:
        """Start a speaker."""
        keyring = Keyring()
        keyring.update(b"sixteen bytes or more", b"", time.monotonic())
        config = loop.Config(
            node=node,
            keyring=keyring,
            interval=0.05,
            misses=3,
            on_acquired=self.acquired.append,
            on_conflict=lambda *_: None,
        )
        subnets = (ipaddress.ip_network("10.0.0.0/24"), ipaddress.ip_network("fd00:a::/64"))
        link = Link(name="eth0", index=1, mac=mac_of(node), subnets=subnets)
        self.speakers[node] = loop.SegmentSpeaker(config, link, lambda: None)

    def offer(self, *addresses: bytes, nodes: Collection[str] = ()) -> None:
        """Offer addresses to all speakers; these nodes may announce them (default: all)."""
        offer = Offer(service="ns/a", allowed=(Allowed(nodes=frozenset(nodes or self.speakers)),))
        for speaker in self.speakers.values():
            speaker.set_desired(dict.fromkeys(addresses, offer))

    def withdraw(self, *addresses: bytes) -> None:
        """Remove addresses from all speakers."""
        for speaker in self.speakers.values():
            speaker.set_desired(dict.fromkeys(addresses))

    def owners(self, address: bytes) -> list[str]:
        """Return the nodes that claim an address."""
        return [name for name, one in self.speakers.items() if one.is_open and address in one.segment.claims]

    async def owner(self, address: bytes) -> str:
        """Wait until exactly one node claims an address and all others know it; return it."""
        await until(lambda: len(self.owners(address)) == 1 and self._is_known(address, self.owners(address)[0]))
        return self.owners(address)[0]

    async def beats(self, count: int) -> None:
        """Wait until each speaker has sent so many heartbeats more."""
        enough = [wire.beats + count for wire in self.wires]
        await until(lambda: all(wire.beats >= most for wire, most in zip(self.wires, enough, strict=True)))

    def _is_known(self, address: bytes, owner: str) -> bool:
        station = Station(owner, "eth0")
        peers = [one.segment.peers.live for name, one in self.speakers.items() if name != owner]
        return all(station in live and address in live[station].claims for live in peers)

    async def replies(
        self, address: bytes, *, to: bytes = BROADCAST, mac: bytes = CLIENT, sender: bytes = CLIENT_ADDRESS
    ) -> list[tuple[str, bytes]]:
        """Send one request; return the replies, each with the node that sent it."""
        self.sent.clear()
        request = frames.arp(to=to, op=REQUEST, mac=mac, sender=sender, target_mac=bytes(6), target=address)
        for wire in self.wires:
            if to in (BROADCAST, wire.link.mac) and mac != wire.link.mac:
                _send(wire.arp_end, request)
        await self._turns()
        return [(node, frame) for node, frame in self.sent if frame[:6] == mac]

    async def advertisements(self, message: bytes) -> list[tuple[str, bytes]]:
        """Send one frame of neighbour discovery to all; return the frames that are sent then, each with its node."""
        self.sent.clear()
        for wire in self.wires:
            _send(wire.ndp_end, message)
        await self._turns()
        return list(self.sent)

    async def _turns(self) -> None:
        for _ in range(20):  # turns of the event loop, in which every speaker reads its socket
            await asyncio.sleep(0)

    def gratuitous(self) -> list[tuple[str, ArpFrame]]:
        """Return the broadcast ARP frames that were sent, each with its node."""
        found = [(node, frames.read_arp(frame)) for node, frame in self.sent if frame[:6] == BROADCAST]
        return [(node, arp) for node, arp in found if arp]


@asynccontextmanager
async def cable(monkeypatch: pytest.MonkeyPatch, *nodes: str) -> AsyncIterator[Cable]:
    """Start speakers on a cable, which hear each other before it is used."""
    made = Cable()

    def wire(link: Link) -> Any:  # noqa: ANN401 - stands for Wire
        made.wires.append(CableWire(made, link))
        return made.wires[-1]

    monkeypatch.setattr(loop, "Wire", wire)
    for node in nodes:
        made.start(node)
    await until(lambda: all(len(one.segment.peers.live) == len(nodes) - 1 for one in made.speakers.values()))
    try:
        yield made
    finally:
        for speaker in made.speakers.values():
            speaker.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for sock in pair:
        sock.setblocking(False)
    return pair


def _send(sock: socket.socket, frame: bytes) -> None:
    with suppress(BlockingIOError):  # a full queue, as on a real link
        sock.send(frame)
