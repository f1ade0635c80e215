"""Judge of the model: how long an address has two announcers, or none.

Stations that hear each other are those joined by paths of links that carry both ways (`components`). What is judged,
for each address, since the last fault (a replay, or a rotation of keys, is no excuse):

- two: two stations of one component answer, for longer than `TWO`, and a dead interval more if no two of those that
  answer hear each other but through others;
- none: no station of a component answers, nor one that the component hears, though a station of it is able to: it is
  there, knows the address, may announce it, and has its subnet; for longer than `NONE`, and `PATIENCE` dead intervals
  more for each station that may be awaited in vain: one of the component hears it, it has the subnet and does not know
  the address (excused: two faults in a row, a peer that was deaf to the component and received other frames, and whose
  receiver then broke: `segment` says so);
- deaf: a station and a peer that it hears and that does not hear it both answer, for longer than `TWO`;
- elsewhere: a station without the address's subnet answers though one of its component has it (bounds as of none);
- outdated: a station that knows to be cut from the API server answers though it may not by what a station of its
  component knows that is not, and that is able to (bounds as of none).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tests.reference.simulated import DEAD_INTERVAL, SUBNETS

from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.plan import Hearing
from lbproof_reference.speaker.segment import LISTEN, PATIENCE

if TYPE_CHECKING:
    from tests.reference.simulated import SimulatedLan

ADDRESSES = [bytes([10, 0, 0, number]) for number in range(3)]
TWO = 2 * DEAD_INTERVAL
NONE = (2 + LISTEN) * DEAD_INTERVAL
BOUNDS = {"two": TWO, "none": NONE, "deaf": TWO, "elsewhere": NONE, "outdated": NONE}


class Judge:
    """Judges the stations of a segment whenever something happens."""

    def __init__(
        self, lan: SimulatedLan, *, cut: set[tuple[Station, Station]], broken: set[Station], outdated: set[Station]
    ) -> None:
        """Read what the model changes: ways that lose every frame, broken receivers, stations cut from the API."""
        self._lan, self._cut, self._broken, self._outdated = lan, cut, broken, outdated
        self._disturbed = 0.0
        self._components: list[frozenset[Station]] = []
        self._since: dict[tuple[object, ...], float] = {}
        self.worst = dict.fromkeys(BOUNDS, 0.0)
        """Longest time of each kind (s)."""

    def disturb(self, until: float) -> None:
        """Excuse everything until a moment (s): a fault was injected."""
        self._disturbed = until
        self._components = self._find_components()
        self.check()

    def _find_components(self) -> list[frozenset[Station]]:
        left = {station for station, one in self._lan.stations.items() if not one.frozen} - self._broken
        found = []
        while left:
            todo, component = [left.pop()], set[Station]()
            while todo:
                one = todo.pop()
                component.add(one)
                near = {o for o in left if (one, o) not in self._cut and (o, one) not in self._cut}
                left -= near
                todo += near
            found.append(frozenset(component))
        return found

    def _are_linked(self, stations: frozenset[Station]) -> bool:
        """Whether frames go both ways between two of these stations."""
        pairs = itertools.combinations(stations, 2)
        return any((one, other) not in self._cut and (other, one) not in self._cut for one, other in pairs)

    def _hears(self, component: frozenset[Station], others: list[Station]) -> bool:
        """Whether a station of the component hears one of the others, by any path."""
        reached, todo = set(others), list(others)
        while todo:
            one = todo.pop()
            near = {o for o in self._lan.stations if o not in reached | self._broken and (one, o) not in self._cut}
            reached |= near
            todo += near
        return bool(reached & component)

    def _yields(self, component: frozenset[Station]) -> bool:
        """Whether a station of the component yields to a peer that received frames once, and no longer does."""
        lives = [self._lan.stations[station].segment.peers.live for station in component]
        return any(peer.hearing is Hearing.DEAF and s in self._broken for live in lives for s, peer in live.items())

    def check(self) -> None:
        """Judge the present moment. Raises AssertionError when a bound is exceeded."""
        reaching = {station for station, one in self._lan.stations.items() if one.segment.subnets == SUBNETS}
        live = {station: one.segment.peers.live for station, one in self._lan.stations.items()}
        for address in ADDRESSES:
            answering = [station for station in self._lan.answering(address) if station not in self._broken]
            blind = {station for station in self._lan.stations if not self._may_announce(station, address)}
            for component in self._components:
                mine = component.intersection(answering)
                relayed = 0 if self._are_linked(mine) else DEAD_INTERVAL
                self._judge("two", len(mine) > 1, address, component, more=relayed)
                able = component & reaching - blind
                is_silent = not mine and bool(able)
                is_silent = is_silent and not self._hears(component, answering) and not self._yields(component)
                is_elsewhere = not (mine <= reaching or reaching.isdisjoint(component))
                heard = component.union(*(live[s] for s in component)) if is_silent or is_elsewhere else component
                more = len(heard & reaching & blind) * PATIENCE * DEAD_INTERVAL
                self._judge("none", is_silent, address, component, more=more)
                self._judge("elsewhere", is_elsewhere, address, component, more=more)
                others = itertools.product(mine & self._outdated, able - self._outdated)
                is_old = any(not self._may_announce(other, address, one) for one, other in others)
                self._judge("outdated", is_old, address, component, more=more)
            for one, other in itertools.permutations(self._lan.stations, 2):
                peer = live[one].get(other) if {one, other} <= set(answering) else None
                self._judge("deaf", peer is not None and peer.hearing is not Hearing.MUTUAL, address, one, other)

    def _may_announce(self, station: Station, address: bytes, other: Station | None = None) -> bool:
        """Whether a station, or another, may announce an address by what the former knows."""
        offer = self._lan.stations[station].segment.desired.get(address)
        return offer is not None and offer.allows(*(other or station))

    def _judge(self, kind: str, is_so: bool, *what: object, more: float = 0) -> None:
        key = (kind, *what)
        if not is_so:
            self._since.pop(key, None)
            return
        lasted = self._lan.now - max(self._since.setdefault(key, self._lan.now), self._disturbed)
        self.worst[kind] = max(self.worst[kind], lasted)
        assert lasted <= BOUNDS[kind] + more, f"{kind} at {self._lan.now:.3f} for {lasted:.3f} s: {what}"
