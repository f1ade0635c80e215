"""Sockets of one interface, for ARP frames and heartbeats.

`AF_PACKET` sockets bypass the node's firewall and need no address on the interface: packet(7).
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from typing import TYPE_CHECKING

import structlog

from lbproof_reference.frames import BROADCAST, ETH_P_ARP, ETH_P_HEARTBEAT, ETHERNET
from lbproof_reference.speaker.filter import arp_filter, heartbeat_filter
from lbproof_reference.speaker.heartbeat import MAGIC, key_id

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from lbproof_reference.speaker.filter import Step
    from lbproof_reference.speaker.links import Link

_SO_ATTACH_FILTER, _SO_TIMESTAMPNS = 26, 35  # asm-generic/socket.h
_FOR_OTHERS = 3  # PACKET_OTHERHOST of linux/if_packet.h
_BUFFER_BYTES = 1 << 20
_TIMESPEC = struct.Struct("ll")

log = structlog.get_logger()


class Wire:
    """ARP and heartbeat sockets of one interface; `lost` stays True after the interface went down."""

    def __init__(self, link: Link) -> None:
        """Open both sockets; nothing is received before `accept_requests_for` and `accept_heartbeats_of`."""
        self._mac = link.mac
        self.lost = False
        self.arp = _packet_socket(link.name, ETH_P_ARP, arp_filter(()))
        self.heartbeat = _packet_socket(link.name, ETH_P_HEARTBEAT, heartbeat_filter(MAGIC, ()))
        self.heartbeat.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._keys: Sequence[bytes] = ()

    def accept_requests_for(self, addresses: Collection[bytes]) -> None:
        """Receive requests for these addresses, and maybe for some in between; queued ones passed an earlier filter."""
        _attach(self.arp, arp_filter(addresses))

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

    def send_arp(self, frame: bytes) -> None:
        """Send one ARP frame; it is lost if the queue is full."""
        self._send(self.arp, frame)

    def close(self) -> None:
        """Close both sockets."""
        self.arp.close()
        self.heartbeat.close()

    def _send(self, sock: socket.socket, frame: bytes) -> None:
        try:
            sock.send(frame)
        except OSError as error:  # a full queue drains; a lost link is detected when receiving
            log.debug("frame lost", error=repr(error))


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
