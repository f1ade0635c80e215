"""Decide what a station does about the addresses of its segment: withdrawals first, then takeovers.

Make before break: a station that may no longer announce an address keeps it until another one claims it, as long as
there is one to wait for. Pure: a function of one view of the segment. It needs no API server, because the desired
addresses are known before a fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from lbproof_reference.speaker.elect import Claim, Station, elect

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Subnet: TypeAlias = tuple[bytes, int]
"""Network address (packed) and prefix length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Nodes of one advertisement, and the interfaces (None: any) through which they may announce."""

    nodes: frozenset[str]
    interfaces: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Service of an address, and who may announce it: several advertisements are alternatives."""

    service: str
    allowed: tuple[Allowed, ...]

    def allows(self, node: str, interface: str, *, reaches: bool = True) -> bool:
        """Whether the node may announce through that interface: by its name, or if it `reaches` the address."""
        return any(
            node in one.nodes and (reaches if one.interfaces is None else interface in one.interfaces)
            for one in self.allowed
        )


class Hearing(Enum):
    """Whether a live peer receives this station's messages, directly or relayed."""

    MUTUAL = auto()
    DEAF = auto()
    """It receives other frames: it answers requests, and cannot know that this station does."""
    DOUBTED = auto()
    """Nothing shows yet that it receives anything: this station keeps its addresses, and the peer keeps its own."""
    BROKEN = auto()
    """It receives nothing, so that it cannot answer requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerView:
    """Live peer of the segment as last received."""

    subnets: tuple[Subnet, ...]
    claims: Mapping[bytes, Claim] = field(default_factory=dict)
    leaving: bool = False
    hearing: Hearing = Hearing.MUTUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentView:
    """State of one segment as seen by station `me`; `peers` are alive, `epochs` are the highest ever received."""

    me: Station
    subnets: tuple[Subnet, ...]
    desired: Mapping[bytes, Offer]
    claims: Mapping[bytes, Claim]
    peers: Mapping[Station, PeerView]
    epochs: Mapping[bytes, int]
    passed_over: Mapping[bytes, Collection[Station]] = field(default_factory=dict)
    """Stations that were awaited too long, by address."""
    listening: bool = False
    """Peers are not known yet; nothing may be acquired."""
    leaving: bool = False
    addresses: Collection[bytes] | None = None
    """Addresses to decide on, because they changed; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Addresses to withdraw, to acquire, to defend against a lost claim, and those whose winner has not claimed."""

    withdraw: tuple[bytes, ...]
    acquire: Mapping[bytes, Claim]
    defend: tuple[bytes, ...]
    awaits: Mapping[bytes, Station]


@lru_cache(maxsize=1 << 17)
def reaches(subnets: tuple[Subnet, ...], address: bytes) -> bool:
    """Whether one of the subnets contains the address (packed)."""
    number = int.from_bytes(address)
    return any(
        len(network) == len(address) and not (number ^ int.from_bytes(network)) >> (8 * len(network) - prefix)
        for network, prefix in subnets
    )


def plan(view: SegmentView) -> Plan:
    """Return the difference between the claims of this station and those that it should have."""
    peers = {name: peer for name, peer in view.peers.items() if peer.hearing is not Hearing.BROKEN}
    deaf = {name for name, peer in peers.items() if peer.hearing is Hearing.DEAF}
    doubted = {name for name, peer in peers.items() if peer.hearing is Hearing.DOUBTED}
    staying = {name: peer for name, peer in peers.items() if not peer.leaving}
    subnets = {name: peer.subnets for name, peer in staying.items()} | {view.me: view.subnets}
    standing = 1 + sum(peer.hearing is Hearing.MUTUAL for peer in staying.values())
    acquire: dict[bytes, Claim] = {}
    awaits: dict[bytes, Station] = {}
    withdraw, defend = list[bytes](), list[bytes]()
    for address in view.claims.keys() | view.desired.keys() if view.addresses is None else view.addresses:
        own, offer = view.claims.get(address), view.desired.get(address)
        claims = {name: peer.claims[address] for name, peer in staying.items() if address in peer.claims}
        left_out = {*view.passed_over.get(address, ()), *(doubted if own else ())}
        rivals = {name: claim for name, claim in claims.items() if name not in left_out}
        if view.leaving or offer is None:
            if own and (rivals or not view.leaving):
                withdraw.append(address)
            continue
        reached = {name: reaches(nets, address) for name, nets in subnets.items()}
        nobody = not any(reached.values())  # MetalLB announces such an address too
        able = [
            name
            for name, inside in reached.items()
            if name not in left_out
            and (offer.allows(*name, reaches=inside or nobody) or (name in deaf and name in rivals))
        ]
        winner = elect(address, able, rivals | {view.me: own} if own else rivals, deaf)
        if winner == view.me:
            if own and claims:
                defend.append(address)
            elif not own and not view.listening:
                acquire[address] = Claim(standing=standing, epoch=view.epochs.get(address, 0) + 1)
        elif winner is not None and winner not in rivals:
            awaits[address] = winner
        elif own:
            withdraw.append(address)
    return Plan(withdraw=tuple(withdraw), acquire=acquire, defend=tuple(defend), awaits=awaits)
