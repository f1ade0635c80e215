"""State of one segment: live peers, claims and answered addresses. No sockets and no clock: time is an argument.

Times are seconds of a monotonic clock. The order of steps in `on_suspend` and `reconcile` makes them safe: stop
answering before sending, and receive before acquiring.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from lbproof_reference.speaker.elect import Claim
from lbproof_reference.speaker.heartbeat import Chunks, Heartbeat, is_news
from lbproof_reference.speaker.plan import Offer, PeerView, Plan, SegmentView, plan

if TYPE_CHECKING:
    from collections.abc import Mapping

RETAIN_SECONDS = 0.3
"""Time to wait for a successor before an address is withdrawn that this speaker may no longer announce."""


@dataclass(slots=True, kw_only=True)
class Peer:
    """State of another speaker; kept after its death, to detect replayed messages."""

    last: tuple[int, int]
    deadline: float
    dead_interval: float
    interface: str
    alive: bool = True
    leaving: bool = False
    claims: dict[bytes, Claim] = field(default_factory=dict)
    chunks: dict[int, Mapping[bytes, Claim]] = field(default_factory=dict)
    """The same claims, by chunk."""

    def claim(self, chunk: int, claims: Mapping[bytes, Claim]) -> set[bytes]:
        """Replace a chunk of claims. Return the addresses whose claim changed."""
        before = self.chunks.get(chunk, {})
        if claims == before:
            return set()
        self.chunks[chunk] = claims
        for address in before.keys() - claims.keys():
            if not any(address in other for other in self.chunks.values()):
                del self.claims[address]
        self.claims |= claims
        return {address for address, _ in before.items() ^ claims.items()}


class Segment:
    """State of the segment behind `interface` as known by speaker `node`."""

    def __init__(self, *, node: str, interface: str, boot: int, dead_interval: float, now: float) -> None:
        """Listen for `dead_interval` (s) before anything is acquired."""
        self.node, self.interface, self._boot, self._dead_interval = node, interface, boot, dead_interval
        self.desired: dict[bytes, Offer] = {}
        self.claims: dict[bytes, Claim] = {}
        self.peers: dict[str, Peer] = {}
        self.listen_until = now + dead_interval
        self.leaving = False
        self._mute_until = now
        self._epochs: dict[bytes, int] = {}
        self._contested: set[bytes] = set()
        self._retain_until: dict[bytes, float] = {}
        self._pending: dict[bytes, None] = {}  # addresses to decide on, in order
        self._listened = False
        self._chunks = Chunks()
        self._unsent_chunks: set[int] = set()  # chunks
        self._sent_once: set[int] = set()
        self._sequence = self._turn = 0

    def set_desired(self, changes: Mapping[bytes, Offer | None]) -> None:
        """Change the addresses to announce; None removes one."""
        for address, offer in changes.items():
            if offer is None:
                self.desired.pop(address, None)
            else:
                self.desired[address] = offer
            self._pending[address] = None

    def answers(self, address: bytes, now: float) -> bool:
        """Whether a request for the address is answered."""
        return address in self.claims and now >= self._mute_until

    def receive(self, heartbeat: Heartbeat, now: float) -> bool:
        """Process an authenticated heartbeat. Return True if it may change who announces what."""
        peer = self.peers.get(heartbeat.node)
        if heartbeat.node == self.node or not is_news(heartbeat, peer.last if peer else None):
            return False
        dead_interval = heartbeat.dead_interval_ms / 1000
        is_new = peer is None or not peer.alive or peer.last[0] != heartbeat.boot
        if peer is None or is_new:
            peer = self.peers[heartbeat.node] = Peer(
                last=(0, 0), deadline=0, dead_interval=dead_interval, interface=heartbeat.interface
            )
            self._mark_all_unsent()
        if is_new or peer.leaving != heartbeat.leaving:
            self._mark_all_pending()
        peer.last = (heartbeat.boot, heartbeat.sequence)
        peer.deadline, peer.dead_interval = now + dead_interval, dead_interval
        peer.interface, peer.leaving = heartbeat.interface, heartbeat.leaving
        for address in peer.claim(heartbeat.chunk, heartbeat.claims):
            self._pending[address] = None
            if claim := heartbeat.claims.get(address):
                self._epochs[address] = max(self._epochs.get(address, 0), claim.epoch)
        return bool(self._pending)

    def expire_peers(self, now: float) -> list[str]:
        """Mark peers whose dead interval has passed as dead, and return their names."""
        dead = [name for name, peer in self.peers.items() if peer.alive and peer.deadline <= now]
        for name in dead:
            self.peers[name].alive = False
            self.peers[name].claims, self.peers[name].chunks = {}, {}
        if dead:
            self._mark_all_pending()
            self._cap_standing(1 + sum(peer.alive for peer in self.peers.values()))
        return dead

    def next_deadline(self) -> float | None:
        """Return when the next peer or retained address expires (monotonic, s); None if there is none."""
        alive = [peer.deadline for peer in self.peers.values() if peer.alive]
        return min([*alive, *self._retain_until.values()], default=None)

    def on_suspend(self, gap: float, now: float) -> None:
        """Restart all peer timers; if `gap` (s) reaches our own dead interval, assume that peers declared us dead.

        In that case answer nothing until a dead interval has passed, and let any peer's claim win over our own.
        """
        for peer in self.peers.values():
            peer.deadline = now + peer.dead_interval
        if gap >= self._dead_interval:
            self.listen_until = self._mute_until = now + self._dead_interval
            self._cap_standing(0)

    def reconcile(self, now: float, most: int | None = None) -> Plan:
        """Apply the plan for the pending addresses (at most `most`), and return it.

        An address is in `defend` once per contest. `is_settled` tells whether addresses are left.
        """
        listening = now < self.listen_until
        if not listening and not self._listened:
            self._mark_all_pending()
        self._listened = not listening
        overdue = [address for address, until in self._retain_until.items() if until <= now]
        self._pending |= dict.fromkeys(overdue)
        addresses = list(islice(self._pending, most))
        peers = {
            name: PeerView(interface=peer.interface, claims=peer.claims, leaving=peer.leaving)
            for name, peer in self.peers.items()
            if peer.alive
        }
        todo = plan(
            SegmentView(
                me=self.node, interface=self.interface, desired=self.desired, claims=self.claims, peers=peers,
                epochs=self._epochs, listening=listening, leaving=self.leaving, addresses=addresses, overdue=overdue,
            )
        )  # fmt: skip
        for address in addresses:
            del self._pending[address]
            if address not in todo.retain:
                self._retain_until.pop(address, None)
        for address in todo.retain:
            self._retain_until.setdefault(address, now + RETAIN_SECONDS)
        for address in todo.withdraw:
            del self.claims[address]
            self._unsent_chunks.add(self._chunks.drop(address))
        for address, claim in todo.acquire.items():
            self._claim(address, claim)
            self._epochs[address] = claim.epoch
        new = tuple(address for address in todo.defend if address not in self._contested)
        self._contested = self._contested.difference(addresses) | set(todo.defend)
        self._unsent_chunks.update(self._chunks.put(address, self.claims[address]) for address in new)
        return replace(todo, defend=new)

    def is_settled(self, now: float) -> bool:
        """Whether there is nothing to do for `reconcile`."""
        news = self._pending or (not self._listened and now >= self.listen_until)
        return not news and all(until > now for until in self._retain_until.values())

    def leave(self) -> None:
        """Announce in heartbeats that this speaker leaves; claims are answered until a peer takes them over."""
        self.leaving = True
        self._mark_all_unsent()
        self._mark_all_pending()

    def heartbeats(self) -> list[Heartbeat]:
        """Return the due messages: the next chunk, changed chunks, and those changed the last time."""
        self._turn = (self._turn + 1) % len(self._chunks)
        due = self._unsent_chunks | self._sent_once | {self._turn}
        self._sent_once, self._unsent_chunks = self._unsent_chunks, set()
        return [self._heartbeat(number) for number in sorted(due)]

    @property
    def has_news(self) -> bool:
        """Whether changed chunks should be sent at once."""
        return bool(self._unsent_chunks)

    def _heartbeat(self, number: int) -> Heartbeat:
        self._sequence += 1
        return Heartbeat(
            node=self.node, interface=self.interface, boot=self._boot, sequence=self._sequence,
            dead_interval_ms=round(self._dead_interval * 1000), chunk=number,
            claims=self._chunks[number], leaving=self.leaving,
        )  # fmt: skip

    def _claim(self, address: bytes, claim: Claim) -> None:
        self.claims[address] = claim
        self._unsent_chunks.add(self._chunks.put(address, claim))

    def _cap_standing(self, standing: int) -> None:
        for address, claim in self.claims.items():
            if claim.standing > standing:
                self._claim(address, Claim(standing=standing, epoch=claim.epoch))

    def _mark_all_unsent(self) -> None:
        self._unsent_chunks.update(range(len(self._chunks)))

    def _mark_all_pending(self) -> None:
        self._pending |= dict.fromkeys(self.claims) | dict.fromkeys(self.desired)
