"""Decide what a speaker does about the addresses of one segment: withdrawals first, then takeovers.

Make before break: a speaker that may no longer announce an address keeps it until another one claims it, or until a
timeout. Pure: a function of one view of the segment. It needs no API server, because the desired addresses are known
before a fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbproof_reference.speaker.elect import Claim, elect

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


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

    def allows(self, node: str, interface: str) -> bool:
        """Whether the node may announce through that interface."""
        return any(node in a.nodes and (a.interfaces is None or interface in a.interfaces) for a in self.allowed)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerView:
    """Live peer of the segment as last received."""

    interface: str
    claims: Mapping[bytes, Claim] = field(default_factory=dict)
    leaving: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentView:
    """State of one segment as seen by speaker `me`; `peers` are alive, `epochs` are the highest ever received."""

    me: str
    interface: str
    desired: Mapping[bytes, Offer]
    claims: Mapping[bytes, Claim]
    peers: Mapping[str, PeerView]
    epochs: Mapping[bytes, int]
    listening: bool = False
    """Peers are not known yet; nothing may be acquired."""
    leaving: bool = False
    addresses: Collection[bytes] | None = None
    """Addresses to decide on, because they changed; None: all."""
    overdue: Collection[bytes] = ()
    """Retained addresses whose timeout has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Addresses to withdraw, to acquire, to defend against a lost claim, and to retain until a peer claims them."""

    withdraw: tuple[bytes, ...]
    acquire: Mapping[bytes, Claim]
    defend: tuple[bytes, ...]
    retain: tuple[bytes, ...] = ()


def plan(view: SegmentView) -> Plan:
    """Return the difference between the claims of this speaker and those that it should have."""
    staying = {node: other for node, other in view.peers.items() if not other.leaving}
    interfaces = {node: other.interface for node, other in staying.items()} | {view.me: view.interface}
    able: dict[tuple[Allowed, ...], list[str]] = {}
    acquire: dict[bytes, Claim] = {}
    withdraw, defend, retain = list[bytes](), list[bytes](), list[bytes]()
    for address in view.claims.keys() | view.desired.keys() if view.addresses is None else view.addresses:
        own, offer = view.claims.get(address), view.desired.get(address)
        peer_claims = {node: other.claims[address] for node, other in staying.items() if address in other.claims}
        if view.leaving or offer is None:
            if own and (peer_claims or not view.leaving):
                withdraw.append(address)
            continue
        if offer.allowed not in able:
            able[offer.allowed] = [node for node, interface in interfaces.items() if offer.allows(node, interface)]
        winner = elect(address, able[offer.allowed], peer_claims | {view.me: own} if own else peer_claims)
        if winner == view.me:
            if own and peer_claims:
                defend.append(address)
            elif not own and not view.listening:
                acquire[address] = Claim(standing=len(interfaces), epoch=view.epochs.get(address, 0) + 1)
        elif own:
            waits = winner is not None and winner not in peer_claims and address not in view.overdue
            (retain if waits else withdraw).append(address)
    return Plan(withdraw=tuple(withdraw), acquire=acquire, defend=tuple(defend), retain=tuple(retain))
