"""Neighbour table of the kernel by rtnetlink (rtnetlink(7), <linux/neighbour.h>), without a program of the machine."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = struct.Struct("=IHHII")
"""Length, type, flags, sequence number, port."""
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
"""Family, interface, state, flags, type."""
_ATTRIBUTE = struct.Struct("=HH")
"""Length, type."""
_ERROR = struct.Struct("=i")
_NEW, _DELETE, _GET, _FAILED, _DONE = 28, 29, 30, 2, 3
_REQUEST, _ACKNOWLEDGE, _REPLACE, _DUMP, _CREATE = 0x1, 0x4, 0x100, 0x300, 0x400
_ADDRESS, _LINK_LAYER = 1, 2
STATES = {
    0x01: "INCOMPLETE",
    0x02: "REACHABLE",
    0x04: "STALE",
    0x08: "DELAY",
    0x10: "PROBE",
    0x20: "FAILED",
    0x40: "NOARP",
    0x80: "PERMANENT",
}


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Entry of the table."""

    interface: int
    address: bytes
    link_layer: bytes
    """Empty during resolution."""
    states: tuple[str, ...]


def entries(family: socket.AddressFamily) -> list[Neighbour]:
    """Return the table of a family. Raises `OSError`."""
    asked = _NEIGHBOUR.pack(family, 0, 0, 0, 0)
    return [_parse(body) for kind, body in _talk(_GET, _DUMP, asked) if kind == _NEW]


def replace(interface: str, address: str, mac: bytes, state: str) -> None:
    """Set an entry. Raises `OSError`, and `ValueError` for an unknown state."""
    numbers = {name: number for number, name in STATES.items()}
    if state not in numbers:
        raise ValueError(f"no state {state!r} of a neighbour: there are {', '.join(numbers)}")
    body = _entry(interface, address, numbers[state]) + _attribute(_LINK_LAYER, mac)
    list(_talk(_NEW, _ACKNOWLEDGE | _REPLACE | _CREATE, body))


def delete(interface: str, address: str) -> None:
    """Remove an entry. Raises `OSError`: ENOENT when there is none."""
    list(_talk(_DELETE, _ACKNOWLEDGE, _entry(interface, address, 0)))


def packed(address: str) -> tuple[socket.AddressFamily, bytes]:
    """Return family and bytes of an address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address)


def _entry(interface: str, address: str, state: int) -> bytes:
    family, data = packed(address)
    return _NEIGHBOUR.pack(family, socket.if_nametoindex(interface), state, 0, 0) + _attribute(_ADDRESS, data)


def _attribute(kind: int, data: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + bytes(-len(data) % 4)


def _talk(kind: int, flags: int, body: bytes) -> Iterator[tuple[int, bytes]]:
    """Send a message; yield the type and the body of each answer. Raises `OSError` with the kernel's error."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:  # 0: NETLINK_ROUTE
        kernel.settimeout(10)
        kernel.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 1, 0) + body)
        while True:
            data = kernel.recv(1 << 16)
            at = 0
            while at < len(data):
                length, answer, *_ = _HEADER.unpack_from(data, at)
                found = data[at + _HEADER.size : at + length]
                if answer == _DONE:
                    return
                if answer == _FAILED:
                    (code,) = _ERROR.unpack_from(found)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return
                yield answer, found
                at += length + -length % 4


def _parse(body: bytes) -> Neighbour:
    _, interface, state, _, _ = _NEIGHBOUR.unpack_from(body)
    attributes: dict[int, bytes] = {}
    at = _NEIGHBOUR.size
    while at < len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        attributes[kind] = body[at + _ATTRIBUTE.size : at + length]
        at += length + -length % 4
    return Neighbour(
        interface=interface,
        address=attributes.get(_ADDRESS, b""),
        link_layer=attributes.get(_LINK_LAYER, b""),
        states=tuple(name for number, name in STATES.items() if state & number),
    )
