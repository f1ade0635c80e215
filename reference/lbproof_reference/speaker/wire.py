"""Sockets of one interface, for ARP, neighbour discovery and heartbeats.

`AF_PACKET` sockets bypass the node's firewall and need no address on the interface: packet(7).
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from typing import TYPE_CHECKING

import structlog

from lbproof_reference.frames import BROADCAST, ETH_P_ARP, ETH_P_HEARTBEAT, ETH_P_IPV6, ETHERNET, solicited_node
from lbproof_reference.speaker.filter import arp_filter, heartbeat_filter, ndp_filter
from lbproof_reference.speaker.heartbeat import MAGIC, key_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from lbproof_reference.speaker.filter import Step
    from lbproof_reference.speaker.links import Link

_SO_ATTACH_FILTER, _SO_TIMESTAMPNS = 26, 35  # asm-generic/socket.h
_FOR_OTHERS = 3  # PACKET_OTHERHOST of linux/if_packet.h
_BUFFER_BYTES = 1 << 20
_TIMESPEC = struct.Struct("ll")
_GROUP = struct.Struct("=16si")  # struct ipv6_mreq: group and interface
_GROUPS_AT_ONCE = 128
"""Groups of one socket: the kernel charges each to its option memory (net.core.optmem_max, 20 KiB in older ones)."""

log = structlog.get_logger()


class Wire:
    """Packet sockets of one interface; `lost` stays True after the interface went down."""

    def __init__(self, link: Link) -> None:
        """Open the sockets; nothing is received before `accept_requests_for` and `accept_heartbeats_of`."""
        self._mac = link.mac
        self.lost = False
        self.groups = Groups(link.index)
        self.arp = _packet_socket(link.name, ETH_P_ARP, arp_filter(()))
        self.ndp = _packet_socket(link.name, ETH_P_IPV6, ndp_filter(()))
        self.heartbeat = _packet_socket(link.name, ETH_P_HEARTBEAT, heartbeat_filter(MAGIC, ()))
        self.heartbeat.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._keys: Sequence[bytes] = ()

    def accept_requests_for(self, addresses: Collection[bytes]) -> None:
        """Receive requests for these addresses, and maybe for some in between; queued ones passed an earlier filter."""
        _attach(self.arp, arp_filter([address for address in addresses if len(address) == 4]))  # noqa: PLR2004 - bytes
        _attach(self.ndp, ndp_filter([address for address in addresses if len(address) != 4]))  # noqa: PLR2004 - bytes

    def accept_heartbeats_of(self, keys: Sequence[bytes]) -> None:
        """Receive heartbeats with the ID of one of these keys."""
        if keys != self._keys:
            self._keys = keys
            _attach(self.heartbeat, heartbeat_filter(MAGIC, map(key_id, keys)))

    def heartbeats(self) -> Iterator[tuple[bytes, float]]:
        """Yield queued heartbeats, and for how long (s, by the clock of the day) each has been in the queue."""
        for frame, options in self._received(self.heartbeat, 256):
            seconds, nanoseconds = _TIMESPEC.unpack(options[0][2]) if options else (0, 0)
            yield frame, time.time() - seconds - nanoseconds / 1e9

    def requests(self, limit: int = 256) -> Iterator[bytes]:
        """Yield the queued ARP frames (at most `limit`)."""
        return (frame for frame, _ in self._received(self.arp, limit))

    def solicitations(self, limit: int = 256) -> Iterator[bytes]:
        """Yield the queued frames of neighbour discovery (at most `limit`)."""
        return (frame for frame, _ in self._received(self.ndp, limit))

    def _received(self, sock: socket.socket, limit: int) -> Iterator[tuple[bytes, list[tuple[int, int, bytes]]]]:
        """Yield the queued frames that are not addressed to another host, with their ancillary data."""
        for _ in range(limit):
            try:
                frame, options, _, (_, _, kind, *_) = sock.recvmsg(2048, 64)
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("link down", error=repr(error))
                self.lost = True
                return
            if kind != _FOR_OTHERS:
                yield frame, options

    def send_heartbeat(self, payload: bytes) -> None:
        """Broadcast one heartbeat."""
        self._send(self.heartbeat, ETHERNET.pack(BROADCAST, self._mac, ETH_P_HEARTBEAT) + payload)

    def send(self, frame: bytes) -> None:
        """Send one frame of ARP or neighbour discovery; it is lost if the queue is full."""
        *_, ethertype = ETHERNET.unpack_from(frame)
        self._send(self.arp if ethertype == ETH_P_ARP else self.ndp, frame)

    def close(self) -> None:
        """Close the sockets."""
        self.groups.close()
        for sock in (self.arp, self.ndp, self.heartbeat):
            sock.close()

    def _send(self, sock: socket.socket, frame: bytes) -> None:
        try:
            sock.send(frame)
        except OSError as error:  # a full queue drains; a lost link is detected when receiving
            log.debug("frame lost", error=repr(error))


class Groups:
    """Solicited-node multicast groups of an interface, joined for the IPv6 addresses that are answered.

    A host joins those of its addresses (RFC 4291 section 2.8), and the kernel reports each by MLD (RFC 3810): a switch
    that snoops sends solicitations for the others elsewhere, and an interface does not receive them.
    """

    def __init__(self, index: int) -> None:
        """Start without groups."""
        self.index = index
        self._users: dict[bytes, set[bytes]] = {}  # addresses by group
        self.joined: dict[bytes, socket.socket] = {}
        self._free: list[socket.socket] = []  # each so often as it can join groups
        self._sockets: list[socket.socket] = []

    def join(self, addresses: Iterable[bytes]) -> None:
        """Join the groups of the IPv6 addresses among these."""
        for address in addresses:
            if len(address) == 16:  # noqa: PLR2004 - bytes of an IPv6 address
                group = solicited_node(address)
                self._users.setdefault(group, set()).add(address)
                if group not in self.joined:
                    self._join(group)

    def leave(self, addresses: Iterable[bytes]) -> None:
        """Leave the groups of these addresses that no other one needs."""
        for address in addresses:
            users = self._users.get(group := solicited_node(address), set())
            users.discard(address)
            if not users and self._users.pop(group, None) is not None and (sock := self.joined.pop(group, None)):
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, _GROUP.pack(group, self.index))
                self._free.append(sock)

    def close(self) -> None:
        """Leave all groups."""
        for sock in self._sockets:
            sock.close()

    def _join(self, group: bytes) -> None:
        try:
            if not self._free:
                self._sockets.append(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
                self._free += self._sockets[-1:] * _GROUPS_AT_ONCE
            self._free[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, _GROUP.pack(group, self.index))
        except OSError as error:  # an interface without IPv6: tried again with the next address of the group
            log.warning("multicast group not joined", group=socket.inet_ntop(socket.AF_INET6, group), error=repr(error))
        else:
            self.joined[group] = self._free.pop()


def _packet_socket(interface: str, ethertype: int, program: Sequence[Step]) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)  # receives nothing until bound
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    _attach(sock, program)
    sock.bind((interface, ethertype))
    return sock


def _attach(sock: socket.socket, program: Sequence[Step]) -> None:
    """Attach a filter to a socket; it replaces the previous one atomically."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    fprog = struct.pack("HL", len(program), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
