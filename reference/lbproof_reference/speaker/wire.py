"""Sockets and links: the only module that touches the network.

`AF_PACKET`, so that no firewall of the node stands between speakers and no address is needed on it: packet(7).
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
"""A filter that took a millisecond to make is not made anew within the ten that follow."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface that is up, has carrier and lies on a subnet."""

    name: str
    index: int
    mac: bytes
    subnets: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    own: frozenset[bytes] = frozenset()
    """Its addresses on these subnets, packed."""

    def is_same(self, other: Link | None) -> bool:
        """Whether nothing changed that a socket would notice."""
        return other is not None and (self.index, self.mac) == (other.index, other.mac)

    def reaches(self, address: bytes) -> bool:
        """Whether the address lies in one of its subnets."""
        ip = ipaddress.ip_address(address)
        return any(ip in subnet for subnet in self.subnets)


class Wire:
    """The two sockets of one interface; once the interface was down they are `lost`, whatever it is now."""

    def __init__(self, link: Link) -> None:
        """Open both; no question is heard before `hear_for`."""
        self._mac = link.mac
        self.lost = False
        self.arp = _packet_socket(link.name, ETH_P_ARP, arp_filter(()))
        self.heartbeat = _packet_socket(link.name, ETH_P_HEARTBEAT)
        self._addresses: Collection[bytes] = ()
        self._most, self._filter_due = MOST_INSTRUCTIONS, 0.0
        self._timer: asyncio.TimerHandle | None = None

    def hear_for(self, addresses: Collection[bytes]) -> None:
        """Hear the questions for these addresses, and perhaps some for those in between: now, or a little later.

        At once as a rule; in a burst of changes one filter serves for several. What waits already may be of before.
        """
        self._addresses = addresses
        if time.monotonic() >= self._filter_due:
            self._filter()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._filter_due - time.monotonic(), self._filter)

    def received(self, sock: socket.socket, limit: int = 256) -> Iterator[bytes]:
        """The frames that wait, without those that another host is meant to read."""
        for _ in range(limit):
            try:
                frame, (_, _, kind, *_) = sock.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("link lost", error=repr(error))
                self.lost = True
                return
            if kind != _FOR_OTHERS:
                yield frame

    def send_heartbeat(self, payload: bytes) -> None:
        """Broadcast one heartbeat."""
        self._send(self.heartbeat, ETHERNET.pack(BROADCAST, self._mac, ETH_P_HEARTBEAT) + payload)

    def send_arp(self, frame: bytes) -> None:
        """Send one ARP frame; a full queue loses it, as a cable may."""
        self._send(self.arp, frame)

    def close(self) -> None:
        """Fall silent."""
        if self._timer:
            self._timer.cancel()
        self.arp.close()
        self.heartbeat.close()

    def _filter(self) -> None:
        """Attach the filter for what is to be heard; a kernel that has less room for filters gets a coarser one."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        began = time.monotonic()
        while True:
            try:
                _attach(self.arp, arp_filter(self._addresses, self._most))
                break
            except OSError as error:  # net.core.optmem_max: 20 KiB before Linux 6.7, and it holds the old one too
                if error.errno != errno.ENOMEM or self._most <= _FEWEST_INSTRUCTIONS:
                    raise
                self._most //= 2
        now = time.monotonic()
        self._filter_due = now + _FILTER_SHARE * (now - began)

    def _send(self, sock: socket.socket, frame: bytes) -> None:
        try:
            sock.send(frame)
        except OSError as error:  # a full queue empties; of a link that is gone the receiving side learns
            log.debug("frame lost", error=repr(error))


def _packet_socket(interface: str, ethertype: int, program: Sequence[Step] = ()) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)  # deaf until bound
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    if program:
        _attach(sock, program)
    sock.bind((interface, ethertype))
    return sock


def _attach(sock: socket.socket, program: Sequence[Step]) -> None:
    """Filter what a socket receives; another filter takes the place of the one before without a gap."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    fprog = struct.pack("HL", len(program), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)


def read_links(netlink: Any) -> dict[str, Link]:  # noqa: ANN401 - pyroute2 has no types
    """The links that can carry addresses; a pod's veth has no subnet and is none."""
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
    """Call `changed` now and after each netlink event, from a thread of its own; `failed` if that thread ends."""

    def watch() -> None:
        try:
            _watch_links(changed)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody watches any more
            failed(error)

    threading.Thread(target=watch, name="links", daemon=True).start()


def _watch_links(changed: Callable[[dict[str, Link]], object]) -> None:
    """Read all links after each event, or after any number of them that the kernel dropped."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as events:
        events.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
        while True:
            if (links := _read_whole()) is not None:
                changed(links)
                _wait(events)


def _read_whole() -> dict[str, Link] | None:
    """All links; None when they changed while they were read, or too much of the answer was dropped."""
    netlink: Any = IPRoute
    try:
        with netlink() as reader:  # one that lost an answer is of no more use
            return read_links(reader)
    except NetlinkDumpInterrupted:
        return None
    except (NetlinkError, OSError) as error:
        if (error.code if isinstance(error, NetlinkError) else error.errno) != errno.ENOBUFS:
            raise
        log.warning("answer about links lost in part", error="ENOBUFS")
        return None


def _wait(events: socket.socket) -> None:
    """Wait until something changed, and take all events that wait: nothing of one is used but that it came."""
    flags = 0
    for _ in range(_EVENTS_AT_ONCE):
        try:
            events.recv(_EVENT_BYTES, flags)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # the kernel had no room for an event: netlink(7)
                raise
            log.warning("events about links lost", error="ENOBUFS")
        flags = socket.MSG_DONTWAIT
