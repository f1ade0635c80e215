"""Decide what a station does about the addresses of its segment: withdrawals first, then takeovers.

Make before break: a station that may no longer announce an address keeps it until another one claims it, as long as
there is one to wait for; if several stations do so, the one with the claim of the highest rank. Pure: a function of one
view of the segment. It needs no API server, because the desired addresses are known before a fault.
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
"""Network address (packed, of either family) and prefix length."""


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
    share: str = ""
    """Key by which the Service shares its address; empty: it does not."""
    sharers: tuple[str, ...] = ()
    """Other Services with the address and the same key."""

    @property
    def services(self) -> tuple[str, ...]:
        """All Services of the address."""
        return (self.service, *self.sharers)

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
    BROKEN = auto()
    """Nothing shows that it receives anything: it cannot answer requests."""


@dataclass(slots=True, kw_only=True)
class PeerView:
    """Live peer of the segment as last received."""

    subnets: tuple[Subnet, ...] = ()
    elsewhere: tuple[Subnet, ...] = ()
    """Subnets of other interfaces of its node."""
    claims: dict[bytes, Claim] = field(default_factory=dict)
    leaving: bool = False
    outdated: bool = False
    """Whether it is cut from the API server."""
    hearing: Hearing = Hearing.MUTUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentView:
    """State of one segment as seen by station `me`; `peers` are alive, `epochs` are the highest received."""

    me: Station
    subnets: tuple[Subnet, ...]
    desired: Mapping[bytes, Offer]
    claims: Mapping[bytes, Claim]
    peers: Mapping[Station, PeerView]
    epochs: Mapping[bytes, int]
    addresses: Collection[bytes]
    """Addresses to decide on."""
    passed_over: Mapping[bytes, int] = field(default_factory=dict)
    """Number of stations that were awaited too long, by address."""
    listening: bool = False
    """Peers are not known yet; nothing may be acquired."""
    leaving: bool = False
    outdated: bool = False
    """Cut from the API server: what is desired may be old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Addresses to withdraw, to acquire, to defend against a lost claim, and those whose winner has not claimed.

    The claims on those to `lower`, if they are not withdrawn, give way to all others: their standing becomes 0.
    """

    withdraw: tuple[bytes, ...]
    lower: tuple[bytes, ...]
    acquire: Mapping[bytes, Claim]
    defend: tuple[bytes, ...]
    awaits: Mapping[bytes, Station]


@lru_cache(maxsize=1 << 17)
def reaches(subnets: tuple[Subnet, ...], address: bytes) -> bool:
    """Whether one of the subnets contains the address (packed)."""
    number, bits = int.from_bytes(address), 8 * len(address)
    return any(
        len(network) == len(address) and not (number ^ int.from_bytes(network)) >> (bits - prefix)
        for network, prefix in subnets
    )


NOTHING = Plan(withdraw=(), lower=(), acquire={}, defend=(), awaits={})


def plan(view: SegmentView) -> Plan:
    """Return the difference between the claims of this station and those that it should have.

    What stations know of who may announce may differ. So a claim says that its station may, and only claims, which all
    know alike, decide which of several stations keeps an address; but those of outdated stations rank behind. A station
    acquires an address only with a claim that outranks every other. A peer that is deaf to this station cannot yield to
    it, so this station leaves it what it claims.
    """
    staying = {n: peer for n, peer in view.peers.items() if not peer.leaving and peer.hearing is not Hearing.BROKEN}
    subnets = {name: peer.subnets for name, peer in staying.items()} | {view.me: view.subnets}
    standing = 1 + sum(peer.hearing is Hearing.MUTUAL for peer in staying.values())
    current = {name: not peer.outdated for name, peer in staying.items()} | {view.me: not view.outdated}
    acquire: dict[bytes, Claim] = {}
    awaits: dict[bytes, Station] = {}
    withdraw, defend, lower = list[bytes](), list[bytes](), list[bytes]()
    for address in view.addresses:
        own, offer = view.claims.get(address), view.desired.get(address)
        rivals = {name: peer.claims[address] for name, peer in staying.items() if address in peer.claims}
        is_deaf = any(staying[name].hearing is Hearing.DEAF for name in rivals)
        if view.leaving or offer is None or is_deaf:
            if own and (rivals or not view.leaving):
                withdraw.append(address)
            continue
        reached = {name: reaches(nets, address) for name, nets in subnets.items()}
        beyond = any(reaches(peer.elsewhere, address) for peer in staying.values())
        nobody = not beyond and not any(reached.values())  # MetalLB announces such an address too
        able = {name for name, inside in reached.items() if offer.allows(*name, reaches=inside or nobody)}
        may_announce = view.me in able
        able.update(n for n, one in rivals.items() if (current[n], one.standing > 0) >= (current[view.me], True))
        claims = rivals | {view.me: own} if own else rivals
        winner = _winner(view, address, able, claims)
        if own:
            holder = elect(address, [name for name in claims if current[name]] or claims, claims)
            if holder != view.me or winner is None:
                withdraw.append(address)
            elif rivals:
                defend.append(address)
            if not may_announce:
                lower.append(address)
        elif winner == view.me and not view.listening:
            epoch = max([view.epochs.get(address, 0), *(claim.epoch for claim in rivals.values())])
            acquire[address] = Claim(standing=standing, epoch=epoch + 1)
        if winner is not None and winner != view.me and winner not in claims:
            awaits[address] = winner
    return Plan(
        withdraw=tuple(withdraw), lower=tuple(lower), acquire=acquire, defend=tuple(defend), awaits=awaits
    )  # fmt: skip


def _winner(view: SegmentView, address: bytes, able: set[Station], claims: Mapping[Station, Claim]) -> Station | None:
    """Elect among the able stations, without those that were passed over: the first winners that do not claim."""
    winner = elect(address, able, claims)
    for _ in range(view.passed_over.get(address, 0)):
        if winner in {None, view.me, *claims}:
            break
        able = able - {winner}
        winner = elect(address, able, claims)
    return winner
