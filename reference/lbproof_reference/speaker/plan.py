"""What a speaker does about the addresses of one segment: withdrawals first, then takeovers.

Make before break: who may no longer announce goes on until one that may has claimed the address, or a moment is over.
Pure: it sees one moment's view and returns the difference. It needs no API server; the wanted addresses were
known before the fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbproof_reference.speaker.elect import Claim, elect

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Who may announce an address: nodes by name, interfaces by name (None: any), and for which Service."""

    service: str
    nodes: frozenset[str]
    interfaces: frozenset[str] | None = None

    def allows(self, node: str, interface: str) -> bool:
        """Whether that node may announce through that interface of its own."""
        return node in self.nodes and (self.interfaces is None or interface in self.interfaces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A live speaker of the segment, as this one last heard it."""

    interface: str
    claims: Mapping[bytes, Claim] = field(default_factory=dict)
    leaving: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One moment of one segment, seen by speaker `me`; `others` are alive, `epochs` the highest ever heard."""

    me: str
    interface: str
    wanted: Mapping[bytes, Offer]
    mine: Mapping[bytes, Claim]
    others: Mapping[str, Neighbour]
    epochs: Mapping[bytes, int]
    listening: bool = False
    """It does not yet know who is there, and must take nothing."""
    leaving: bool = False
    addresses: Collection[bytes] | None = None
    """Those to decide on, since something about them changed; None: all."""
    overdue: Collection[bytes] = ()
    """Those that were held for a successor long enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Addresses to fall silent for, to take, to defend against a claim that lost, to hold until a successor claims."""

    withdraw: tuple[bytes, ...]
    take: Mapping[bytes, Claim]
    defend: tuple[bytes, ...]
    hold: tuple[bytes, ...] = ()


def plan(view: View) -> Plan:
    """The difference between what this speaker claims and what it should."""
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
