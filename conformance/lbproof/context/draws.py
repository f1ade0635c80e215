"""Orders and choices of a check that no other order or choice resembles, whatever the seed of the run.

A check tells right from wrong by them: with an order that is also that of age, one who goes by age would pass.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from random import Random

    from lbproof.spec.families import IPAddress

T = TypeVar("T")


class Named(Protocol):
    """What has a name, such as a Service."""

    @property
    def name(self) -> str:
        """Name, which others may have in other namespaces."""


N = TypeVar("N", bound=Named)
K = TypeVar("K")


def mixed(random: Random, items: Sequence[T]) -> list[T]:
    """Draw an order of three or more items that is neither the one that they have nor its reverse."""
    turns = list(range(len(items)))
    drawn = random.sample(turns, len(turns))
    if drawn in (turns, turns[::-1]):
        drawn[:2] = drawn[1::-1]
    return [items[turn] for turn in drawn]


def with_namesakes(random: Random, services: Iterable[N], count: int) -> list[N]:
    """Draw some Services, each of which has a namesake that is not drawn: one of each kind stays when they leave."""
    by_name: dict[str, list[N]] = {}
    for service in services:
        by_name.setdefault(service.name, []).append(service)
    several = [name for name, found in by_name.items() if len(found) > 1]
    return [random.choice(by_name[name]) for name in random.sample(several, count)]


def types_to_leave_for(random: Random) -> Iterator[str]:
    """Return ClusterIP and NodePort in turns without end, for which LoadBalancers leave; which is first is drawn."""
    return itertools.cycle(random.sample(("ClusterIP", "NodePort"), 2))


def amid(held: Mapping[K, IPAddress]) -> list[K]:
    """Return those between others by their age, which is the order of the mapping, and by their addresses.

    None of them is the first or the last that is given out anew by either.
    """
    by_age = list(held)
    by_address = sorted(held, key=lambda one: int(held[one]))
    return [one for one in by_age[1:-1] if one in by_address[1:-1]]
