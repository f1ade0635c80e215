"""Stations that this one hears: who is alive, who hears whom, and which messages to relay.

No clock of another node is read. The sequence of a session must grow for as long as this process runs, so no message
counts twice. A session of a peer counts once it is proven: one of its messages lists this station's own session with a
sequence number that was sent at most two dead intervals ago. So neither a replay from an earlier life of the peer nor
one to an earlier life of this station counts. Other sessions are only listed, so that the peer can prove itself by
listing this one; and the listing is sent at once. A peer that died must prove itself again.

A message is relayed if a peer does not hear its sender directly, and this station is the first of those that the peer
hears directly and that hear the sender. So stations between which there is any path hear each other.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from lbproof_reference.speaker.heartbeat import LISTED, STRANGERS, Echo
from lbproof_reference.speaker.plan import Hearing, PeerView

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof_reference.speaker.elect import Claim, Station
    from lbproof_reference.speaker.heartbeat import Heartbeat

BEATS = 64
"""Beats whose times are remembered."""
SESSIONS = 1024
"""Sessions whose latest sequence is remembered: those heard last."""


@dataclass(slots=True, kw_only=True)
class Peer(PeerView):
    """Live station whose session is proven."""

    session: int
    echoed: float
    """When the latest message of this station that the peer listed was sent."""
    sequence: int = 0
    dead_interval: float = 0
    until: float = 0
    """Its dead interval after the last message; the same for messages that list this station, and half of it for those
    that were not relayed."""
    hears_until: float = 0
    direct_until: float = -math.inf
    receives: bool = False
    """Whether it received frames since it last listed this station."""
    mac: bytes = b""
    frame: bytes = b""
    """Its last message, as received."""
    lists: Mapping[int, bool] = field(default_factory=dict)
    """Sessions that it hears, and whether directly."""
    chunks: dict[int, Mapping[bytes, Claim]] = field(default_factory=dict)
    """Its claims, by chunk."""

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

    def judge(self, now: float) -> bool:
        """Update whether the peer hears this station. Return True if that changed."""
        before = self.hearing
        if self.hears_until > now:
            self.hearing = Hearing.MUTUAL
        else:
            self.hearing = Hearing.DEAF if self.receives else Hearing.BROKEN
        return self.hearing is not before


class Peers:
    """Stations heard by station `me` in its session."""

    def __init__(self, *, me: Station, session: int, dead_interval: float) -> None:
        """Start without peers; `dead_interval` (s) is the own one."""
        self.me, self.session = me, session
        self.live: dict[Station, Peer] = {}
        self.changed = False
        """Whether a peer is new or dead, or changed in more than its claims, since this was last set to False."""
        self.has_new = False
        """Whether a session was heard that the last messages did not list."""
        self.lost = -math.inf
        """When a peer last died."""
        self._dead_interval = dead_interval
        self._latest: dict[int, int] = {}  # sequence by session, the one heard last at the end
        self._unproven: dict[int, float] = {}  # until when
        self._sent: list[tuple[int, float]] = []  # first sequence of each beat, and when it was sent
        self._lists: dict[int, bool] = {}  # peers, and whether they are heard directly
        self._turn = 0
        self._random = Random(session)  # noqa: S311 - it keeps no secret
        self._duties: set[int] = set()
        self._is_stale = False
        self._decide_from = -math.inf
        self._relays: list[bytes] = []

    def is_known(self, session: int, sequence: int) -> bool:
        """Whether such a message is an own one, or was received before: no need to read it."""
        return session == self.session or sequence <= self._latest.get(session, -1)

    def receive(self, heartbeat: Heartbeat, frame: bytes, now: float) -> Peer | None:
        """Process a message; return its sender if it is news of a proven session (in a new `Peer` if that is new)."""
        session, peer = heartbeat.session, self.live.get(heartbeat.station)
        if self.is_known(session, heartbeat.sequence):
            return None
        self._latest.pop(session, None)
        self._latest[session] = heartbeat.sequence
        if len(self._latest) > SESSIONS:
            del self._latest[next(iter(self._latest))]
        dead_interval = heartbeat.dead_interval_ms / 1000
        echo = heartbeat.heard.get(self.session)
        sent = self._time_of(echo.sequence, now, dead_interval) if echo else None
        if peer is None or peer.session != session:
            if sent is None or (peer and sent <= peer.echoed):
                self._note_unproven(session, now + dead_interval)
                return None
            self._unproven.pop(session, None)
            peer = self.live[heartbeat.station] = Peer(session=session, echoed=sent)
            self.changed = True
        elif heartbeat.sequence <= peer.sequence or (echo and sent is None):
            return None
        before = (peer.leaving, peer.outdated, peer.subnets, peer.elsewhere)
        peer.sequence, peer.frame, peer.mac = heartbeat.sequence, frame, heartbeat.mac
        now_is = (heartbeat.leaving, heartbeat.outdated, heartbeat.subnets, heartbeat.elsewhere)
        peer.leaving, peer.outdated, peer.subnets, peer.elsewhere = now_is
        peer.dead_interval, peer.until = dead_interval, now + dead_interval
        if not heartbeat.relayed:
            peer.direct_until = now + dead_interval / 2
        peer.receives = sent is None and (peer.receives or heartbeat.receives)
        if sent is not None:
            peer.echoed, peer.hears_until = max(peer.echoed, sent), peer.until
        self.changed |= peer.judge(now) or before != now_is
        lists = {one: echo.direct for one, echo in heartbeat.heard.items()}
        self._is_stale |= lists != peer.lists
        peer.lists = lists
        if session in self._duties:
            self._relays.append(frame)
        return peer

    def expire(self, now: float) -> dict[Station, Peer]:
        """Forget the peers whose dead interval has passed, and return them; judge whom the others hear."""
        dead = {station: peer for station, peer in self.live.items() if peer.until <= now}
        for station in dead:
            del self.live[station]
        if dead:
            self.lost, self.changed, self._is_stale = now, True, True
        for peer in self.live.values():
            self.changed |= peer.judge(now)
        return dead

    def deadlines(self) -> list[float]:
        """Return when peers die, or no longer count as hearing this station (monotonic, s)."""
        return [p.hears_until if p.hearing is Hearing.MUTUAL else p.until for p in self.live.values()]

    def delay_timers(self, now: float, seconds: float) -> None:
        """Give every peer so much more time, but no more than its dead interval."""
        for peer in self.live.values():
            peer.until = min(peer.until + seconds, now + peer.dead_interval)
            if peer.hearing is Hearing.MUTUAL:
                peer.hears_until = min(peer.hears_until + seconds, now + peer.dead_interval)

    @property
    def mutual(self) -> int:
        """Number of peers that hear this station, and it them."""
        return sum(peer.hearing is Hearing.MUTUAL for peer in self.live.values())

    def has_unproven(self, now: float) -> bool:
        """Whether a session was heard within its dead interval that is not proven."""
        return any(until > now for until in self._unproven.values())

    def is_calm(self, now: float) -> bool:
        """Whether no message has to be relayed, and all stations that are heard hear this one and stay."""
        is_busy = self._duties or self._is_stale or self.has_new or self.has_unproven(now)
        return not is_busy and all(p.hearing is Hearing.MUTUAL and not p.leaving for p in self.live.values())

    def heard(self, sequence: int, now: float) -> dict[int, Echo]:
        """Return the sessions to list in the messages from `sequence` on; in turns if there are too many."""
        self._sent = [*self._sent[1 - BEATS :], (sequence, now)]
        self.has_new = False
        self._unproven = {session: until for session, until in self._unproven.items() if until > now}
        unproven = sorted(self._unproven.keys() & self._latest.keys())
        strangers = self._random.sample(unproven, min(STRANGERS, len(unproven)))
        peers, room = list(self.live.values()), LISTED - len(strangers)
        lists = {peer.session: peer.direct_until > now for peer in peers}
        self._is_stale |= lists != self._lists
        self._lists = lists
        self._turn = (self._turn + room) % len(peers) if len(peers) > room else 0
        listed = {p.session: Echo(p.sequence, lists[p.session]) for p in (peers * 2)[self._turn :][:room]}
        return listed | {session: Echo(self._latest[session], direct=False) for session in strangers}

    def take_relays(self, now: float) -> list[bytes]:
        """Return the messages to relay now, as received. Who relays is decided again eight times a dead interval."""
        if self._is_stale and now >= self._decide_from:
            self._is_stale, self._decide_from = False, now + self._dead_interval / 8
            duties = self._relay_duties()
            self._relays += [p.frame for p in self.live.values() if p.session in duties - self._duties]
            self._duties = duties
        relays, self._relays = self._relays, []
        return list(dict.fromkeys(relays))

    def _relay_duties(self) -> set[int]:
        """Return the sessions of peers whose messages this station relays.

        Between two peers the lowest station relays that can, first those that hear the sender directly.
        """
        peers = self.live.values()
        hear = [(peer.session, station, peer.lists) for station, peer in self.live.items()]
        hear.append((self.session, self.me, self._lists))
        duties = set[int]()
        for sender in (peer.session for peer in peers):
            for receiver in peers:
                if receiver.session != sender and not receiver.lists.get(sender):
                    able = (
                        (not lists[sender], station)
                        for session, station, lists in hear
                        if sender in lists and receiver.lists.get(session) and receiver.session in lists
                    )
                    if min(able, default=(None, None))[1] == self.me:
                        duties.add(sender)
        return duties

    def _time_of(self, sequence: int, now: float, dead_interval: float) -> float | None:
        """Return when a message of this station was sent; None if it was not, or two dead intervals ago."""
        at = bisect_right(self._sent, (sequence, math.inf)) - 1
        oldest = now - 2 * max(dead_interval, self._dead_interval)
        return self._sent[at][1] if at >= 0 and self._sent[at][1] >= oldest else None

    def _note_unproven(self, session: int, until: float) -> None:
        """List a session; a flood of replays must not push out a live one by its rate."""
        self.has_new |= session not in self._unproven
        self._unproven[session] = until
        if len(self._unproven) > LISTED:
            del self._unproven[self._random.choice(list(self._unproven))]
