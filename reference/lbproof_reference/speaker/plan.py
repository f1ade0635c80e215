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
class Offer:
    """Nodes and interfaces (None: any) that may announce an address, and its Service."""

    service: str
    nodes: frozenset[str]
    interfaces: frozenset[str] | None = None

    def allows(self, node: str, interface: str) -> bool:
        """Whether the node may announce through that interface."""
        return node in self.nodes and (self.interfaces is None or interface in self.interfaces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Live peer of the segment as last received."""

    interface: str
    claims: Mapping[bytes, Claim] = field(default_factory=dict)
    leaving: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """State of one segment as seen by speaker `me`; `peers` are alive, `epochs` are the highest ever received."""

    me: str
    interface: str
    wanted: Mapping[bytes, Offer]
    mine: Mapping[bytes, Claim]
    others: Mapping[str, Neighbour]
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
    take: Mapping[bytes, Claim]
    defend: tuple[bytes, ...]
    hold: tuple[bytes, ...] = ()


def plan(view: View) -> Plan:
    """Return the difference between the claims of this speaker and those that it should have."""
    staying = {node: other for node, other in view.others.items() if not other.leaving}
    interfaces = {node: other.interface for node, other in staying.items()} | {view.me: view.interface}
    able: dict[tuple[frozenset[str], frozenset[str] | None], list[str]] = {}
    take: dict[bytes, Claim] = {}
    withdraw, defend, hold = list[bytes](), list[bytes](), list[bytes]()
    for address in view.mine.keys() | view.wanted.keys() if view.addresses is None else view.addresses:
        mine, offer = view.mine.get(address), view.wanted.get(address)
        claims = {node: other.claims[address] for node, other in staying.items() if address in other.claims}
        if view.leaving or offer is None:
            if mine and (claims or not view.leaving):
                withdraw.append(address)
            continue
        group = (offer.nodes, offer.interfaces)
        if group not in able:
            able[group] = [node for node, interface in interfaces.items() if offer.allows(node, interface)]
        winner = elect(address, able[group], claims | {view.me: mine} if mine else claims)
        if winner == view.me:
            if mine and claims:
                defend.append(address)
            elif not mine and not view.listening:
                take[address] = Claim(standing=len(interfaces), epoch=view.epochs.get(address, 0) + 1)
        elif mine:
            waits = winner is not None and winner not in claims and address not in view.overdue
            (hold if waits else withdraw).append(address)
    return Plan(withdraw=tuple(withdraw), take=take, defend=tuple(defend), hold=tuple(hold))
