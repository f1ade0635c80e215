"""Model of the election: random faults on a simulated segment, and how long an address has two announcers, or none.

`python -m tests.reference.model --seconds 60 --seed 1` injects faults for so long (CPU time) and prints what it saw.
The test in `test_model.py` explores the same faults with Hypothesis; `judge.py` says what is judged.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from tests.reference.judge import ADDRESSES, BOUNDS, Judge
from tests.reference.simulated import DEAD_INTERVAL, INTERVAL, SUBNETS, Simulated, SimulatedLan

from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.keys import Keyring
from lbproof_reference.speaker.plan import Allowed, Offer

if TYPE_CHECKING:
    from collections.abc import Callable

NODES = ("n1", "n2", "n3", "n4")
STATIONS = (*(Station(node, "eth0") for node in NODES), Station("n1", "eth1"))
ELSEWHERE = ((bytes([10, 9, 0, 0]), 16),)
GOODBYE = 0.3
"""Time that a leaving station waits for successors (s), as `loop.py` does."""


class Model:
    """A segment of four nodes, one with a second NIC on it, and everything that can go wrong."""

    def __init__(self, seed: int = 0) -> None:
        """Start all stations together."""
        self.random = Random(seed)  # noqa: S311 - a test's choices
        self.lan = SimulatedLan((), {}, seed)
        self.faults = Counter[str]()
        self.cut: set[tuple[Station, Station]] = set()
        self.broken: set[Station] = set()
        self.unable: dict[Station, set[bytes]] = {}
        self.uninformed: set[Station] = set()
        self.outdated: set[Station] = set()
        self.allowed = dict.fromkeys(ADDRESSES, frozenset(NODES))
        self.loss, self.slowest = 0.0, 0.001
        self.key, self.previous = self._new_key(), b""
        self.keyrings: dict[Station, Keyring] = {}
        self.judge = Judge(self.lan, cut=self.cut, broken=self.broken, outdated=self.outdated)
        self.desired = set(ADDRESSES)
        self._until = 0.0
        self._sending: set[Station] = set()
        self.lan.lost = self._is_lost
        self.lan.delay = lambda: self.random.random() * self.slowest
        self.lan.changed = self.judge.check
        for station in STATIONS:
            self._start(station)
        self._disturb()
        self._tick()

    # Faults: each takes its choices from `self.random`.

    def cut_one_way(self, *ends: Station) -> None:
        """Lose every frame from one station to another."""
        self.cut.add(ends or tuple(self.random.sample(STATIONS, 2)))  # type: ignore[arg-type]

    def cut_pair(self) -> None:
        """Lose every frame between two stations."""
        one, other = self.random.sample(STATIONS, 2)
        self.cut |= {(one, other), (other, one)}

    def partition(self) -> None:
        """Divide the segment in two."""
        side = set(self.random.sample(STATIONS, self.random.randint(1, 2)))
        self.cut |= {(a, b) for a in STATIONS for b in STATIONS if (a in side) != (b in side)}

    def heal(self) -> None:
        """Let all frames through."""
        self.cut.clear()
        self.broken.clear()

    def heal_one_way(self) -> None:
        """Let the frames of one station to another through."""
        if self.cut:
            self.cut.discard(self.random.choice(sorted(self.cut)))

    def break_receiver(self) -> None:
        """Lose every frame to a station, requests too."""
        self.broken.add(self.random.choice(STATIONS))

    def crash(self) -> None:
        """End a node without a word."""
        if len(self.lan.stations) > 1:
            self._stop(self.random.choice(list(self.lan.stations)).node)

    def start(self) -> None:
        """Start the stations that are down."""
        for station in STATIONS:
            if station not in self.lan.stations:
                self._start(station)

    def restart(self) -> None:
        """End a node and start it at once."""
        node = self.random.choice(NODES)
        self._stop(node)
        for station in STATIONS:
            if station.node == node:
                self._start(station)

    def unplug(self, station: Station | None = None) -> None:
        """Pull the cable of one station; its speaker closes the sockets."""
        station = station or self.random.choice(STATIONS)
        if len(self.lan.stations) > 1:
            self.lan.stations.pop(station, None)

    def suspend(self) -> None:
        """Freeze a station for some time."""
        if thawed := [one for one in self.lan.stations.values() if not one.frozen]:
            one = self.random.choice(thawed)
            one.frozen = True
            self.lan.at(self.lan.now + self.random.choice((0.5, 1, 2, 8)) * DEAD_INTERVAL, lambda: self._thaw(one))

    def drop(self) -> None:
        """Lose up to half of all frames for a while."""
        self.loss = self.random.random() / 2
        self._unstable(lambda: setattr(self, "loss", 0.0))

    def slow(self) -> None:
        """Delay and reorder frames by up to half a heartbeat for a while."""
        self.slowest = self.random.random() * INTERVAL / 2
        self._unstable(lambda: setattr(self, "slowest", 0.001))

    def replay(self) -> None:
        """Send frames recorded earlier, of any session, again and again for a while."""
        known = self.random.sample(range(len(self.lan.frames)), min(20, len(self.lan.frames)))
        until = self.lan.now + 8 * self.random.random()

        def again() -> None:
            number = self.random.choice(known)
            self.lan.broadcast(number.to_bytes(8), Station("attacker", "eth0"))
            if self.lan.now < until:
                self.lan.at(self.lan.now + self.random.random() * INTERVAL, again)

        again()

    def rotate_key(self) -> None:
        """Take the next step of a rotation, if all stations that are up know the last one."""
        if self.previous:
            self.previous = b""
        else:
            self.key, self.previous = self._new_key(), self.key
        for station in self.lan.stations:
            self.lan.at(self.lan.now + self.random.random(), partial(self._read_key, station))
        self._until = max(self._until, self.lan.now + 1)

    def lose_list(self, station: Station | None = None, address: bytes | None = None) -> None:
        """Let a station forget an address: it is cut from the API server, or its list is old."""
        station, address = station or self.random.choice(STATIONS), address or self.random.choice(ADDRESSES)
        self.unable.setdefault(station, set()).add(address)
        self._tell(station, {address: None})

    def lose_subnet(self, station: Station | None = None) -> None:
        """Take the subnet from a station."""
        station = station or self.random.choice(STATIONS)
        self.unable[station] = set(ADDRESSES)
        if one := self.lan.stations.get(station):
            one.segment.set_subnets(ELSEWHERE)

    def make_able(self) -> None:
        """Give every station its subnet and all addresses."""
        self.unable.clear()
        for station, one in self.lan.stations.items():
            one.segment.set_subnets(SUBNETS)
            if station not in self.uninformed:
                self._tell(station, self._offers(station))

    def change_address(self) -> None:
        """Release or assign an address; the stations learn of it one by one."""
        self.desired ^= {self.random.choice(ADDRESSES)}
        self._inform()

    def change_nodes(self) -> None:
        """Change who may announce each address; the stations learn of it one by one."""
        for address in ADDRESSES:
            self.allowed[address] = frozenset(self.random.sample(NODES, self.random.randint(1, 3)))
        self._inform()

    def cut_from_api(self) -> None:
        """Let one or two stations learn nothing any more; every second one notices and says so."""
        for station in self.random.sample(STATIONS, self.random.randint(1, 2)):
            self.uninformed.add(station)
            if (one := self.lan.stations.get(station)) and self.random.random() < 0.5:
                self.outdated.add(station)
                one.segment.set_outdated(True)

    def heal_api(self) -> None:
        """Let all stations learn of what changed, one by one."""
        self.uninformed.clear()
        self._inform()

    def leave(self) -> None:
        """Stop a station in order; half of them start again."""
        thawed = [one for one in self.lan.stations.values() if not one.frozen]
        if len(thawed) < 2:
            return
        one = self.random.choice(thawed)
        one.segment.leave()
        self.lan.at(self.lan.now + GOODBYE, lambda: self._replace(one, again=self.random.random() < 0.5))
        self._unstable(lambda: None, GOODBYE)

    # What happens

    def inject(self, name: str, *what: object) -> None:
        """Inject a fault by its name; what it concerns is chosen unless given."""
        self.faults[name] += 1
        getattr(self, name)(*what)
        if name not in EXCUSES_NOTHING:
            self._disturb()

    def run(self, seconds: float) -> None:
        """Advance the time. Raises AssertionError when a bound is exceeded."""
        self.lan.advance(self.lan.now + seconds)
        self.judge.check()

    def _new_key(self) -> bytes:
        return self.random.randbytes(16)

    def _start(self, station: Station) -> None:
        is_elsewhere = len(self.unable.get(station, ())) == len(ADDRESSES)
        one = self.lan.start(station, subnets=ELSEWHERE if is_elsewhere else SUBNETS)
        self.keyrings[station] = Keyring()
        one.keys = self.keyrings[station].keys
        self._read_key(station)
        self.uninformed.discard(station)
        self.outdated.discard(station)
        self._tell(station, self._offers(station))

    def _stop(self, node: str) -> None:
        for station in [station for station in self.lan.stations if station.node == node]:
            del self.lan.stations[station]

    def _replace(self, one: Simulated, *, again: bool) -> None:
        if self.lan.stations.get(one.segment.me) is one:
            del self.lan.stations[one.segment.me]
            if again:
                self._start(one.segment.me)
            self._disturb()

    def _thaw(self, one: Simulated) -> None:
        if self.lan.stations.get(one.segment.me) is one:
            self.lan.thaw(one)
            self._disturb()

    def _read_key(self, station: Station) -> None:
        self.keyrings[station].update(self.key, self.previous, self.lan.now)

    def _offers(self, station: Station) -> dict[bytes, Offer | None]:
        known = self.desired - self.unable.get(station, set())
        return {a: Offer(service="ns/a", allowed=(Allowed(nodes=self.allowed[a]),)) for a in known}

    def _inform(self) -> None:
        def learn(station: Station) -> None:
            if (one := self.lan.stations.get(station)) and station not in self.uninformed:
                self.outdated.discard(station)
                one.segment.set_outdated(False)
                self._tell(station, dict.fromkeys(ADDRESSES) | self._offers(station))

        for station in STATIONS:
            self.lan.at(self.lan.now + self.random.random() * 0.1, partial(learn, station))
        self._unstable(lambda: None, 0.1)

    def _tell(self, station: Station, changes: dict[bytes, Offer | None]) -> None:
        if one := self.lan.stations.get(station):
            one.segment.set_desired(changes)

    def _is_lost(self, sender: Station, receiver: Station) -> bool:
        return (
            (sender, receiver) in self.cut
            or receiver in self.broken
            or (self.loss > 0 and self.random.random() < self.loss)
        )

    def _unstable(self, end: Callable[[], None], seconds: float | None = None) -> None:
        """Let a fault last for a while, which excuses everything meanwhile."""
        until = self.lan.now + (self.random.random() if seconds is None else seconds)
        self._until = max(self._until, until)

        def over() -> None:
            if self.lan.now >= self._until:
                end()
                self._disturb()
            else:
                self.lan.at(self._until, over)

        self.lan.at(until, over)

    def _disturb(self) -> None:
        self.judge.disturb(max(self.lan.now, self._until))

    def _tick(self) -> None:
        """Let a client ask for every address, and the stations that answer know it."""
        for one in self.lan.stations.values():
            if (
                one.segment.me not in self.broken
                and not one.frozen
                and any(one.segment.answers(a, self.lan.now) for a in ADDRESSES)
            ):
                one.segment.on_received(self.lan.now)
        self.lan.at(self.lan.now + INTERVAL, self._tick)


EXCUSES_NOTHING = ("replay", "rotate_key")
FAULTS = (
    "cut_one_way", "cut_pair", "partition", "heal", "heal_one_way", "crash", "start", "restart", "unplug", "suspend",
    "break_receiver", "drop", "slow", "replay", "rotate_key", "lose_list", "lose_subnet", "make_able", "change_address",
    "leave", "change_nodes", "cut_from_api", "heal_api",
)  # fmt: skip


def inject_drawn(model: Model, seed: int) -> None:
    """Inject two hundred faults that are drawn from a seed. Raises AssertionError when a bound is exceeded."""
    choose = Random(seed)  # noqa: S311 - a test's choices
    for _ in range(200):
        model.run(choose.choice((0.01, 0.1, 0.3, 1, 3)))
        model.inject(choose.choice(FAULTS))
    model.run(3)


def main() -> None:
    """Inject faults for some seconds of CPU time."""
    parser = argparse.ArgumentParser(prog="python -m tests.reference.model", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="CPU time (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="first seed (default %(default)s)")
    options = parser.parse_args()
    began, faults, simulated, worst = time.process_time(), Counter[str](), 0.0, dict.fromkeys(BOUNDS, 0.0)
    seed = options.seed
    while (used := time.process_time() - began) < options.seconds:
        model = Model(seed)
        try:
            inject_drawn(model, seed)
        except AssertionError as error:
            print(f"seed {seed}: {error}")  # noqa: T201
        faults += model.faults
        simulated += model.lan.now
        worst = {kind: max(longest, model.judge.worst[kind]) for kind, longest in worst.items()}
        seed += 1
    print(f"{faults.total()} faults, {simulated:.0f} s simulated, {simulated / used:.0f} cluster-hours an hour of CPU")  # noqa: T201
    longest = ", ".join(f"{kind} {seconds * 1000:.0f} ms" for kind, seconds in worst.items())
    print(f"longest: {longest}; seeds {options.seed} to {seed - 1}")  # noqa: T201
    print(dict(faults))  # noqa: T201


if __name__ == "__main__":
    main()
