"""Networks of a lab that chooses its addresses itself. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.lab.base import Segment
from lbproof.spec.families import Family

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from lbproof.spec.families import IPAddress, IPNetwork

_FREE = (160, 239)
"""First and last number of the free addresses; IPv6 has those between, too, that read like no number (`::16a`)."""
_SAME_LOW_BITS, _EACH = 255, 1 << 24
"""Number of no host by which addresses of one solicited-node group end (RFC 4291 section 2.7.1), and how far apart."""
_MOST_OF_A_GROUP = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Network with a range of each family. A host has the same number in both, and both addresses read like it."""

    ipv4: IPv4Network
    ipv6: IPv6Network
    """RFC 4193; its digits are those of the IPv4 range."""

    def range(self, family: Family) -> IPNetwork:
        """Return the range of a family."""
        return self.ipv4 if family is Family.IPV4 else self.ipv6

    def ranges(self, families: Iterable[Family]) -> tuple[IPNetwork, ...]:
        """Return the ranges of some families, in their order."""
        return tuple(self.range(family) for family in families)

    def ipv4_host(self, number: int) -> IPv4Address:
        """Return the IPv4 address of a host by its number."""
        return self.ipv4[number]

    def ipv6_host(self, number: int) -> IPv6Address:
        """Return the IPv6 address of a host by its number: host 151 is `::151`."""
        return self.ipv6[int(str(number), 16)]

    def host(self, number: int, family: Family) -> IPAddress:
        """Return a host's address of a family."""
        return self.ipv4_host(number) if family is Family.IPV4 else self.ipv6_host(number)

    def hosts(self, number: int, families: Iterable[Family]) -> tuple[IPAddress, ...]:
        """Return a host's address of each family, in their order."""
        return tuple(self.host(number, family) for family in families)

    def segment(self, name: str, families: Iterable[Family]) -> Segment:
        """Return it as a segment of some families, with 160 to 239 free; of IPv6, with some of one group too."""
        wanted = tuple(families)
        free: list[IPAddress] = []
        for family in wanted:
            first, last = (self.host(number, family) for number in _FREE)
            free += [first + at for at in range(int(last) - int(first) + 1)]
        of_a_group = [self.ipv6_host(_SAME_LOW_BITS) + turn * _EACH for turn in range(1, _MOST_OF_A_GROUP + 1)]
        return Segment(
            name=name,
            subnets=self.ranges(wanted),
            free=tuple(free),
            same_solicited_node=tuple(of_a_group) if Family.IPV6 in wanted else (),
        )
