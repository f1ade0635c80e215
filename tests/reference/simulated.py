"""Speakers in simulated time: real segments, a simulated LAN that can be cut, and a clock of the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof_reference.speaker.heartbeat import decode, encode
from lbproof_reference.speaker.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lbproof_reference.speaker.plan import Offer

INTERVAL = 0.05
DEAD_INTERVAL = 3 * INTERVAL
STEP = 0.001


class SimulatedLan:
    """Nodes that receive each other's messages within 1 ms, unless they are cut off or frozen.

    Heartbeats of the nodes are out of phase. All decisions are made by `Segment`.
    """

    def __init__(self, nodes: Iterable[str], offers: Mapping[bytes, Offer]) -> None:
        """Start all nodes at time 0 with the same offers."""
        self.now = 0.0
        self.speakers = {
            node: Segment(node=node, interface="eth0", boot=number, dead_interval=DEAD_INTERVAL, now=0)
            for number, node in enumerate(nodes, start=1)
        }
        self.cut: set[str] = set()
        self.frozen: set[str] = set()
        self.double: dict[bytes, float] = {}
        """Seconds per address with more than one answering node."""
        self.silent: dict[bytes, float] = {}
        """Seconds per address without an answering node."""
        self._due = {node: INTERVAL * number / len(self.speakers) for number, node in enumerate(self.speakers)}
        self._last = dict.fromkeys(self.speakers, 0.0)
        self._inbox: dict[str, list[bytes]] = {node: [] for node in self.speakers}
        self.set_desired(offers)

    def set_desired(self, changes: Mapping[bytes, Offer | None], *nodes: str) -> None:
        """Change the addresses to announce on these nodes (default: all)."""
        for node in nodes or self.speakers:
            self.speakers[node].set_desired(changes)

    def answerers(self, address: bytes) -> list[str]:
        """Return the nodes that would answer a request now."""
        return [
            node
            for node, speaker in self.speakers.items()
            if node not in self.frozen and speaker.answers(address, self.now)
        ]

    def run(self, seconds: float) -> None:
        """Advance the time; `double` and `silent` start at 0."""
        addresses = {address for speaker in self.speakers.values() for address in speaker.desired}
        self.double, self.silent = dict.fromkeys(addresses, 0.0), dict.fromkeys(addresses, 0.0)
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            for node in self.speakers.keys() - self.frozen:
                self._turn(node)
            for address in addresses:
                many = len(self.answerers(address))
                self.double[address] += STEP * (many > 1)
                self.silent[address] += STEP * (many == 0)

    def _turn(self, node: str) -> None:
        speaker = self.speakers[node]
        heard, self._inbox[node] = self._inbox[node], []
        for frame in heard:
            speaker.receive(decode(frame, b"key"), self.now)
        if self.now > self._due[node] + INTERVAL:
            speaker.on_suspend(self.now - self._last[node], self.now)
            self._due[node] = self.now
        speaker.expire_peers(self.now)
        due = self.now >= self._due[node]
        if due:
            self._due[node] += INTERVAL
        if not speaker.is_settled(self.now):
            speaker.reconcile(self.now)
        if due or speaker.has_news:
            self._last[node] = self.now
            frames = [encode(heartbeat, b"key") for heartbeat in speaker.heartbeats()]
            for other in self._inbox.keys() - {node}:
                if not {node, other} & self.cut:
                    self._inbox[other] += frames
