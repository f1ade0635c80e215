"""Free addresses of the segment, used in turn so that no check finds an ARP cache entry of the previous one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.context.cannot import CannotShow
from lbproof.spec import Untestable
from lbproof.spec.families import Family, family_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lbproof.lab.base import Segment
    from lbproof.spec.families import IPAddress


class FreeAddresses:
    """Which free addresses of the segment come next, and which are reserved."""

    def __init__(self) -> None:
        """Begin with the first address of each family."""
        self._next = dict.fromkeys(Family, 0)
        """Index of the next free address of each family."""
        self._reserved: set[IPAddress] = set()

    def take(self, segment: Segment, count: int, family: Family) -> list[IPAddress]:
        """Return `count` consecutive addresses, after those of the previous call; 0 gives an empty list.

        Raises `CannotShow` when the segment has no such block.
        """
        if not count:
            return []
        free, begin = segment.free_for(family), self._next[family]
        for start in (*range(begin, len(free)), *range(begin)):
            block = free[start : start + count]
            consecutive = len(block) == count and int(block[-1]) - int(block[0]) == count - 1
            if consecutive and self._reserved.isdisjoint(block):
                self._next[family] = (start + count) % len(free)
                return list(block)
        detail = f"{count} of {family.label} in a row wanted, {len(free)} on {_subnets(segment)}"
        raise CannotShow(Untestable.NO_FREE_ADDRESS, detail)

    @contextmanager
    def reserved(self, segment: Segment, block: Sequence[IPAddress]) -> Iterator[None]:
        """Keep particular addresses out of `take` during the block. Raises `CannotShow` when one is not free."""
        taken = set(block)
        if not taken <= set(segment.free):
            detail = f"{block[0]} to {block[-1]} are not all free on {_subnets(segment)}"
            raise CannotShow(Untestable.NO_FREE_ADDRESS, detail)
        self._reserved |= taken
        try:
            yield
        finally:
            self._reserved -= taken


def need_families(segment: Segment, families: Iterable[Family]) -> None:
    """Raise `CannotShow` when the segment lacks one of some address families."""
    there = [family_of(subnet) for subnet in segment.subnets]
    for family in families:
        if family not in there:
            has = " and ".join(one.label for one in there)
            raise CannotShow(Untestable.NO_FREE_ADDRESS, f"{family.label} wanted, the lab has {has} alone")


def _subnets(segment: Segment) -> str:
    return ", ".join(map(str, segment.subnets))
