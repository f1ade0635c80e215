"""Parse `IPAddressPool` objects into ranges of addresses, and report the invalid ones.

An invalid pool is reported and not used; the others are. Of two pools that overlap, the younger one is invalid.
"""

from __future__ import annotations

import ipaddress
import itertools
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from lbproof_reference.reading import MALFORMED_OBJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lbproof_reference.kube import Object

IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class BadPoolError(ValueError):
    """Invalid pool; the message is shown to the pool's author."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class AddressRange:
    """Addresses of one family from `first` to `last` (integers, both included)."""

    family: int
    first: int
    last: int

    def __str__(self) -> str:
        """Format the range as in a pool's spec."""
        return f"{ip_from_int(self.family, self.first)}-{ip_from_int(self.family, self.last)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Valid pool; its ranges are sorted and disjoint."""

    name: str
    ranges: tuple[AddressRange, ...]
    auto_assign: bool = True
    avoid_buggy: bool = False

    def is_assignable(self, family: int, number: int) -> bool:
        """Whether an address in a range may be assigned: `avoidBuggyIPs` excludes .0 and .255."""
        return not (self.avoid_buggy and family == 4 and number & 0xFF in (0, 0xFF))  # noqa: PLR2004 - the IP version


def ip_from_int(family: int, number: int) -> IP:
    """Convert an integer to an address of the family (4 or 6)."""
    return ipaddress.IPv4Address(number) if family == 4 else ipaddress.IPv6Address(number)  # noqa: PLR2004 - version


@lru_cache(maxsize=4096)
def parse_range(text: str) -> AddressRange:
    """Parse a CIDR (`10.0.0.0/24`) or a range (`10.0.0.1-10.0.0.9`). Raises BadPoolError."""
    try:
        if "-" in text:
            first, last = (ipaddress.ip_address(part.strip()) for part in text.split("-", 1))
        elif "/" in text:
            network = ipaddress.ip_network(text.strip(), strict=False)
            first, last = network[0], network[-1]
        else:
            raise ValueError(f"write {text}/32 for a single IPv4 address")  # noqa: TRY301 - caught below
    except ValueError as error:
        raise BadPoolError(f"{text!r} is not a CIDR or a range: {error}") from error
    if first.version != last.version:
        raise BadPoolError(f"range {text!r} mixes IPv4 and IPv6")
    if int(first) > int(last):
        raise BadPoolError(f"range {text!r} is reversed: its first address is above its last")
    return AddressRange(family=first.version, first=int(first), last=int(last))


def parse_pool(pool: Object) -> Pool:
    """Parse one pool, without a comparison with others. Raises BadPoolError."""
    spec = pool["spec"]
    ranges = sorted(parse_range(text) for text in spec.get("addresses") or [])
    if not ranges:
        raise BadPoolError("the pool has no addresses")
    for one, other in itertools.pairwise(ranges):
        if one.family == other.family and other.first <= one.last:
            raise BadPoolError(f"{one} overlaps {other} in the same pool")
    return Pool(
        name=pool["metadata"]["name"],
        ranges=tuple(ranges),
        auto_assign=spec.get("autoAssign", True),
        avoid_buggy=spec.get("avoidBuggyIPs", False),
    )


def parse_pools(objects: Iterable[Object]) -> tuple[list[Pool], dict[str, str]]:
    """Return the valid pools, sorted by name, and the reason for each invalid one, by name."""
    good: list[Pool] = []
    bad: dict[str, str] = {}
    taken: list[tuple[AddressRange, str]] = []
    for obj in sorted(objects, key=lambda o: (o["metadata"].get("creationTimestamp", ""), o["metadata"]["name"])):
        name = obj["metadata"]["name"]
        try:
            pool = parse_pool(obj)
            for address_range in pool.ranges:
                _check_overlap(address_range, taken)
        except BadPoolError as error:
            bad[name] = str(error)
            continue
        except MALFORMED_OBJECT as error:
            bad[name] = f"the pool cannot be read: {error!r}"
            continue
        good.append(pool)
        for address_range in pool.ranges:
            insort(taken, (address_range, name))
    return sorted(good, key=lambda pool: pool.name), bad


def build_index(pools: Iterable[Pool]) -> list[tuple[AddressRange, str]]:
    """Return the sorted ranges of valid pools, each with its pool's name."""
    return sorted((address_range, pool.name) for pool in pools for address_range in pool.ranges)


def pool_holding(ip: IP, index: Sequence[tuple[AddressRange, str]]) -> str | None:
    """Return the name of the pool that contains an address, or None."""
    at = bisect_right(index, (AddressRange(family=ip.version, first=int(ip), last=1 << 128), "")) - 1
    if at < 0:
        return None
    address_range, name = index[at]
    return name if address_range.family == ip.version and int(ip) <= address_range.last else None


def _check_overlap(address_range: AddressRange, taken: list[tuple[AddressRange, str]]) -> None:
    """Compare with the two nearest ranges in `taken`, which is sorted and disjoint. Raises BadPoolError."""
    at = bisect_left(taken, (address_range, ""))
    for other, name in taken[max(at - 1, 0) : at + 1]:
        if (
            other.family == address_range.family
            and other.first <= address_range.last
            and address_range.first <= other.last
        ):
            raise BadPoolError(f"{address_range} overlaps {other} of the older pool {name!r}")
