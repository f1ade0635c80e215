"""Address families, and the types of addresses and networks in the suite.

Everything that is an address is an object of `ipaddress`. It is text only at the edges: JSON of the API, command lines,
events and reports.
"""

from __future__ import annotations

from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

IPAddress: TypeAlias = IPv4Address | IPv6Address
IPNetwork: TypeAlias = IPv4Network | IPv6Network


class Family(IntEnum):
    """Address family; its value is the version of the Internet Protocol."""

    IPV4 = 4
    IPV6 = 6

    @property
    def label(self) -> str:
        """Name as in `spec.ipFamilies` of a Service: `IPv4` or `IPv6`."""
        return f"IPv{self.value}"


def family_of(value: IPAddress | IPNetwork) -> Family:
    """Return the family of an address or a network."""
    return Family(value.version)


def unspecified(family: Family) -> IPAddress:
    """Return the unspecified address of a family: the sender of who has none yet (RFC 5227, RFC 4862)."""
    return IPv4Address(0) if family is Family.IPV4 else IPv6Address(0)


def host_port(address: IPAddress, port: int) -> str:
    """Return `address:port`, with an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return f"[{address}]:{port}" if family_of(address) is Family.IPV6 else f"{address}:{port}"
