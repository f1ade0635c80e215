"""State of one segment: live peers, claims and answered addresses. No sockets and no clock: time is an argument.

Times are seconds of a monotonic clock. The order of steps in `on_suspend` and `reconcile` makes them safe: stop
answering before sending, and receive before acquiring.

What is guaranteed, with T the dead interval (three heartbeats by default) and counted from the last fault, replays and
rotations of keys not being faults. Stations hear each other if they are joined by links that carry frames both ways.

- At most one of the stations that hear each other answers for an address, after 2 T.
- At least one does, if one is able to (it is up, knows the address, may announce it and has its subnet), after 5 T, and
  2 T more for each live station that comes first and does not claim. After the death of a station alone: T and a
  heartbeat, if the next one is able.
- From 41 stations on, lists of what is heard need several messages: 2 T more for each after the first.
- If frames are then lost on the only way from A to B: A yields once B has shown that it receives frames, with the first
  heartbeat or request for an address of its own that reaches it, and gets what B claims back when B hears A again.

Assumptions: frames arrive within T/2 or not at all; who has a key follows the protocol; keys are rotated as in `keys`;
timers are not later than a heartbeat, or the suspension is noticed (`on_suspend`), which a virtual machine whose clocks
stand still while it is paused does not. Not guaranteed: parts of a cut
segment have an announcer each; a station that hears another that never heard it ignores it, as it would a replay; a
station that claims an address and does not answer is not noticed; A goes on yielding if B's receiver breaks later.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from lbproof_reference.speaker.elect import Claim
from lbproof_reference.speaker.heartbeat import Chunks, Heartbeat, room_for_claims
from lbproof_reference.speaker.peers import Peers
from lbproof_reference.speaker.plan import Hearing, Offer, PeerView, Plan, SegmentView, plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof_reference.speaker.elect import Station
    from lbproof_reference.speaker.plan import Subnet

PATIENCE = 2
"""Dead intervals after which a winner that has not claimed an address is passed over."""
LISTEN = 3
"""Most dead intervals to listen for, while sessions are heard that are not proven."""
REPEAT = 2
"""Dead intervals in which a changed chunk is sent again, as messages may be lost; then it is sent in its turn."""
_HURRY = 8
"""Fraction of a dead interval between messages that answer a new session, or repeat a chunk."""
_RECEIVED_SECONDS = 1.0


class Segment:
    """State of the segment of station `me`, which starts with a random `session` (64 bits)."""

    def __init__(
        self, *, me: Station, mac: bytes, subnets: tuple[Subnet, ...], session: int, dead_interval: float, now: float
    ) -> None:
        """Listen for `dead_interval` (s) before anything is acquired, and longer if a peer is not proven by then."""
        self.me, self.mac, self.subnets = me, mac, subnets
        self.desired: dict[bytes, Offer] = {}
        self.claims: dict[bytes, Claim] = {}
        self.peers = Peers(me=me, session=session, dead_interval=dead_interval)
        self.leaving = False
        self._session, self._dead_interval = session, dead_interval
        self._listen_from = now
        self._listened = False
        self._mute_until = now
        self._epochs: dict[bytes, int] = {}
        self._contested: set[bytes] = set()
        self._awaited: dict[bytes, tuple[Station, float]] = {}  # winner that has not claimed, and until when
        self._passed_over: dict[bytes, set[Station]] = {}
        self._pending: dict[bytes, None] = {}  # addresses to decide on, in order
        self._chunks = Chunks(room_for_claims(me))
        self._unsent_chunks: set[int] = set()
        self._repeat_until: dict[int, float] = {}  # chunks that changed
        self._chunk_sent: dict[int, float] = {}
        self._sequence = self._turn = 0
        self._is_hurried = False
        self._sent = self._received = -math.inf  # times of messages and frames

    def set_desired(self, changes: Mapping[bytes, Offer | None]) -> None:
        """Change the addresses to announce; None removes one."""
        for address, offer in changes.items():
            if offer is None:
                self.desired.pop(address, None)
                self._passed_over.pop(address, None)
            else:
                self.desired[address] = offer
            self._pending[address] = None

    def set_subnets(self, subnets: tuple[Subnet, ...]) -> None:
        """Change the subnets of the interface."""
        self.subnets = subnets
        self._mark_all_pending()

    def answers(self, address: bytes, now: float) -> bool:
        """Whether a request for the address is answered."""
        return address in self.claims and now >= self._mute_until

    def is_station(self, mac: bytes) -> bool:
        """Whether the MAC address is that of this station, or of a live peer with which it hears each other."""
        live = self.peers.live.values()
        return mac == self.mac or any(peer.mac == mac and peer.hearing is Hearing.MUTUAL for peer in live)

    def receive(self, heartbeat: Heartbeat, frame: bytes, now: float) -> bool:
        """Process an authenticated heartbeat (encoded: `frame`). Return True if it may change who announces what."""
        if heartbeat.session == self._session:  # relayed
            return False
        self.on_received(now)
        mutual, before = self.peers.mutual, self.peers.live.get(heartbeat.station)
        seen = (before.session, before.leaving, before.subnets, before.hearing) if before else None
        peer = self.peers.receive(heartbeat, frame, now)
        if peer is None:
            return False
        peer.leaving, peer.subnets = heartbeat.leaving, heartbeat.subnets
        if before is not peer:
            for passed_over in self._passed_over.values():
                passed_over.discard(heartbeat.station)
            self._mark_all_unsent()
        if seen != (peer.session, peer.leaving, peer.subnets, peer.hearing):
            self._mark_all_pending()
        if self.peers.mutual < mutual:
            self._cap_standing(1 + self.peers.mutual)
        for address in peer.claim(heartbeat.chunk, heartbeat.claims):
            self._pending[address] = None
            if claim := heartbeat.claims.get(address):
                self._epochs[address] = max(self._epochs.get(address, 0), claim.epoch)
                self._passed_over.get(address, set()).discard(heartbeat.station)
        return bool(self._pending)

    def on_received(self, now: float) -> None:
        """Note that a frame arrived: a heartbeat, or a request that this station answers."""
        self._is_hurried |= self._received <= self.peers.lost < now
        self._received = now

    def expire_peers(self, now: float) -> list[Station]:
        """Forget the peers whose dead interval has passed, and return them."""
        dead = self.peers.expire(now)
        if dead:
            self._cap_standing(1 + self.peers.mutual)
        if self.peers.expire_doubts(now) or dead:
            self._mark_all_pending()
        for peer in dead.values():
            self._pending = dict.fromkeys(peer.claims) | self._pending
        return list(dead)

    def next_deadline(self, now: float) -> float:
        """Return when a peer or an awaited claim expires, or listening ends (monotonic, s); infinity: never."""
        awaited = (until for _, until in self._awaited.values())
        listened = self._listen_from + self._dead_interval
        return min([*self.peers.deadlines(), *awaited, listened if listened > now else math.inf])

    def on_suspend(self, gap: float, now: float) -> None:
        """Restart all peer timers; if `gap` (s) reaches our own dead interval, assume that peers declared us dead.

        In that case answer nothing until a dead interval has passed, and let any peer's claim win over our own.
        """
        self.peers.restart_timers(now)
        for address, (station, _) in self._awaited.items():
            self._awaited[address] = station, now + PATIENCE * self._dead_interval
        self._received = -math.inf  # frames in the queue may have come before the suspension
        if gap >= self._dead_interval:
            self._listen_from, self._listened = now, False
            self._mute_until = now + self._dead_interval
            self._cap_standing(0)

    def reconcile(self, now: float, most: int | None = None) -> Plan:
        """Apply the plan for the pending addresses (at most `most`), and return it.

        An address is in `defend` once per contest; its claim is in each heartbeat until the peer withdraws.
        `is_settled` tells whether addresses are left.
        """
        listening = self._is_listening(now)
        if not listening and not self._listened:
            self._mark_all_pending()
        self._listened = not listening
        for address, (station, until) in self._awaited.items():
            if until <= now:
                self._pending[address] = None
                if not self._has_claimed(station, address):
                    self._passed_over.setdefault(address, set()).add(station)
        addresses = list(islice(self._pending, most))
        peers = {
            station: PeerView(subnets=peer.subnets, claims=peer.claims, leaving=peer.leaving, hearing=peer.hearing)
            for station, peer in self.peers.live.items()
        }
        todo = plan(
            SegmentView(
                me=self.me, subnets=self.subnets, desired=self.desired, claims=self.claims, peers=peers,
                epochs=self._epochs, passed_over=self._passed_over, listening=listening, leaving=self.leaving,
                addresses=addresses,
            )
        )  # fmt: skip
        for address in addresses:
            del self._pending[address]
            awaited = todo.awaits.get(address)
            if awaited is None or listening:
                self._awaited.pop(address, None)
            elif self._awaited.get(address, (None,))[0] != awaited:
                self._awaited[address] = (awaited, now + PATIENCE * self._dead_interval)
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
        news = self._pending or not (self._listened or self._is_listening(now))
        return not news and all(until > now for _, until in self._awaited.values())

    def leave(self) -> None:
        """Announce in heartbeats that this speaker leaves; claims are answered until a peer takes them over."""
        self.leaving = True
        self._mark_all_unsent()
        self._mark_all_pending()

    def heartbeats(self, now: float) -> list[Heartbeat]:
        """Return the due messages: the next chunk, changed chunks, and those with claims that a peer contests."""
        self._turn = (self._turn + 1) % len(self._chunks)
        contested = {self._chunks.number_of(address) for address in self._contested & self.claims.keys()}
        self._repeat_until = {number: until for number, until in self._repeat_until.items() if until > now}
        self._repeat_until |= dict.fromkeys(self._unsent_chunks, now + REPEAT * self._dead_interval)
        oldest = now - self._dead_interval / _HURRY
        again = {n for n in self._repeat_until.keys() | contested if self._chunk_sent.get(n, -math.inf) <= oldest}
        due = self._unsent_chunks | again | {self._turn}
        self._unsent_chunks = set()
        self._chunk_sent |= dict.fromkeys(due, now)
        self._sent, self._is_hurried = now, False
        heard, rounds = self.peers.heard(self._sequence + 1, now)
        common = Heartbeat(
            station=self.me, mac=self.mac, session=self._session, sequence=0, heard=heard, rounds=rounds,
            dead_interval_ms=round(self._dead_interval * 1000), subnets=self.subnets,
            chunk=0, claims={}, leaving=self.leaving,
            receives=self._received > self.peers.lost and now - self._received <= _RECEIVED_SECONDS,
        )  # fmt: skip
        messages = []
        for number in sorted(due):
            self._sequence += 1
            messages.append(replace(common, sequence=self._sequence, chunk=number, claims=self._chunks[number]))
        return messages

    def news_due(self) -> float | None:
        """Return when a message should be sent (monotonic, s): at once for changed chunks, soon for a new session."""
        if self._unsent_chunks:
            return self._sent
        return self._sent + self._dead_interval / _HURRY if self._is_hurried or self.peers.has_new else None

    def _has_claimed(self, station: Station, address: bytes) -> bool:
        peer = self.peers.live.get(station)
        return peer is not None and address in peer.claims

    def _is_listening(self, now: float) -> bool:
        passed = now - self._listen_from
        most = LISTEN if self.peers.has_unproven(now) else 1
        return not self._listened and passed < most * self._dead_interval

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
