"""Addresses that are free again: who is given them, as checks of several areas ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Collection

    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress


def given_to_new(
    check: CheckContext, free: Collection[IPAddress], name: str, *, namespace: str = "", asking: int | None = None
) -> list[Service]:
    """Create as many Services as addresses are free, and verify that they are given exactly those; return them.

    Some ask for an address, each by another way, and have it before the others come, which ask for nothing. `asking`:
    how many ask at most; half of them if not given.
    """
    ways = check.run.ways[: len(free) // 2 if asking is None else asking]
    asked = check.random.sample(sorted(free, key=int), len(ways))
    wanted = {
        check.service(f"{name}-asks-{n}", namespace=namespace, ask=address, how=way): address
        for n, (address, way) in enumerate(zip(asked, ways, strict=True))
    }
    given = check.all_assigned(*wanted, budget="reclaimed")
    assert given == wanted, f"given {words(list(given.values()))} to who asked for {words(asked)}"
    rest = [check.service(f"{name}-{n}", namespace=namespace) for n in range(len(free) - len(wanted))]
    given |= check.all_assigned(*rest, budget="reclaimed")
    assert sorted(given.values(), key=int) == sorted(free, key=int), (
        f"{words(list(map(str, free)))} were released, and {words(list(map(str, given.values())))} were given"
    )
    return list(given)
