"""Parse `IPAddressPool` objects into ranges of addresses, and report the invalid ones.

An invalid pool is reported and not used; the others are. Of two pools that overlap, the younger one is invalid.
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from lbproof_reference.kube import labels_of
from lbproof_reference.reading import MALFORMED_OBJECT
from lbproof_reference.selectors import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lbproof_reference.kube import Object

IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_LONGEST = 100
"""Characters of an entry; a range of two full IPv6 addresses has 79."""
_UNUSABLE = {
    ipaddress.ip_network(network): what
    for network, what in (
        ("0.0.0.0/8", "unspecified addresses"),  # RFC 1122, section 3.2.1.3
        ("127.0.0.0/8", "loopback addresses"),
        ("169.254.0.0/16", "link-local addresses"),  # RFC 3927
        ("224.0.0.0/4", "multicast addresses"),
        ("255.255.255.255/32", "the limited broadcast address"),
        ("::/128", "the unspecified address"),  # RFC 4291, section 2.4
        ("::1/128", "the loopback address"),
        ("::ffff:0:0/96", "IPv4-mapped addresses, which are written as IPv4"),
        ("fe80::/10", "link-local addresses"),
        ("ff00::/8", "multicast addresses"),
    )
}
"""Networks whose addresses no Service can have."""


class BadPoolError(ValueError):
    """Invalid pool; the message is shown to the pool's author."""


