"""Elect the announcer of an address: a function of the state that all speakers on the segment share.

A speaker that claims an address keeps it while it is alive and eligible, so a returning node takes nothing back. If two
speakers claim one address (healed partition, suspended process), the claim of higher rank wins:

1. standing: the lowest number of live speakers, itself included, that the claimant saw while holding the address.
   An isolated node ranks below nodes that saw each other; a speaker that was suspended sets its claims to 0.
2. epoch: a takeover increments the highest epoch known for the address.
3. score: highest random weight (Thaler and Ravishankar, 1998), also used if nobody claims the address. The loss of
   a speaker moves only its own addresses.
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
    """Rank of one speaker's claim on an address; the greater one wins."""

    standing: int
    epoch: int


@lru_cache(maxsize=1 << 17)
def score(node: str, address: bytes) -> int:
    """Return the weight of a node for an address: equal on every node, evenly distributed over addresses."""
    return int.from_bytes(blake2b(node.encode() + b"\0" + address, digest_size=8).digest())


def elect(address: bytes, candidates: Iterable[str], claims: Mapping[str, Claim]) -> str | None:
    """Return the announcer among live, eligible `candidates`; `claims` are by node. None without a candidate."""
    nobody = Claim(standing=-1, epoch=0)
    return max(candidates, key=lambda node: (claims.get(node, nobody), score(node, address), node), default=None)
