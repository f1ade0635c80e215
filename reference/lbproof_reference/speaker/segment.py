"""One segment's state: who is heard, what is claimed, what is answered. No socket and no clock: time is passed in.

Times are seconds of a monotonic clock. The order of things in `doubt` and `_follow` is the safety argument: silence
before speech, hear before taking.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lbproof_reference.speaker.heartbeat import Beat, chunks, is_news
from lbproof_reference.speaker.plan import Neighbour, Offer, Plan, View, plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof_reference.speaker.elect import Claim


@dataclass(slots=True, kw_only=True)
class Peer:
    """What is known of another speaker; it stays known when it is dead, so that it cannot be replayed."""

    last: tuple[int, int]
    deadline: float
    hold: float
    interface: str
    alive: bool = True
    leaving: bool = False
    version: int = -1
    missing: set[int] = field(default_factory=set)
    claims: dict[bytes, Claim] = field(default_factory=dict)
    fresh: set[bytes] = field(default_factory=set)
    """The addresses of the version that is being received."""


class Segment:
    """What speaker `node` knows of the segment behind `interface`."""

    def __init__(self, *, node: str, interface: str, boot: int, hold: float, now: float) -> None:
        """Listen for `hold` seconds before anything is taken."""
        self.node, self.interface, self._boot, self._hold = node, interface, boot, hold
        self.wanted: Mapping[bytes, Offer] = {}
        self.mine: dict[bytes, Claim] = {}
        self.peers: dict[str, Peer] = {}
        self.listen_until = now + hold
        self.leaving = False
        self._mute_until = now
        self._epochs: dict[bytes, int] = {}
        self._contested: frozenset[bytes] = frozenset()
        self._sequence = self._version = self._turn = 0
        self._burst = False

    def answers(self, address: bytes, now: float) -> bool:
        """Whether a request for the address is answered."""
        return address in self.mine and now >= self._mute_until

    def hear(self, beat: Beat, now: float) -> bool:
        """Take in a message that is rightly signed; True if it may change who announces what."""
        peer = self.peers.get(beat.node)
        if beat.node == self.node or not is_news(beat, peer.last if peer else None):
            return False
        hold = beat.hold_ms / 1000
        stranger = peer is None or not peer.alive or peer.last[0] != beat.boot
        if peer is None or stranger:
            peer = self.peers[beat.node] = Peer(last=(0, 0), deadline=0, hold=hold, interface=beat.interface)
            self._burst = True
        changed = stranger or peer.leaving != beat.leaving
        peer.last, peer.deadline, peer.hold = (beat.boot, beat.sequence), now + hold, hold
        peer.interface, peer.leaving = beat.interface, beat.leaving
        if peer.version != beat.version:
            peer.version, peer.missing, peer.fresh = beat.version, set(range(beat.chunks)), set()
        if beat.chunk in peer.missing:
            changed = True
            peer.missing.discard(beat.chunk)
            peer.claims |= beat.claims
            peer.fresh |= beat.claims.keys()
            if not peer.missing:
                peer.claims = {address: peer.claims[address] for address in peer.fresh}
            for address, claim in beat.claims.items():
                self._epochs[address] = max(self._epochs.get(address, 0), claim.epoch)
        return changed

    def bury(self, now: float) -> list[str]:
        """Count as dead who has been silent too long, and name them."""
        dead = [name for name, peer in self.peers.items() if peer.alive and peer.deadline <= now]
        for name in dead:
            self.peers[name].alive = False
            self.peers[name].claims = {}
        if dead:
            self._lower(1 + sum(peer.alive for peer in self.peers.values()))
        return dead

    def next_deadline(self) -> float | None:
        """When somebody dies who is not heard until then."""
        return min((peer.deadline for peer in self.peers.values() if peer.alive), default=None)

    def doubt(self, gap: float, now: float) -> None:
        """After `gap` seconds asleep: everyone has a new full term, and longer than a term means to have been dead.

        Who was dead keeps still until it has listened for a term, and any claim of another beats its own.
        """
        for peer in self.peers.values():
            peer.deadline = now + peer.hold
        if gap >= self._hold:
            self.listen_until = self._mute_until = now + self._hold
            self._lower(0)

    def follow(self, now: float) -> Plan:
        """Do what the plan says, and return it; what is to be defended is named once a contest."""
        others = {
            name: Neighbour(interface=peer.interface, claims=peer.claims, leaving=peer.leaving)
            for name, peer in self.peers.items()
            if peer.alive
        }
        todo = plan(
            View(
                me=self.node, interface=self.interface, wanted=self.wanted, mine=self.mine, others=others,
                epochs=self._epochs, listening=now < self.listen_until, leaving=self.leaving,
            )
        )  # fmt: skip
        for address in todo.withdraw:
            del self.mine[address]
        self.mine |= todo.take
        for address, claim in todo.take.items():
            self._epochs[address] = claim.epoch
        if todo.withdraw or todo.take:
            self._changed()
        defended = frozenset(todo.defend)
        new, self._contested = defended - self._contested, defended
        self._burst |= bool(new)
        return replace(todo, defend=tuple(new))

    def leave(self) -> None:
        """Say goodbye from now on; what is claimed is still answered until a successor claims it."""
        self.leaving, self._burst = True, True

    def beats(self) -> list[Beat]:
        """The messages that are due: one chunk in turn, or all when there is news."""
        pieces = chunks(self.mine)
        self._turn = (self._turn + 1) % len(pieces)
        turns = range(len(pieces)) if self._burst else [self._turn]
        self._burst = False
        return [self._beat(turn, len(pieces), pieces[turn]) for turn in turns]

    @property
    def has_news(self) -> bool:
        """Whether the others should be told at once."""
        return self._burst

    def _beat(self, chunk: int, total: int, claims: Mapping[bytes, Claim]) -> Beat:
        self._sequence += 1
        return Beat(
            node=self.node, interface=self.interface, boot=self._boot, sequence=self._sequence,
            hold_ms=round(self._hold * 1000), version=self._version, chunk=chunk, chunks=total, claims=claims,
            leaving=self.leaving,
        )  # fmt: skip

    def _lower(self, standing: int) -> None:
        self.mine = {a: replace(c, standing=min(c.standing, standing)) for a, c in self.mine.items()}
        self._changed()

    def _changed(self) -> None:
        self._version += 1
        self._burst = True