class AddressRange(NamedTuple):
    """Addresses of one family from `first` to `last` (integers, both included)."""

    family: int
    first: int
    last: int

    def overlaps(self, other: AddressRange) -> bool:
        """Whether an address is in both ranges."""
        return self.family == other.family and self.first <= other.last and other.first <= self.last

    def __str__(self) -> str:
        """Format the range as in a pool's spec."""
        return f"{ip_from_int(self.family, self.first)}-{ip_from_int(self.family, self.last)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Services that a pool serves (`serviceAllocation`)."""

    priority: int = 0
    """The lowest is tried first, and 0 last."""
    namespaces: frozenset[str] | None = None
    """None: all."""
    namespace_selectors: tuple[Mapping[str, Any], ...] = ()
    service_selectors: tuple[Mapping[str, Any], ...] = ()

    @property
    def order(self) -> tuple[bool, int]:
        """Sort key of pools."""
        return self.priority <= 0, self.priority

    def allows(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether a Service of that namespace and with those labels is served."""
        if self.namespaces is not None and namespace not in self.namespaces:
            return False
        return not self.service_selectors or any(matches(one, labels) for one in self.service_selectors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Valid pool; its ranges are sorted and disjoint."""

    name: str
    ranges: tuple[AddressRange, ...]
    auto_assign: bool = True
    avoid_buggy: bool = False
    scope: Scope | None = None
    """None: all Services, after the pools that are for some."""

    def allows(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether it serves a Service of that namespace and with those labels."""
        return self.scope is None or self.scope.allows(namespace, labels)

    def in_namespaces(self, labels: Mapping[str, Mapping[str, str]]) -> Pool:
        """Return this pool with the names of the namespaces (by name, with their labels) that it selects by labels."""
        if self.scope is None or not self.scope.namespace_selectors:
            return self
        selectors = self.scope.namespace_selectors
        found = {name for name, has in labels.items() if any(matches(one, has) for one in selectors)}
        return replace(self, scope=replace(self.scope, namespaces=(self.scope.namespaces or frozenset()) | found))

    def size(self, family: int) -> int:
        """Return the number of addresses of a family that may be assigned."""
        ranges = [one for one in self.ranges if one.family == family]
        total = sum(one.last - one.first + 1 for one in ranges)
        if self.avoid_buggy and family == 4:  # noqa: PLR2004 - the IP version
            total -= sum(_buggy_below(one.last + 1) - _buggy_below(one.first) for one in ranges)
        return total

    def is_assignable(self, family: int, number: int) -> bool:
        """Whether an address in a range may be assigned: `avoidBuggyIPs` excludes .0 and .255."""
        return not (self.avoid_buggy and family == 4 and number & 0xFF in (0, 0xFF))  # noqa: PLR2004 - the IP version


def _buggy_below(number: int) -> int:
    """Return how many of the numbers below this one end in 0 or 255 (their last 8 bits)."""
    blocks, rest = divmod(number, 256)
    return 2 * blocks + (rest > 0)


def ip_from_int(family: int, number: int) -> IP:
    """Convert an integer to an address of the family (4 or 6)."""
    return ipaddress.IPv4Address(number) if family == 4 else ipaddress.IPv6Address(number)  # noqa: PLR2004 - version


@lru_cache(maxsize=4096)
def parse_range(text: str) -> AddressRange:
    """Parse a CIDR (`10.0.0.0/24`) or a range (`10.0.0.1-10.0.0.9`). Raises BadPoolError."""
    if len(text) > _LONGEST:
        raise BadPoolError(f"{text[:_LONGEST]!r}... of {len(text)} characters is not a CIDR or a range")
    try:
        first, last = _first_and_last(text.strip())
    except ValueError as error:
        example = "such as 10.0.0.0/24, 10.0.0.1/32 or 10.0.0.1-10.0.0.9"
        raise BadPoolError(f"{text!r} is not a CIDR or a range, {example}") from error
    if first.version != last.version:
        raise BadPoolError(f"range {text!r} mixes IPv4 and IPv6")
    if int(first) > int(last):
        raise BadPoolError(f"range {text!r} is reversed: its first address is above its last")
    address_range = AddressRange(family=first.version, first=int(first), last=int(last))
    for network, what in _UNUSABLE.items():
        if address_range.overlaps(AddressRange(network.version, int(network[0]), int(network[-1]))):
            raise BadPoolError(f"{text!r} contains {what} ({network})")
    return address_range


def parse_ip(text: str) -> IP:
    """Parse an address. Raises ValueError, also for a zone (RFC 4007), which would make one address two."""
    if "%" in text:
        raise ValueError("a zone is not allowed")
    return ipaddress.ip_address(text)


def _first_and_last(entry: str) -> tuple[IP, IP]:
    """Parse the two forms. Raises ValueError, also for a mask or a wildcard in place of a prefix length."""
    if "-" in entry:
        first, last = (parse_ip(part.strip()) for part in entry.split("-", 1))
        return first, last
    if not re.search(r"/(0|[1-9]\d*)$", entry, re.ASCII):
        raise ValueError("no prefix length")
    network = ipaddress.ip_network(entry, strict=False)
    return network[0], network[-1]


def parse_pool(pool: Object) -> Pool:
    """Parse one pool, whose ranges may overlap. Raises BadPoolError."""
    spec = pool["spec"]
    ranges = sorted(parse_range(text) for text in spec.get("addresses") or [])
    if not ranges:
        raise BadPoolError("the pool has no addresses")
    return Pool(
        name=pool["metadata"]["name"],
        ranges=tuple(ranges),
        auto_assign=spec.get("autoAssign", True),
        avoid_buggy=spec.get("avoidBuggyIPs", False),
        scope=_parse_scope(spec.get("serviceAllocation")),
    )


def _parse_scope(allocation: Mapping[str, Any] | None) -> Scope | None:
    """Parse `serviceAllocation`. Raises one of `MALFORMED_OBJECT`, also for a selector that is used later."""
    if allocation is None:
        return None
    namespaces, of_namespaces, of_services = (
        tuple(allocation.get(field) or ()) for field in ("namespaces", "namespaceSelectors", "serviceSelectors")
    )
    for selector in (*of_namespaces, *of_services):
        matches(selector, {})
    return Scope(
        priority=int(allocation.get("priority") or 0),
        namespaces=frozenset(namespaces) if namespaces or of_namespaces else None,
        namespace_selectors=of_namespaces,
        service_selectors=of_services,
    )


def is_same_pool(before: Object | None, now: Object | None) -> bool:
    """Whether a change of a pool is one of its status alone."""
    if not before or not now:
        return False
    return before.get("spec") == now.get("spec") and labels_of(before) == labels_of(now)


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
                insort(taken, (address_range, name))
        except MALFORMED_OBJECT as error:
            bad[name] = str(error) if isinstance(error, BadPoolError) else f"the pool cannot be read: {error!r}"
            taken = [entry for entry in taken if entry[1] != name]
        else:
            good.append(pool)
    return sorted(good, key=lambda pool: pool.name), bad


def build_index(pools: Iterable[Pool]) -> list[tuple[AddressRange, str]]:
    """Return the sorted ranges of valid pools, each with its pool's name."""
    return sorted((address_range, pool.name) for pool in pools for address_range in pool.ranges)


def pool_holding(ip: IP, index: Sequence[tuple[AddressRange, str]]) -> str | None:
    """Return the name of the pool that contains an address, or None."""
    number = int(ip)
    at = bisect_right(index, (AddressRange(ip.version, number, 1 << 128), "")) - 1
    return index[at][1] if at >= 0 and index[at][0].overlaps(AddressRange(ip.version, number, number)) else None


def _check_overlap(address_range: AddressRange, taken: list[tuple[AddressRange, str]]) -> None:
    """Compare with the two nearest ranges in `taken`, which is sorted and disjoint. Raises BadPoolError."""
    at = bisect_left(taken, (address_range, ""))
    for other, name in taken[max(at - 1, 0) : at + 1]:
        if other.overlaps(address_range):
            raise BadPoolError(f"{address_range} overlaps {other} of pool {name!r}")
