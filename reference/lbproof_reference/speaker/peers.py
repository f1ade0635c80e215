"""Stations that this one hears: who is alive, who hears whom, and which messages to relay.

No clock of another node is read. A session of a peer counts once it is proven: one of its messages lists this
station's own session with a sequence number that was sent at most two dead intervals ago. So neither a replay from an
earlier life of the peer nor one to an earlier life of this station counts. Within a proven session the sequence must
grow. Other sessions are only listed, so that the peer can prove itself by listing this one; and the listing is sent at
once. A peer that died must prove itself again.

A message is relayed if a peer does not hear its sender directly, and this station is the first of those that the peer
hears directly and that hear the sender. So stations between which there is any path hear each other.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

from lbproof_reference.speaker.heartbeat import HEARD_AT_ONCE, Echo
from lbproof_reference.speaker.plan import Hearing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof_reference.speaker.elect import Claim, Station
    from lbproof_reference.speaker.heartbeat import Heartbeat
    from lbproof_reference.speaker.plan import Subnet

BEATS = 64
"""Beats whose times are remembered."""
UNPROVEN = 8
"""Unproven sessions of one station that are listed: between two messages a random choice of all that are heard."""
STRANGERS_AT_ONCE = 8
"""Places for unproven sessions in a message, if there are as many: the proven ones share the rest."""


@dataclass(slots=True, kw_only=True)
class Heard:
    """What was heard last of a session."""

    sequence: int
    until: float
    """Its dead interval after the last message."""
    direct_until: float = -math.inf
    """Half of its dead interval after the last message that was not relayed."""


@dataclass(slots=True, kw_only=True)
class Peer(Heard):
    """Live station whose session is proven."""

    session: int
    dead_interval: float
    echoed: float
    """When the latest message of this station that the peer listed was sent."""
    frame: bytes = b""
    """Its last message, as received."""
    mac: bytes = b""
    subnets: tuple[Subnet, ...] = ()
    leaving: bool = False
    hearing: Hearing = Hearing.MUTUAL
    hears_until: float = 0
    doubt_until: float = 0
    lists: dict[int, Echo] = field(default_factory=dict)
    """Sessions that it hears; their sequences are not kept."""
    listed_until: dict[int, float] = field(default_factory=dict)
    """When each of them no longer counts, unless it is listed again."""
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

    def hears(self, heartbeat: Heartbeat, now: float) -> bool:
        """Update what the peer hears. Return True if that changed."""
        before = self.lists
        if heartbeat.rounds == 1:
            self.lists, self.listed_until = {}, {}
        else:
            self.listed_until = {session: until for session, until in self.listed_until.items() if until > now}
            self.lists = {session: before[session] for session in self.listed_until}
        self.lists |= _without_sequences(heartbeat.heard)
        self.listed_until |= dict.fromkeys(heartbeat.heard, now + heartbeat.rounds * self.dead_interval)
        return self.lists != before

    def hear(self, heartbeat: Heartbeat, now: float, *, lists_me: bool) -> None:
        """Update whether the peer hears this station."""
        if lists_me:
            self.hearing, self.hears_until = Hearing.MUTUAL, now + heartbeat.rounds * self.dead_interval
        elif self.hearing is Hearing.MUTUAL and (heartbeat.rounds == 1 or self.hears_until <= now):
            self.hearing, self.doubt_until = Hearing.DOUBTED, now + self.dead_interval
        if heartbeat.receives and self.hearing is not Hearing.MUTUAL:
            self.hearing = Hearing.DEAF


class Peers:
    """Stations heard by station `me` in its session."""

    def __init__(self, *, me: Station, session: int, dead_interval: float) -> None:
        """Start without peers; `dead_interval` (s) is the own one."""
        self.me, self.session = me, session
        self.live: dict[Station, Peer] = {}
        self.has_new = False
        """Whether a session was heard that the last messages did not list."""
        self._dead_interval = dead_interval
        self._unproven: dict[Station, dict[int, Heard]] = {}
        self._sent: list[tuple[int, float]] = []  # first sequence of each beat, and when it was sent
        self._listed: dict[int, Echo] = {}  # what the own messages say
        self.lost = -math.inf
        """When a session was last heard no more."""
        self._turn = 0
        self._random = Random(session)  # noqa: S311 - it keeps no secret
        self._salt = 0
        self._duties: set[int] = set()
        self._is_stale = False
        self._decide_from = -math.inf
        self._relays: list[bytes] = []

    def receive(self, heartbeat: Heartbeat, frame: bytes, now: float) -> Peer | None:
        """Process a message; return its sender if it is news of a proven session (in a new `Peer` if that is new)."""
        peer = self.live.get(heartbeat.station)
        echo = heartbeat.heard.get(self.session)
        sent = self._time_of(echo.sequence, now, heartbeat.dead_interval_ms / 1000) if echo else None
        if peer is None or peer.session != heartbeat.session:
            if sent is None or (peer and sent <= peer.echoed):
                self._note_unproven(heartbeat, now)
                return None
            self._unproven.pop(heartbeat.station, None)
            peer = self.live[heartbeat.station] = Peer(
                sequence=0, until=0, session=heartbeat.session, dead_interval=0, echoed=sent
            )
            self._is_stale = True
        elif heartbeat.sequence <= peer.sequence or (echo and sent is None):
            if heartbeat.sequence == peer.sequence and not heartbeat.relayed:
                peer.direct_until = now + peer.dead_interval / 2
            return None
        peer.sequence, peer.frame, peer.mac = heartbeat.sequence, frame, heartbeat.mac
        peer.dead_interval = heartbeat.dead_interval_ms / 1000
        peer.until, peer.echoed = now + peer.dead_interval, max(peer.echoed, sent or 0)
        if not heartbeat.relayed:
            peer.direct_until = now + peer.dead_interval / 2
        peer.hear(heartbeat, now, lists_me=sent is not None)
        self._is_stale |= peer.hears(heartbeat, now)
        if heartbeat.session in self._duties:
            self._relays.append(frame)
        return peer

    def expire(self, now: float) -> dict[Station, Peer]:
        """Forget the peers whose dead interval has passed, and return them."""
        dead = {station: peer for station, peer in self.live.items() if peer.until <= now}
        for station in dead:
            del self.live[station]
        self._is_stale |= bool(dead)
        return dead

    def expire_doubts(self, now: float) -> bool:
        """Ignore doubted peers that received nothing for a dead interval. Return True if there are new ones."""
        broken = [p for p in self.live.values() if p.hearing is Hearing.DOUBTED and p.doubt_until <= now]
        for peer in broken:
            peer.hearing = Hearing.BROKEN
        return bool(broken)

    def deadlines(self) -> list[float]:
        """Return when peers die or are ignored (monotonic, s)."""
        doubts = [peer.doubt_until for peer in self.live.values() if peer.hearing is Hearing.DOUBTED]
        return [*(peer.until for peer in self.live.values()), *doubts]

    def restart_timers(self, now: float) -> None:
        """Give every peer a new dead interval."""
        for peer in self.live.values():
            peer.until = now + peer.dead_interval

    @property
    def mutual(self) -> int:
        """Number of peers that hear this station, and it them."""
        return sum(peer.hearing is Hearing.MUTUAL for peer in self.live.values())

    def has_unproven(self, now: float) -> bool:
        """Whether a session was heard within its dead interval that is not proven."""
        return any(heard.until > now for sessions in self._unproven.values() for heard in sessions.values())

    def heard(self, sequence: int, now: float) -> tuple[dict[int, Echo], int]:
        """Return the sessions to list in the messages from `sequence` on, and in how many beats all proven are listed.

        Peers that are heard only through relays are in each message, so that the relays know of them in time.
        """
        self._sent = [*self._sent[1 - BEATS :], (sequence, now)]
        self.has_new = False
        proven = {
            peer.session: Echo(peer.sequence, peer.direct_until > now, proven=True) for peer in self.live.values()
        }
        unproven = self._list_unproven(now)
        listed = _without_sequences(unproven | proven)
        self._is_stale |= listed != self._listed
        if self._listed.keys() - listed.keys():
            self.lost = now
        self._listed = listed
        room = HEARD_AT_ONCE - min(STRANGERS_AT_ONCE, len(unproven))
        urgent = list(islice((session for session, echo in proven.items() if not echo.direct), room // 2))
        others = [session for session in proven if session not in urgent]
        rounds = max(1, math.ceil(len(others) / (room - len(urgent))))
        self._turn += 1
        self._salt = self._random.getrandbits(64)
        chosen = urgent + _turn_of(others, room - len(urgent), self._turn)
        return (
            {session: proven[session] for session in chosen}
            | {
                session: unproven[session]
                for session in _turn_of(list(unproven), HEARD_AT_ONCE - len(chosen), self._turn)
            }
        ), rounds

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
        nothing = Echo(0, direct=False, proven=False)
        hear = [(station, peer.session, peer.lists) for station, peer in self.live.items()]
        hear.append((self.me, self.session, self._listed))
        duties = set[int]()
        for sender in self.live.values():
            deaf = [
                p for p in self.live.values() if p is not sender and not p.lists.get(sender.session, nothing).direct
            ]
            if not deaf:
                continue
            able = sorted(
                (not heard[sender.session].direct, station, session, heard)
                for station, session, heard in hear
                if heard.get(sender.session, nothing).proven
            )
            for receiver in deaf:
                relay = next(
                    (
                        station
                        for _, station, session, heard in able
                        if receiver.lists.get(session, nothing).direct and heard.get(receiver.session, nothing).proven
                    ),
                    None,
                )
                if relay == self.me:
                    duties.add(sender.session)
                    break
        return duties

    def _time_of(self, sequence: int, now: float, dead_interval: float) -> float | None:
        """Return when a message of this station was sent; None if it was not, or two dead intervals ago."""
        at = bisect_right(self._sent, (sequence, math.inf)) - 1
        oldest = now - 2 * max(dead_interval, self._dead_interval)
        return self._sent[at][1] if at >= 0 and self._sent[at][1] >= oldest else None

    def _draw(self, session: int) -> int:
        """Return a number by which a session gives way; another one after each message."""
        return hash((session, self._salt))

    def _list_unproven(self, now: float) -> dict[int, Echo]:
        """Return the sessions that are not proven; forget those whose dead interval has passed."""
        listed: dict[int, Echo] = {}
        for station, sessions in list(self._unproven.items()):
            for session, one in list(sessions.items()):
                if one.until <= now:
                    del sessions[session]
                else:
                    listed[session] = Echo(one.sequence, one.direct_until > now, proven=False)
            if not sessions:
                del self._unproven[station]
        return listed

    def _note_unproven(self, heartbeat: Heartbeat, now: float) -> None:
        sessions = self._unproven.setdefault(heartbeat.station, {})
        if heartbeat.session not in sessions:
            if len(sessions) >= UNPROVEN:  # a flood of replays must not push out a live session by its rate
                last = max(sessions, key=self._draw)
                if self._draw(last) < self._draw(heartbeat.session):
                    return
                del sessions[last]
            self.has_new = True
        heard = sessions.setdefault(heartbeat.session, Heard(sequence=0, until=0))
        if heartbeat.sequence < heard.sequence:
            return
        heard.sequence, heard.until = heartbeat.sequence, now + heartbeat.dead_interval_ms / 1000
        if not heartbeat.relayed:
            heard.direct_until = now + heartbeat.dead_interval_ms / 2000


def _turn_of(sessions: list[int], room: int, turn: int) -> list[int]:
    """Return `room` of the sessions, others each turn, so that all have their turn."""
    if len(sessions) <= room:
        return sessions
    rounds = math.ceil(len(sessions) / room)
    return sessions[turn % rounds * room :][:room]


def _without_sequences(heard: Mapping[int, Echo]) -> dict[int, Echo]:
    return {session: Echo(0, echo.direct, echo.proven) for session, echo in heard.items()}
