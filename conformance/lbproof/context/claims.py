"""Claims: ARP and NDP messages that say where an address is, answers and announcements alike, whoever they are for.

At the ports of the segment's switch they are all seen, with the node that sent each. Where a lab has no ports, those
are seen that reach the client.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lbproof.lab.base import Capability
from lbproof.spec.families import family_of
from lbproof.witnesses import neighbour
from lbproof.witnesses.switch import CLAIMS, SwitchListener

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from lbproof.lab.base import Lab
    from lbproof.spec.families import Family, IPAddress
    from lbproof.witnesses.neighbour import Message


INTERLEAVED_WITHIN = 1.0
"""Seconds in which a node that claims an address again after another one is a second answerer, and not a move back."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One message."""

    message: Message
    by: str
    """Node that sent it: by its port, else by the hardware address at which it says that the address is, which stands
    here where no node has it."""
    port: str
    """Node at whose port it entered; empty where that is not seen."""


class Claims:
    """Context manager that records the claims of nodes."""

    def __init__(self, lab: Lab) -> None:
        """Record nothing before it is entered."""
        self._lab = lab
        self._names = {node.mac: node.name for node in lab.nodes}
        self._stack = ExitStack()
        self._switch: SwitchListener | None = None
        self._listener: neighbour.Listener | None = None

    def __enter__(self) -> Self:
        """Start to record."""
        if self._lab.can(Capability.PORTS):
            ports = self._lab.ports()
            self._switch = SwitchListener(ports.vantage, ports.nodes, CLAIMS, ignored=ports.own)
            self._stack.enter_context(self._switch)
        else:
            self._listener = neighbour.Listener(self._lab.client())
            self._stack.enter_context(self._listener)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop. Raises `ProbeError` when something was lost; recorded claims stay available otherwise."""
        self._stack.close()

    def of(self, addresses: Collection[IPAddress]) -> dict[IPAddress, list[Claim]]:
        """Return the claims of some addresses so far, in order. Raises `ProbeError` when something may be missing."""
        found: dict[IPAddress, list[Claim]] = {address: [] for address in addresses}
        for message, port in self._messages({family_of(address) for address in addresses}):
            if message.sender_ip in found:
                by = port or self._names.get(message.sender_mac, message.sender_mac)
                found[message.sender_ip].append(Claim(message, by, port))
        return found

    def _messages(self, families: Collection[Family]) -> list[tuple[Message, str]]:
        """Return the messages with the node of the port, without those of the client itself."""
        if self._listener:
            own = self._lab.client().mac
            return [(message, "") for message in self._listener.messages if message.ether_src != own]
        assert self._switch is not None  # noqa: S101 - it was entered
        return [
            (message, node)
            for t, node, frame in self._switch.frames
            for family in families
            if (message := neighbour.decode(family, frame, t))
        ]


def by_node(claims: Mapping[IPAddress, Sequence[Claim]]) -> dict[IPAddress, dict[str, int]]:
    """Count the claims of each address by who made them."""
    counted: dict[IPAddress, dict[str, int]] = {address: {} for address in claims}
    for address, made in claims.items():
        for claim in made:
            counted[address][claim.by] = counted[address].get(claim.by, 0) + 1
    return counted


def interleaved(claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims by which the node of the last one claims an address again after another; none otherwise."""
    last = claims[-1]
    own = [turn for turn, claim in enumerate(claims[:-1]) if claim.by == last.by]
    found = list(claims[own[0] :]) if own else []
    return found if any(claim.by != last.by for claim in found) else []


def first_interleaved(claims: Sequence[Claim]) -> list[Claim]:
    """Return the first claims of an address that two nodes make in turns within a second; none where it moves once."""
    begin = 0
    for end, claim in enumerate(claims, start=1):
        while claims[begin].message.t < claim.message.t - INTERLEAVED_WITHIN:
            begin += 1
        if found := interleaved(claims[begin:end]):
            return found
    return []


def stale(claims: Sequence[Claim], former: str, holder: str) -> list[Claim]:
    """Return the claims of a former holder after another node's first one and before another node's last one.

    One that takes the address back, and is its `holder` in the end, makes none: how soon the other one yields is judged
    by who answers.
    """
    others = [turn for turn, claim in enumerate(claims) if claim.by != former]
    if holder == former or not others:
        return []
    return [claim for claim in claims[others[0] : others[-1]] if claim.by == former]


def claimants(claims: Sequence[Claim], first: str, last: str) -> list[str]:
    """Return who claimed an address, in order, where each is named once for claims that follow each other.

    `first` and `last`: who answered before and after. Who is named twice had claimed it again after another did, which
    is no orderly move.
    """
    return [name for name, _ in itertools.groupby([first, *(claim.by for claim in claims), last])]
