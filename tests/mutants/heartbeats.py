"""Faults of the speakers among themselves: who is alive, who hears whom, and with which keys (as it was)."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.mutants.mutant import fault, patch

from lbproof_reference.speaker import elect, keys, peers, plan, segment
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.heartbeat import Echo

if TYPE_CHECKING:
    from lbproof_reference.speaker.heartbeat import Heartbeat

NO_SECRET = "no case changes the speakers' Secret, which is an implementation's own"  # noqa: S105 - a reason
NO_CUT = "no case loses frames on one way between two nodes"


@fault(
    uncaught="no case steps a node's clock",
    test="test_peers.py::test_a_station_that_starts_again_is_heard_whatever_its_session",
)
def compares_starts_by_wall_clock() -> None:
    """A speaker that restarts after its clock went back is heard by nobody, and answers beside another one."""
    real, latest = peers.Peers.receive, dict[tuple[int, Station], int]()

    def receive(self: peers.Peers, heartbeat: Heartbeat, frame: bytes, now: float) -> peers.Peer | None:
        key = (id(self), heartbeat.station)
        latest[key] = max(heartbeat.session, latest.get(key, 0))
        return real(self, heartbeat, frame, now) if heartbeat.session == latest[key] else None

    patch(peers.Peers, "receive", receive)
    patch(speaker, "secrets", SimpleNamespace(randbits=lambda _: int(time.time())))


@fault(
    uncaught="no case gives a node a second interface on the segment",
    test="test_peers.py::test_two_interfaces_of_a_node_on_one_segment_are_two_stations",
)
def knows_peers_by_node_name() -> None:
    """Two interfaces of a node on one segment are one peer: both answer for the same addresses."""
    receive, score = segment.Segment.receive, elect.score

    def receive_of_node(self: segment.Segment, heartbeat: Heartbeat, frame: bytes, now: float) -> bool:
        node = heartbeat.station.node
        if node == self.me.node:
            return False
        return receive(self, replace(heartbeat, station=Station(node, "eth0")), frame, now)

    patch(segment.Segment, "receive", receive_of_node)
    patch(elect, "score", lambda station, address: score(Station(station.node, "eth0"), address))


@fault(
    uncaught="no case records and repeats an implementation's own messages",
    test="test_peers.py::test_a_replay_to_a_speaker_that_restarted_silences_nothing",
)
def believes_replayed_heartbeats() -> None:
    """A restarted speaker believes recorded heartbeats of a dead one, and leaves its addresses to it."""
    real = peers.Peers.receive

    def receive(self: peers.Peers, heartbeat: Heartbeat, frame: bytes, now: float) -> peers.Peer | None:
        echo = {self.session: Echo(1, direct=True)}
        return real(self, replace(heartbeat, heard=dict(heartbeat.heard) | echo), frame, now)

    patch(peers.Peers, "receive", receive)
    patch(peers.Peers, "_time_of", lambda _self, _sequence, now, _dead_interval: now)


@fault(uncaught=NO_CUT, test="test_peers.py::test_one_way_loss_without_a_third_station_ends_with_one_announcer")
def one_way_loss_has_two_announcers() -> None:
    """While heartbeats are lost on one way between two nodes, both answer for the same addresses."""
    patch(peers.Peer, "judge", lambda *_: False)
    patch(peers.Peers, "take_relays", lambda *_: [])


@fault(uncaught=NO_CUT, test="test_peers.py::test_a_third_station_relays")
def no_relays() -> None:
    """Two speakers that do not hear each other, and both hear a third, are not told of each other."""
    patch(peers.Peers, "take_relays", lambda *_: [])


@fault(uncaught=NO_SECRET, test="test_peers.py::test_a_replaced_key_is_used_for_a_while")
def rotated_key_divides_speakers() -> None:
    """A speaker that restarts after the Secret changed does not hear the others, and answers beside them."""
    patch(keys.Keyring, "keys", lambda self, _now: self._current[:1])


@fault(uncaught=NO_SECRET, test="test_peers.py::test_a_short_key_is_not_used")
def accepts_short_key() -> None:
    """A heartbeat key of one byte is used."""
    patch(keys, "SHORTEST", 1)


@fault(
    uncaught="no case cuts one node from the API server alone",
    test="test_peers.py::test_a_peer_that_does_not_know_an_address_is_passed_over",
)
def waits_for_a_winner_for_ever() -> None:
    """A live speaker that wins an address and does not claim it, such as one without its list, blocks the address."""
    patch(segment, "PATIENCE", math.inf)


@fault(
    uncaught="no case has a node without the subnet of an address",
    test="test_election.py::test_a_station_without_the_subnet_is_no_candidate",
)
def elects_node_without_subnet() -> None:
    """A node that has no subnet of an address is elected for it, and nobody answers."""

    def everywhere(*_: Any) -> bool:  # noqa: ANN401 - a subnet and an address
        return True

    patch(plan, "reaches", everywhere)
