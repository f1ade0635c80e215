"""State of one segment: live peers, claims and answered addresses. No sockets and no clock: time is an argument.

Times are seconds of a monotonic clock. The order of steps in `on_suspend` and `reconcile` makes them safe: stop
answering before sending, and receive before acquiring.

What is guaranteed, with T the dead interval (three heartbeats by default) and counted from the last fault, replays and
rotations of keys not being faults. Stations hear each other if they are joined by links that carry frames both ways.

- At most one of the stations that hear each other answers for an address, after 2 T, or 3 T if they hear each other
  through others alone, however long they differ on who may announce it.
- At least one does, if one is able to (it is up, knows the address, may announce it and has its subnet), after 5 T, and
  2 T more for each live station that comes first and does not claim. After the death of a station alone: T and a
  heartbeat, if the next one is able.
- If they differ, the one that claims an address goes on until it learns that it may not. If it knows that it is cut
  from the API server, it ends when a station that is not, and by whose list it may not, answers.
- If frames are then lost on the only way from A to B: A yields T after B last listed it, or later once B has shown that
  it receives frames, with the first heartbeat or request for an address of its own that reaches it, and gets what B
  claims back when B hears A again.

Assumptions: a segment has at most 57 stations, as many as a message lists; the addresses that change at once, some
thousands, are decided on within T/2; frames arrive within T/6 or not at all, and are read at most a heartbeat later;
who has a key follows the protocol; keys are rotated as in `keys`; timers are not later than a heartbeat, or the
suspension is noticed (`on_suspend`), which a virtual machine whose clocks stand still while it is paused does not. Not
guaranteed: parts of a cut segment have an announcer each; a station that hears another that never heard it ignores it,
as it would a replay; a station that claims an address and does not answer is not noticed; A goes on yielding if B's
receiver breaks later; if A yields to B, B to C and C to A, they answer in turns.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from lbproof_reference.speaker.elect import Claim
from lbproof_reference.speaker.heartbeat import Chunks, Heartbeat
from lbproof_reference.speaker.peers import Peers
from lbproof_reference.speaker.plan import NOTHING, Hearing, Offer, Plan, SegmentView, plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lbproof_reference.speaker.elect import Station
    from lbproof_reference.speaker.plan import Subnet

PATIENCE = 2
"""Dead intervals after which a winner that has not claimed an address is passed over."""
LISTEN = 3
"""Most dead intervals to listen for, while sessions are heard that are not proven."""
REPEAT = 2
"""Dead intervals in which a changed chunk is sent again, as messages may be lost; then it is sent in its turn."""
_HURRY = 8
"""Fraction of a dead interval between messages that answer a new session."""
_RECEIVED_SECONDS = 1.0


class Segment:
    """State of the segment of station `me`, which starts with a random `session` (32 bits)."""

    def __init__(
        self, *, me: Station, mac: bytes, subnets: tuple[Subnet, ...], session: int, dead_interval: float, now: float
    ) -> None:
        """Listen for `dead_interval` (s) before anything is acquired, and longer if a peer is not proven by then."""
        self.me, self.mac, self.subnets = me, mac, subnets
        self.elsewhere: tuple[Subnet, ...] = ()
        self.desired: dict[bytes, Offer] = {}
        self.claims: dict[bytes, Claim] = {}
        self.peers = Peers(me=me, session=session, dead_interval=dead_interval)
        self.leaving = self.outdated = False
        self._dead_interval = dead_interval
        self._listen_from = now
        self._listened = False
        self._epochs: dict[bytes, int] = {}  # of desired addresses
        self._contested: set[bytes] = set()
        self._awaited: dict[bytes, tuple[int, float]] = {}  # number of winners that were passed over, and the next time
        self._pending: dict[bytes, None] = {}  # addresses to decide on, in order
        self._chunks = Chunks()
        self._unsent: set[int] = set()  # chunks that changed
        self._repeat_until: dict[int, float] = {}
        self._sequence = self._turn = 0
        self._is_hurried = False
        self._sent = self._received = -math.inf  # times of messages and frames

    def set_desired(self, changes: Mapping[bytes, Offer | None]) -> None:
        """Change the addresses to announce; None removes one."""
        for address, offer in changes.items():
            if offer is None:
                for known in (self.desired, self._epochs, self._awaited):
                    known.pop(address, None)
            else:
                self.desired[address] = offer
                claims = [peer.claims[address] for peer in self.peers.live.values() if address in peer.claims]
                self._epochs[address] = max([self._epochs.get(address, 0), *(claim.epoch for claim in claims)])
            self._pending[address] = None

    def set_subnets(self, subnets: tuple[Subnet, ...]) -> None:
        """Change the subnets of the interface."""
        self.subnets = subnets
        self._mark_all_pending()

    def set_elsewhere(self, subnets: tuple[Subnet, ...]) -> None:
        """Change the subnets of the node's other interfaces, which heartbeats name: their addresses are for those."""
        self.elsewhere = subnets

    def set_outdated(self, outdated: bool) -> None:
        """Say in heartbeats whether this station is cut from the API server."""
        if outdated != self.outdated:
            self.outdated = outdated
            self._mark_all_pending()

    def answers(self, address: bytes, now: float) -> bool:
        """Whether a request for the address is answered."""
        return address in self.claims and not self._is_listening(now)

    def is_station(self, mac: bytes) -> bool:
        """Whether the MAC address is that of this station, or of a live peer with which it hears each other."""
        live = self.peers.live.values()
        return mac == self.mac or any(peer.mac == mac and peer.hearing is Hearing.MUTUAL for peer in live)

    def receive(self, heartbeat: Heartbeat, frame: bytes, now: float) -> bool:
        """Process an authenticated heartbeat (encoded: `frame`). Return True if it may change who announces what."""
        before = self.peers.live.get(heartbeat.station)
        if heartbeat.session != self.peers.session:  # not relayed
            self.on_received(now)
        peer = self.peers.receive(heartbeat, frame, now)
        if peer is None:
            return False
        if before is not peer:
            self._mark_all_unsent()
        for address in peer.claim(heartbeat.chunk, heartbeat.claims):
            self._pending[address] = None
            if address in self.desired and (claim := heartbeat.claims.get(address)):
                self._epochs[address] = max(self._epochs.get(address, 0), claim.epoch)
        return self.peers.changed or bool(self._pending)

    def on_received(self, now: float) -> None:
        """Note that a frame arrived: a heartbeat, or a request that this station answers."""
        self._is_hurried |= self._received <= self.peers.lost < now
        self._received = now

    def expire_peers(self, now: float) -> list[Station]:
        """Forget the peers whose dead interval has passed, and return them."""
        dead = self.peers.expire(now)
        for peer in dead.values():
            self._pending = dict.fromkeys(peer.claims) | self._pending
        return list(dead)

    def next_deadline(self, now: float) -> float:
        """Return when a peer or an awaited claim expires, or listening ends (monotonic, s); infinity: never."""
        awaited = (until for _, until in self._awaited.values())
        listened = self._listen_from + self._dead_interval
        return min([*self.peers.deadlines(), *awaited, listened if listened > now else math.inf])

    def on_suspend(self, now: float, late: float) -> None:
        """Let no timer run during a suspension that made a timer `late` (s).

        If nothing was sent for our own dead interval, frames may be lost, and peers have declared us dead: restart all
        timers, listen as at the start, answer nothing meanwhile, and let any peer's claim win over our own.
        """
        if now - self._sent >= self._dead_interval:
            late = math.inf
            self._listen_from, self._listened = now, False
            self._cap_standing(0, self.claims)
        self.peers.delay_timers(now, late)
        later = now + PATIENCE * self._dead_interval
        self._awaited = {
            address: (count, min(until + late, later)) for address, (count, until) in self._awaited.items()
        }
        self._received = -math.inf  # frames in the queue may have come before the suspension

    def reconcile(self, now: float, most: int | None = None) -> Plan:
        """Apply the plan for the pending addresses (at most `most`), and return it.

        An address is in `defend` once per contest; its claim is in each heartbeat until the peer withdraws.
        `is_settled` tells whether addresses are left.
        """
        if self.is_settled(now):
            return NOTHING
        listening = self._is_listening(now)
        if self.peers.changed or (not listening and not self._listened):
            self._mark_all_pending()
            self._cap_standing(1 + self.peers.mutual, self.claims)
        self.peers.changed, self._listened = False, not listening
        later = now + PATIENCE * self._dead_interval
        for address, (passed_over, until) in self._awaited.items():
            if until <= now:
                self._awaited[address] = passed_over + 1, later
                self._pending[address] = None
        addresses = list(islice(self._pending, most))
        todo = plan(
            SegmentView(
                me=self.me, subnets=self.subnets, desired=self.desired, claims=self.claims, peers=self.peers.live,
                epochs=self._epochs, addresses=addresses, listening=listening, leaving=self.leaving,
                outdated=self.outdated,
                passed_over={address: self._awaited[address][0] for address in addresses if address in self._awaited},
            )
        )  # fmt: skip
        for address in addresses:
            del self._pending[address]
            if address not in todo.awaits or listening:
                self._awaited.pop(address, None)
            else:
                self._awaited.setdefault(address, (0, later))
        for address in todo.withdraw:
            del self.claims[address]
            self._unsent.add(self._chunks.drop(address))
        self._cap_standing(0, self.claims.keys() & todo.lower)
        for address, claim in todo.acquire.items():
            self._claim(address, claim)
            self._epochs[address] = claim.epoch
        new = tuple(address for address in todo.defend if address not in self._contested)
        self._contested = self._contested.difference(addresses) | set(todo.defend)
        self._unsent.update(self._chunks.number_of[address] for address in new)
        return replace(todo, defend=new)

    def is_settled(self, now: float) -> bool:
        """Whether there is nothing to do for `reconcile`."""
        news = self._pending or self.peers.changed or not (self._listened or self._is_listening(now))
        return not news and all(until > now for _, until in self._awaited.values())

    def is_calm(self, now: float) -> bool:
        """Whether nothing is expected of the peers: their messages may then wait until the next own heartbeat."""
        return self.is_settled(now) and not self._awaited and not self._unsent and self.peers.is_calm(now)

    def leave(self) -> None:
        """Announce in heartbeats that this speaker leaves; claims are answered until a peer takes them over."""
        self.leaving = True
        self._mark_all_unsent()
        self._mark_all_pending()

    def heartbeats(self, now: float, *, beat: bool = True) -> list[Heartbeat]:
        """Return the messages with the changed chunks.

        With each `beat`, and if no chunk changed, there are also the next one, those that changed a short time ago, and
        those with claims that a peer contests.
        """
        due, self._unsent = self._unsent, set()
        self._repeat_until |= dict.fromkeys(due, now + REPEAT * self._dead_interval)
        if beat or not due:
            self._turn = (self._turn + 1) % len(self._chunks.pieces)
            due.add(self._turn)
            self._repeat_until = {number: until for number, until in self._repeat_until.items() if until > now}
            contested = self._contested & self.claims.keys()
            due.update(self._repeat_until, (self._chunks.number_of[address] for address in contested))
        self._sent, self._is_hurried = now, False
        common = Heartbeat(
            station=self.me, mac=self.mac, session=self.peers.session, sequence=0,
            dead_interval_ms=round(self._dead_interval * 1000), heard=self.peers.heard(self._sequence + 1, now),
            subnets=self.subnets, elsewhere=self.elsewhere, chunk=0, claims={}, leaving=self.leaving,
            outdated=self.outdated,
            receives=self._received > self.peers.lost and now - self._received <= _RECEIVED_SECONDS,
        )  # fmt: skip
        messages = []
        for number in sorted(due):
            self._sequence += 1
            claims = self._chunks.pieces[number].copy()
            messages.append(common._replace(sequence=self._sequence, chunk=number, claims=claims))
        return messages

    def news_due(self) -> float:
        """Return when a message should be sent (monotonic, s): at once for changed chunks, soon for a new session.

        Infinity: not before the next heartbeat.
        """
        if self._unsent:
            return self._sent
        return self._sent + self._dead_interval / _HURRY if self._is_hurried or self.peers.has_new else math.inf

    def _is_listening(self, now: float) -> bool:
        if self._listened:
            return False
        most = LISTEN if self.peers.has_unproven(now) else 1
        return now - self._listen_from < most * self._dead_interval

    def _claim(self, address: bytes, claim: Claim) -> None:
        self.claims[address] = claim
        self._unsent.add(self._chunks.put(address, claim))

    def _cap_standing(self, standing: int, addresses: Iterable[bytes]) -> None:
        for address in addresses:
            claim = self.claims[address]
            if claim.standing > standing:
                self._claim(address, Claim(standing=standing, epoch=claim.epoch))
                self._pending[address] = None  # another claim may win now

    def _mark_all_unsent(self) -> None:
        self._unsent.update(range(len(self._chunks.pieces)))

    def _mark_all_pending(self) -> None:
        self._pending |= dict.fromkeys(self.claims) | dict.fromkeys(self.desired)
