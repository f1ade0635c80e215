"""Links of the node on which addresses can be announced: read from the kernel, and read again after each change.

rtnetlink(7) and netlink(7): a dump is a series of messages, each with a header, a fixed part and attributes.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_MESSAGE = struct.Struct("=IHHII")  # length, type, flags, sequence, port: struct nlmsghdr
_LINK = struct.Struct("=BxHiII")  # family, hardware type, index, flags, changes: struct ifinfomsg
_ADDRESS = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, index: struct ifaddrmsg
_ATTRIBUTE = struct.Struct("=HH")  # length, type: struct rtattr
_RTM_GETLINK, _RTM_GETADDR, _NLMSG_ERROR, _NLMSG_DONE = 18, 22, 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP_INTR, _NLM_F_DUMP = 0x1, 0x10, 0x300
_GROUPS = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_CARRIER = 1, 3, 4, 10, 18, 33
_IFLA_INFO_SLAVE_KIND = 4
_TYPE_BITS = 0x3FFF  # the highest two are flags: NLA_F_NESTED, NLA_F_NET_BYTEORDER
_IFF_UP, _IFF_LOOPBACK, _IFF_NOARP = 0x1, 0x8, 0x80
_ARPHRD_ETHER, _MAC_BYTES, _LEAST_MTU = 1, 6, 1280  # RFC 8200 section 5: a heartbeat has at most as many bytes
_BUFFER_BYTES, _EVENTS_AT_ONCE = 1 << 16, 1000  # the kernel's messages have at most 32 KiB

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Ethernet interface that is up, has carrier and has a subnet."""

    name: str
    index: int
    mac: bytes
    subnets: tuple[Network, ...]
    own: frozenset[bytes] = frozenset()
    """Addresses of the interface (packed)."""

    def is_same(self, other: Link | None) -> bool:
        """Whether sockets that were opened on `other` are still valid."""
        return other is not None and (self.index, self.mac) == (other.index, other.mac)


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
    with _netlink() as events:
        events.bind((0, _GROUPS))
        while True:
            try:
                links = links_of(_dump(_RTM_GETADDR), _dump(_RTM_GETLINK))
            except OSError as error:
                if error.errno not in {errno.EINTR, errno.ENOBUFS}:
                    raise
                log.debug("links are read again", error=repr(error))
                continue
            changed(links)
            _wait(events)


def _wait(events: socket.socket) -> None:
    """Wait for an event and drain the queue; the content of events is not used."""
    flags = 0
    for _ in range(_EVENTS_AT_ONCE):
        try:
            events.recv(_BUFFER_BYTES, flags)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # the socket buffer overflowed: netlink(7)
                raise
            log.warning("links events dropped", error="ENOBUFS")
        flags = socket.MSG_DONTWAIT


def links_of(addresses: Iterable[bytes], links: Iterable[bytes]) -> dict[str, Link]:
    """Return the links that can carry addresses, by name; both arguments are messages without their header.

    Excluded are links that are not Ethernet or do without ARP, ports of a bridge or bond (the kernel gives what they
    receive to their master), and those without a subnet, such as a pod's veth.
    """
    subnets: dict[int, list[Network]] = {}
    own: dict[int, set[bytes]] = {}
    for message in addresses:
        _, prefix, _, _, index = _ADDRESS.unpack_from(message)
        found = _attributes(message[_ADDRESS.size :])
        if not (network := found.get(_IFA_ADDRESS)):
            continue
        own.setdefault(index, set()).add(found.get(_IFA_LOCAL, network))  # they differ if there is a peer address
        subnet = ipaddress.ip_network((network, prefix), strict=False)
        if 0 < prefix < subnet.max_prefixlen and not subnet.is_link_local:
            subnets.setdefault(index, []).append(subnet)
    usable: dict[str, Link] = {}
    for message in links:
        _, hardware, index, flags, _ = _LINK.unpack_from(message)
        found = _attributes(message[_LINK.size :])
        name, mac = found[_IFLA_IFNAME].rstrip(b"\0").decode(errors="replace"), found.get(_IFLA_ADDRESS, b"")
        (mtu,) = struct.unpack("=I", found[_IFLA_MTU])
        is_ethernet = hardware == _ARPHRD_ETHER and len(mac) == _MAC_BYTES and mtu >= _LEAST_MTU
        answers_arp = (
            flags & _IFF_UP and not flags & (_IFF_LOOPBACK | _IFF_NOARP) and any(found.get(_IFLA_CARRIER, b""))
        )
        is_port = _IFLA_MASTER in found and _slave_kind(found) != b"vrf"
        if is_ethernet and answers_arp and not is_port and index in subnets and "\ufffd" not in name:
            usable[name] = Link(
                name=name, index=index, mac=mac, subnets=tuple(subnets[index]), own=frozenset(own[index])
            )
    return usable


def _slave_kind(link: dict[int, bytes]) -> bytes:
    return _attributes(link.get(_IFLA_LINKINFO, b"")).get(_IFLA_INFO_SLAVE_KIND, b"").rstrip(b"\0")


def _netlink() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)


def _dump(request: int) -> Iterator[bytes]:
    """Yield the messages of a dump, without their header. Raises OSError, with EINTR if something changed meanwhile."""
    with _netlink() as sock:
        size = _MESSAGE.size + _LINK.size  # room for the fixed part of either kind
        sock.send(_MESSAGE.pack(size, request, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + bytes(_LINK.size))
        while True:
            data = sock.recv(_BUFFER_BYTES)
            while data:
                size, kind, flags, _, _ = _MESSAGE.unpack_from(data)
                if flags & _NLM_F_DUMP_INTR:
                    raise OSError(errno.EINTR, "links changed")
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    (code,) = struct.unpack_from("=i", data, _MESSAGE.size)
                    raise OSError(-code, "links cannot be read")
                yield data[_MESSAGE.size : size]
                data = data[_aligned(size) :]


def _attributes(data: bytes) -> dict[int, bytes]:
    """Return the attributes of a message by type."""
    found: dict[int, bytes] = {}
    while data:
        size, kind = _ATTRIBUTE.unpack_from(data)
        found[kind & _TYPE_BITS] = data[_ATTRIBUTE.size : size]
        data = data[_aligned(size) :]
    return found


def _aligned(size: int) -> int:
    return size + -size % 4
