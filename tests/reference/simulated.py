"""Speakers in simulated time: real segments, a simulated LAN whose every path can be cut, and a clock of the test.

Events lie in one heap. A frame on the LAN is a number; the message that it stands for, and the keys that sign it, are
in a table, so that nothing is encoded. What `loop.py` does with timers and sockets is done here for each station.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lbproof_reference.speaker.heartbeat import Heartbeat
    from lbproof_reference.speaker.plan import Offer, Subnet

INTERVAL = 0.05
DEAD_INTERVAL = 3 * INTERVAL
STEP = 0.001
"""Greatest delay of a frame, and so of a measurement (s)."""
GATHER = 0.002
MAC = bytes(6)
SUBNETS: tuple[Subnet, ...] = ((bytes([10, 0, 0, 0]), 16),)


@dataclass(slots=True)
class Simulated:
    """One station: its segment, and what its event loop would hold."""

    segment: Segment
    due: float
    """When the next heartbeat is sent."""
    timer: float = 0.0
    """When the timer expires."""
    last: float = 0.0
    frozen: bool = False
    inbox: list[tuple[bytes, float]] = field(default_factory=list)
    """Frames that have arrived, and when."""
    reads_at_once: bool = True
    keys: Callable[[float], tuple[bytes, ...]] = lambda _: (b"key",)


class SimulatedLan:
    """Stations that receive each other's messages within 1 ms, unless a path between them is cut."""

    def __init__(self, nodes: Iterable[str], offers: Mapping[bytes, Offer], seed: int = 0) -> None:
        """Start a station on `eth0` of each node at time 0 with the same offers."""
        self.now = 0.0
        self.random = Random(seed)  # noqa: S311 - a test's choices
        self.stations: dict[Station, Simulated] = {}
        self.lost: Callable[[Station, Station], bool] = lambda _sender, _receiver: False
        """Whether a frame is lost on the way between two stations."""
        self.delay: Callable[[], float] = lambda: self.random.random() * STEP
        self.changed: Callable[[], None] = lambda: None
        """Called after each event that may change who answers."""
        self.frames: list[tuple[Heartbeat, tuple[bytes, ...], Station]] = []
        """All messages sent, the keys that sign them, and who sent them first."""
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.double: dict[bytes, float] = {}
        """Seconds per address with more than one answering station."""
        self.silent: dict[bytes, float] = {}
        """Seconds per address without an answering station."""
        self._counter = itertools.count(1)
        self._delays: tuple[tuple[float, Station], dict[Station, float]] = (0.0, Station("", "")), {}
        for node in nodes:
            self.start(Station(node, "eth0"))
        for number, one in enumerate(self.stations.values()):
            one.due = INTERVAL * number / len(self.stations)
            self._wake_at(one, one.due)
        self.set_desired(offers)

    def start(self, me: Station, *, subnets: tuple[Subnet, ...] = SUBNETS) -> Simulated:
        """Start a station, or start it again with a new session."""
        session = self.random.getrandbits(32)
        segment = Segment(
            me=me, mac=MAC, subnets=subnets, session=session, dead_interval=DEAD_INTERVAL, now=self.now
        )  # fmt: skip
        one = self.stations[me] = Simulated(segment, self.now + self.random.random() * STEP, last=self.now)
        self._wake_at(one, one.due)
        return one

    def set_desired(self, changes: Mapping[bytes, Offer | None], *nodes: str) -> None:
        """Change the addresses to announce on these nodes (default: all)."""
        for station, one in self.stations.items():
            if not nodes or station.node in nodes:
                one.segment.set_desired(changes)
                self._wake_by(one, self.now)

    def answering(self, address: bytes) -> list[Station]:
        """Return the stations that would answer a request now."""
        return [
            station
            for station, one in self.stations.items()
            if not one.frozen and one.segment.answers(address, self.now)
        ]

    def answerers(self, address: bytes) -> list[str]:
        """Return the nodes that would answer a request now."""
        return [station.node for station in self.answering(address)]

    def of(self, node: str) -> Simulated:
        """Return the station on `eth0` of a node."""
        return self.stations[Station(node, "eth0")]

    def freeze(self, node: str) -> None:
        """Suspend a node: its frames are kept and not read."""
        self.of(node).frozen = True

    def thaw(self, one: Simulated) -> None:
        """Resume a node."""
        one.frozen = False
        self.at(self.now, lambda: self._wake(one))

    def leave(self, node: str) -> None:
        """Start the handover of a node."""
        self.of(node).segment.leave()
        self._wake_by(self.of(node), self.now)

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Do something at a time."""
        heapq.heappush(self.events, (when, next(self._counter), act))

    def run(self, seconds: float) -> None:
        """Advance the time; `double` and `silent` start at 0."""
        addresses = {address for one in self.stations.values() for address in one.segment.desired}
        self.double, self.silent = dict.fromkeys(addresses, 0.0), dict.fromkeys(addresses, 0.0)
        until = self.now + seconds
        while self.now < until:
            for address in addresses:
                many = len(self.answering(address))
                self.double[address] += STEP * (many > 1)
                self.silent[address] += STEP * (many == 0)
            self.advance(self.now + STEP)

    def advance(self, until: float) -> None:
        """Process the events up to a time (s)."""
        while self.events and self.events[0][0] <= until:
            when, _, act = heapq.heappop(self.events)
            self.now = max(self.now, when)
            act()
        self.now = until

    def broadcast(self, frame: bytes, sender: Station) -> None:
        """Send a frame to all other stations; frames that a station sends at one time arrive in order."""
        if self._delays[0] != (self.now, sender):
            self._delays = (self.now, sender), {}
        for receiver, one in self.stations.items():
            if receiver != sender and not self.lost(sender, receiver):
                delay = self._delays[1].setdefault(receiver, self.delay())
                self.at(self.now + delay, partial(self._deliver, one, frame))

    def record(self, heartbeat: Heartbeat, keys: tuple[bytes, ...], sender: Station) -> bytes:
        """Return a frame that stands for a message."""
        self.frames.append((heartbeat, keys, sender))
        return (len(self.frames) - 1).to_bytes(8)

    def _deliver(self, one: Simulated, frame: bytes) -> None:
        if self.stations.get(one.segment.me) is not one:
            return
        if one.frozen or not one.reads_at_once:
            one.inbox.append((frame, self.now))
            return
        self._awake(one)
        self._receive(one, frame, self.now)
        self.changed()

    def _receive_all(self, one: Simulated) -> bool:
        inbox, one.inbox = one.inbox, []
        news = [self._receive(one, frame, max(arrived, self.now - INTERVAL)) for frame, arrived in inbox]
        return any(news)

    def _receive(self, one: Simulated, frame: bytes, arrived: float) -> bool:
        heartbeat, signed, sender = self.frames[int.from_bytes(frame)]
        news = False
        if set(one.keys(self.now)) & set(signed):
            news = one.segment.receive(heartbeat, frame, arrived)
        for relay in one.segment.peers.take_relays(self.now):
            message, keys, _ = self.frames[int.from_bytes(relay)]
            self.broadcast(self.record(message._replace(relayed=True), keys, sender), one.segment.me)
        self._wake_by(one, max(self.now + GATHER, self.now if news else one.segment.news_due()))
        return news

    def _awake(self, one: Simulated) -> None:
        if self.now <= one.timer + INTERVAL:
            return
        self._receive_all(one)
        one.segment.on_suspend(self.now, self.now - one.timer)
        self._reconcile(one)

    def _wake(self, one: Simulated) -> None:
        """Do what the speaker's timer does."""
        if one.frozen or self.stations.get(one.segment.me) is not one:
            return
        self._awake(one)
        news = self._receive_all(one)
        one.segment.expire_peers(self.now)
        if self.now >= one.due:
            one.due = max(one.due + INTERVAL, self.now)
            self._send(one, beat=True)
        one.reads_at_once = news or not one.segment.is_calm(self.now)
        self._reconcile(one)
        self.changed()

    def _wake_at(self, one: Simulated, when: float) -> None:
        one.timer = when
        self.at(when, lambda: self._wake(one) if one.timer == when else None)

    def _wake_by(self, one: Simulated, when: float) -> None:
        if when < one.timer:
            self._wake_at(one, when)

    def _reconcile(self, one: Simulated) -> None:
        one.segment.reconcile(self.now)
        if one.segment.news_due() <= self.now:
            self._send(one, beat=False)
        self._wake_at(one, min(one.due, one.segment.news_due(), one.segment.next_deadline(self.now)))
        if not one.segment.is_settled(self.now):
            self._wake_by(one, self.now)

    def _send(self, one: Simulated, *, beat: bool) -> None:
        one.last = self.now
        keys = one.keys(self.now)[:2]
        for heartbeat in one.segment.heartbeats(self.now, beat=beat):
            self.broadcast(self.record(heartbeat, keys, one.segment.me), one.segment.me)
