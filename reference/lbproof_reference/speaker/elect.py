"""Elect the announcer of an address: a function of the state that all stations on the segment share.

A station that claims an address keeps it while it is alive and able, so a returning node takes nothing back. If two
stations claim one address (healed partition, suspended process), the claim of higher rank wins:

1. standing: the lowest number of stations in mutual hearing, itself included, that the claimant saw while holding the
   address. An isolated node ranks below nodes that hear each other; a suspended speaker sets its claims to 0.
2. epoch: a takeover increments the highest epoch known for the address.
3. score: highest random weight (Thaler and Ravishankar, 1998), also used if nobody claims the address. The loss of
   a station moves only its own addresses.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Station(NamedTuple):
    """Interface of a node: the unit that hears, claims and is elected."""

    node: str
    interface: str


class Claim(NamedTuple):
    """Rank of one station's claim on an address; the greater one wins."""

    standing: int
    epoch: int


@lru_cache(maxsize=1 << 17)
def score(station: Station, address: bytes) -> int:
    """Return the weight of a station for an address: equal on every node, evenly distributed over addresses."""
    return int.from_bytes(blake2b("\0".join(station).encode() + b"\0" + address, digest_size=8).digest())


def elect(address: bytes, candidates: Iterable[Station], claims: Mapping[Station, Claim]) -> Station | None:
    """Return the announcer among live, able `candidates`; `claims` are by station. None without a candidate."""
    nobody = Claim(standing=-1, epoch=0)
    ranks = {station: claims.get(station, nobody) for station in candidates}
    best = max(ranks.values(), default=nobody)
    first = [station for station, rank in ranks.items() if rank == best]
    return first[0] if len(first) == 1 else max(first, key=lambda one: (score(one, address), one), default=None)
