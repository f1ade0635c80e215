"""What a speaker does about the addresses of one segment: withdrawals first, then takeovers.

Pure: it sees one moment's view and returns the difference. It needs no API server; the wanted addresses were
known before the fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbproof_reference.speaker.elect import Claim, elect

if TYPE_CHECKING:
    from collections.abc import Mapping


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Addresses to fall silent for, to take, and to defend against a claim that lost."""

    withdraw: tuple[bytes, ...]
    take: Mapping[bytes, Claim]
    defend: tuple[bytes, ...]


def plan(view: View) -> Plan:
    """The difference between what this speaker claims and what it should."""
    claimants: dict[bytes, dict[str, Claim]] = {}
    staying = {node: other for node, other in view.others.items() if not other.leaving}
    for node, other in staying.items():
        for address, claim in other.claims.items():
            claimants.setdefault(address, {})[node] = claim
    if view.leaving:  # break only after make: silent once a successor speaks
        return Plan(withdraw=tuple(view.mine.keys() & claimants.keys()), take={}, defend=())
    interfaces = {node: other.interface for node, other in staying.items()} | {view.me: view.interface}
    able: dict[tuple[frozenset[str], frozenset[str] | None], list[str]] = {}
    take: dict[bytes, Claim] = {}
    defend: list[bytes] = []
    withdraw = [address for address in view.mine if address not in view.wanted]
    for address, offer in view.wanted.items():
        group = (offer.nodes, offer.interfaces)
        if group not in able:
            able[group] = [node for node, interface in interfaces.items() if offer.allows(node, interface)]
        claims, mine = claimants.get(address, {}), view.mine.get(address)
        winner = elect(address, able[group], claims | {view.me: mine} if mine else claims)
        if mine and winner != view.me:
            withdraw.append(address)
        elif mine and claims:
            defend.append(address)
        elif winner == view.me and not mine and not view.listening:
            take[address] = Claim(standing=len(interfaces), epoch=view.epochs.get(address, 0) + 1)
    return Plan(withdraw=tuple(withdraw), take=take, defend=tuple(defend))
