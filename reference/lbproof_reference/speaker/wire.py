"""Sockets and links: the only module that accesses the network.

`AF_PACKET` sockets bypass the node's firewall and need no address on the interface: packet(7).
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import ipaddress
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError
from pyroute2.netlink.rtnl import RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK

from lbproof_reference.frames import BROADCAST, ETH_P_ARP, ETH_P_HEARTBEAT, ETHERNET
from lbproof_reference.speaker.filter import MOST_INSTRUCTIONS, arp_filter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from lbproof_reference.speaker.filter import Step

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8
_FOR_OTHERS = 3  # PACKET_OTHERHOST of linux/if_packet.h
_BUFFER_BYTES = 1 << 20
_FEWEST_INSTRUCTIONS = 64
_EVENT_BYTES, _EVENTS_AT_ONCE = 1 << 16, 1000
_FILTER_SHARE = 10
"""Minimum time between two filters, as a multiple of the time to build one."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Interface that is up, has carrier and has a subnet."""

    name: str
    index: int
    mac: bytes
    subnets: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    own: frozenset[bytes] = frozenset()
    """Addresses of the interface (packed)."""

    def is_same(self, other: Link | None) -> bool:
        """Whether sockets that were opened on `other` are still valid."""
        return other is not None and (self.index, self.mac) == (other.index, other.mac)

    def reaches(self, address: bytes) -> bool:
        """Whether the address is in one of the link's subnets."""
        ip = ipaddress.ip_address(address)
        return any(ip in subnet for subnet in self.subnets)


class Wire:
    """ARP and heartbeat sockets of one interface; `lost` stays True after the interface went down."""

    def __init__(self, link: Link) -> None:
        """Open both sockets; no ARP request is received before `accept_requests_for`."""
        self._mac = link.mac
        self.lost = False
        self.arp = _packet_socket(link.name, ETH_P_ARP, arp_filter(()))
        self.heartbeat = _packet_socket(link.name, ETH_P_HEARTBEAT)
        self._addresses: Collection[bytes] = ()
        self._most, self._filter_due = MOST_INSTRUCTIONS, 0.0
        self._timer: asyncio.TimerHandle | None = None

    def accept_requests_for(self, addresses: Collection[bytes]) -> None:
        """Receive requests for these addresses, and possibly for some in between: now, or after a short delay.

        The delay occurs only in bursts of changes, where one filter serves several. Queued frames passed an
        earlier filter.
        """
        self._addresses = addresses
        if time.monotonic() >= self._filter_due:
            self._filter()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._filter_due - time.monotonic(), self._filter)

    def received(self, sock: socket.socket, limit: int = 256) -> Iterator[bytes]:
        """Yield the queued frames (at most `limit`) that are not addressed to another host."""
        for _ in range(limit):
            try:
                frame, (_, _, kind, *_) = sock.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("link down", error=repr(error))
                self.lost = True
                return
            if kind != _FOR_OTHERS:
                yield frame

    def send_heartbeat(self, payload: bytes) -> None:
        """Broadcast one heartbeat."""
        self._send(self.heartbeat, ETHERNET.pack(BROADCAST, self._mac, ETH_P_HEARTBEAT) + payload)

    def send_arp(self, frame: bytes) -> None:
        """Send one ARP frame; it is lost if the queue is full."""
        self._send(self.arp, frame)

    def close(self) -> None:
        """Close both sockets."""
        if self._timer:
            self._timer.cancel()
        self.arp.close()
        self.heartbeat.close()

    def _filter(self) -> None:
        """Attach the filter for the current addresses; a smaller one if the kernel is short of memory for it."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        began = time.monotonic()
        while True:
            try:
                _attach(self.arp, arp_filter(self._addresses, self._most))
                break
            except OSError as error:  # net.core.optmem_max: 20 KiB before Linux 6.7, for the old and the new filter
                if error.errno != errno.ENOMEM or self._most <= _FEWEST_INSTRUCTIONS:
                    raise
                self._most //= 2
        now = time.monotonic()
        self._filter_due = now + _FILTER_SHARE * (now - began)

    def _send(self, sock: socket.socket, frame: bytes) -> None:
        try:
            sock.send(frame)
        except OSError as error:  # a full queue drains; a lost link is detected when receiving
            log.debug("frame lost", error=repr(error))


def _packet_socket(interface: str, ethertype: int, program: Sequence[Step] = ()) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)  # receives nothing until bound
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    if program:
        _attach(sock, program)
    sock.bind((interface, ethertype))
    return sock


def _attach(sock: socket.socket, program: Sequence[Step]) -> None:
    """Attach a filter to a socket; it replaces the previous one atomically."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    fprog = struct.pack("HL", len(program), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)


def read_links(netlink: Any) -> dict[str, Link]:  # noqa: ANN401 - pyroute2 has no types
    """Return the links that can carry addresses, by name; a pod's veth has no subnet and is excluded."""
    subnets: dict[int, list[ipaddress.IPv4Network | ipaddress.IPv6Network]] = {}
    own: dict[int, set[bytes]] = {}
    for message in netlink.get_addr():
        text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        interface = ipaddress.ip_interface(f"{text}/{message['prefixlen']}")
        subnet = interface.network
        if subnet.prefixlen < subnet.max_prefixlen:
            subnets.setdefault(message["index"], []).append(subnet)
            own.setdefault(message["index"], set()).add(interface.ip.packed)
    found: dict[str, Link] = {}
    for message in netlink.get_links():
        flags, mac = message["flags"], message.get_attr("IFLA_ADDRESS")
        usable = flags & _IFF_UP and not flags & _IFF_LOOPBACK and message.get_attr("IFLA_CARRIER") and mac
        if usable and (inside := subnets.get(message["index"])):
            name = message.get_attr("IFLA_IFNAME")
            found[name] = Link(
                name=name,
                index=message["index"],
                mac=bytes.fromhex(mac.replace(":", "")),
                subnets=tuple(inside),
                own=frozenset(own[message["index"]]),
            )
    return found


def watch_links(changed: Callable[[dict[str, Link]], object], failed: Callable[[Exception], object]) -> None:
    """Call `changed` now and after each netlink event, in a separate thread; `failed` if that thread ends."""

    def watch() -> None:
        try:
            _watch_links(changed)
        except Exception as error:  # noqa: BLE001 - any error ends the watch
            failed(error)

    threading.Thread(target=watch, name="links", daemon=True).start()


def _watch_links(changed: Callable[[dict[str, Link]], object]) -> None:
    """Read all links after each event, and after events that the kernel dropped."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
        events.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
        while True:
            if (links := _read_whole()) is not None:
                changed(links)
                _wait(events)


def _read_whole() -> dict[str, Link] | None:
    """Return all links; None if they changed during the read or a part of the response was dropped."""
    netlink: Any = IPRoute
    try:
        with netlink() as reader:  # a reader that lost a response cannot be reused
            return read_links(reader)
    except NetlinkDumpInterrupted:
        return None
    except (NetlinkError, OSError) as error:
        if (error.code if isinstance(error, NetlinkError) else error.errno) != errno.ENOBUFS:
            raise
        log.warning("part of the links response dropped", error="ENOBUFS")
        return None


def _wait(events: socket.socket) -> None:
    """Wait for an event and drain the queue; the content of events is not used."""
    flags = 0
    for _ in range(_EVENTS_AT_ONCE):
        try:
            events.recv(_EVENT_BYTES, flags)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # the socket buffer overflowed: netlink(7)
                raise
            log.warning("links events dropped", error="ENOBUFS")
        flags = socket.MSG_DONTWAIT
