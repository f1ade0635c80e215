"""Which speaker answers for an address: a function of what every speaker on the segment hears.

Whoever claims an address keeps it while it is heard and eligible, so a node that returns takes nothing back. Where
two claim one address (a healed partition, a speaker that slept), the claim of higher rank wins:
1. standing: the fewest speakers that its claimant heard while holding it, itself included. A node that was cut off
   alone stands below those that still heard each other; a speaker that doubts itself puts its claims at 0;
2. epoch: whoever took the address over knew the claim before and counted one up;
3. the score that also decides where nobody claims: highest random weight (Thaler and Ravishankar, 1998), in which
   the loss of a speaker moves its own addresses alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Claim:
    """The rank of one speaker's hold on an address; the greater wins."""

    standing: int
    epoch: int


@lru_cache(maxsize=1 << 17)
def score(node: str, address: bytes) -> int:
    """The weight of a node for an address: the same number on every node, even over addresses."""
    return int.from_bytes(blake2b(node.encode() + b"\0" + address, digest_size=8).digest())


def elect(address: bytes, candidates: Iterable[str], claims: Mapping[str, Claim]) -> str | None:
    """The announcer among live, eligible `candidates`, of whom some hold `claims`; None without a candidate."""
    nobody = Claim(standing=-1, epoch=0)
    return max(candidates, key=lambda node: (claims.get(node, nobody), score(node, address), node), default=None)
