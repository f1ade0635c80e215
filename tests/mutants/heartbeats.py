"""Faults of the speakers among themselves: who is alive, who hears whom, and with which keys (as it was)."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.mutants.mutant import fault, patch

from lbproof_reference.controller import loop as controller
from lbproof_reference.speaker import elect, keys, peers, plan, segment
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.heartbeat import STRANGERS, Echo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lbproof_reference.speaker.heartbeat import Heartbeat

NO_SECRET = "no case changes the speakers' Secret, which is an implementation's own"  # noqa: S105 - a reason
NO_CUT = "no case cuts two nodes from each other that both hear a third"
NO_REPLAY = "the case that repeats an implementation's own messages does so at their pace, to speakers that go on"
NO_CROWD = "no case has so many stations that processor time delays heartbeats"
NO_LOSS = "no case loses messages of an implementation while an address moves"


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
        return receive(self, heartbeat._replace(station=Station(node, "eth0")), frame, now)

    patch(segment.Segment, "receive", receive_of_node)
    patch(elect, "score", lambda station, address: score(Station(station.node, "eth0"), address))


@fault("SEC-05b")
def repeated_heartbeats_keep_a_peer() -> None:
    """A heartbeat that was received before keeps its sender alive, whoever repeats it."""
    real = peers.Peers.receive

    def receive(self: peers.Peers, heartbeat: Heartbeat, frame: bytes, now: float) -> peers.Peer | None:
        peer = self.live.get(heartbeat.station)
        if peer and peer.session == heartbeat.session and heartbeat.sequence <= peer.sequence:
            if not heartbeat.relayed:
                peer.until = peer.hears_until = now + peer.dead_interval
            return None
        return real(self, heartbeat, frame, now)

    patch(peers.Peers, "receive", receive)
    patch(peers.Peers, "is_known", lambda self, session, _sequence: session == self.session)


@fault(
    uncaught=NO_REPLAY,
    test="test_peers.py::test_a_replay_to_a_speaker_that_restarted_silences_nothing",
)
def believes_replayed_heartbeats() -> None:
    """A restarted speaker believes recorded heartbeats of a dead one, and leaves its addresses to it."""
    real = peers.Peers.receive

    def receive(self: peers.Peers, heartbeat: Heartbeat, frame: bytes, now: float) -> peers.Peer | None:
        echo = {self.session: Echo(1, direct=True)}
        return real(self, heartbeat._replace(heard=dict(heartbeat.heard) | echo), frame, now)

    patch(peers.Peers, "receive", receive)
    patch(peers.Peers, "_time_of", lambda _self, _sequence, now, _dead_interval: now)


@fault("FAIL-06d")
def one_way_loss_has_two_announcers() -> None:
    """While heartbeats are lost on one way between two nodes, both answer for the same addresses."""
    real = peers.Peer.judge

    def judge(self: peers.Peer, now: float) -> bool:
        self.hears_until = math.inf
        return real(self, now)

    patch(peers.Peer, "judge", judge)
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


@fault("FAIL-06c")
def waits_for_a_winner_for_ever() -> None:
    """A live speaker that wins an address and does not claim it, such as one without its list, blocks the address."""
    patch(segment, "PATIENCE", math.inf)


@fault("FAIL-11a")
def elects_node_without_subnet() -> None:
    """A node that has no subnet of an address is elected for it, and nobody answers."""

    def everywhere(*_: Any) -> bool:  # noqa: ANN401 - a subnet and an address
        return True

    patch(plan, "reaches", everywhere)


@fault(
    uncaught="no case has more stations on a segment than one message lists, or repeats an implementation's messages",
    test="test_many_stations.py::test_a_pair_is_relayed_when_a_list_needs_two_messages",
)
def lists_of_peers_only_grow() -> None:
    """A session that a peer listed once counts as heard by it for ever, so that its messages are not relayed again."""
    real = peers.Peers.receive

    def receive(self: peers.Peers, heartbeat: Heartbeat, frame: bytes, now: float) -> peers.Peer | None:
        before = self.live.get(heartbeat.station)
        lists = before.lists if before else {}
        peer = real(self, heartbeat, frame, now)
        if peer is not None and peer is before:
            peer.lists = {**lists, **peer.lists}
        return peer

    patch(peers.Peers, "receive", receive)


@fault(
    uncaught=NO_LOSS,
    test="test_many_stations.py::test_a_lost_withdrawal_is_repeated",
)
def sends_changed_claims_twice() -> None:
    """News of claims is sent at once and with the next heartbeat, then in turn among all claims: seconds, with many."""
    patch(segment, "REPEAT", 1 / 3)  # of three heartbeats


@fault(
    uncaught=NO_LOSS,
    test="test_many_stations.py::test_a_lost_claim_is_defended_until_the_peer_withdraws",
)
def defends_claim_once() -> None:
    """A claim is sent once against a peer with a lesser one; when that is lost, both answer until its turn comes."""
    real = segment.Segment.heartbeats

    def heartbeats(self: segment.Segment, now: float, *, beat: bool = True) -> list[Heartbeat]:
        contested, self._contested = self._contested, set[bytes]()
        messages = real(self, now, beat=beat)
        self._contested = contested
        return messages

    patch(segment.Segment, "heartbeats", heartbeats)
    sends_changed_claims_twice()


@fault(
    uncaught="no case suspends a node while a new address waits for its announcer",
    test="test_many_stations.py::test_a_station_that_claims_in_time_is_not_passed_over",
)
def suspension_counts_as_waiting() -> None:
    """A speaker that was suspended passes a station over whose claim arrived meanwhile, and answers beside it."""
    real = segment.Segment.on_suspend

    def on_suspend(self: segment.Segment, now: float, late: float) -> None:
        awaited = self._awaited
        real(self, now, late)
        self._awaited = awaited

    patch(segment.Segment, "on_suspend", on_suspend)
    passes_over_station_that_claims()


@fault(
    uncaught="no case has a station claim an address as late as the others wait",
    test="test_many_stations.py::test_a_station_that_claims_in_time_is_not_passed_over",
)
def passes_over_station_that_claims() -> None:
    """A station whose claim arrives just before the deadline is passed over: two answer for the address."""

    def winner(
        view: plan.SegmentView, address: bytes, able: list[Station], claims: Mapping[Station, elect.Claim]
    ) -> Station | None:
        first = elect.elect(address, able, claims)
        for _ in range(view.passed_over.get(address, 0)):
            if first in {None, view.me}:
                break
            able = [one for one in able if one != first]
            first = elect.elect(address, able, claims)
        return first

    patch(plan, "_winner", winner)


@fault(
    uncaught="no case has so many addresses that the order of takeovers shows",
    test="test_many_stations.py::test_the_addresses_of_a_dead_peer_are_decided_first",
)
def takes_over_in_any_order() -> None:
    """After a death, the survivor's own addresses are decided on before those that nobody answers for."""

    def expire_peers(self: segment.Segment, now: float) -> list[Station]:
        return list(self.peers.expire(now))

    patch(segment.Segment, "expire_peers", expire_peers)


@fault(
    uncaught=NO_CROWD,
    test="test_many_stations.py::test_no_score_is_computed_for_an_address_that_one_claims",
)
def scores_every_candidate() -> None:
    """A score is computed for each station and address, also where claims decide: too late a takeover, with many."""

    def elect_by_scores(
        address: bytes, candidates: Iterable[Station], claims: Mapping[Station, elect.Claim]
    ) -> Station | None:
        nobody = elect.Claim(standing=-1, epoch=0)
        return max(candidates, key=lambda one: (claims.get(one, nobody), elect.score(one, address), one), default=None)

    for module in (elect, plan):
        patch(module, "elect", elect_by_scores)


@fault(
    uncaught=NO_CROWD,
    test="test_many_stations.py::test_who_relays_is_decided_a_few_times_a_dead_interval",
)
def decides_on_relays_with_each_message() -> None:
    """Who relays is decided with each message that changes what a station hears, in time cubic in their number."""
    real = peers.Peers.take_relays

    def take_relays(self: peers.Peers, now: float) -> list[bytes]:
        self._decide_from = -math.inf
        return real(self, now)

    patch(peers.Peers, "take_relays", take_relays)


@fault(
    uncaught=NO_REPLAY,
    test="test_many_stations.py::test_a_flood_of_replays_pushes_no_live_session_out",
)
def replays_push_live_session_out() -> None:
    """Recorded sessions that are repeated at a high rate take the place of a live one, which is not heard."""

    def note_unproven(self: peers.Peers, session: int, until: float) -> None:
        self.has_new |= session not in self._unproven
        self._unproven.pop(session, None)
        self._unproven[session] = until
        if len(self._unproven) > STRANGERS:
            del self._unproven[next(iter(self._unproven))]

    patch(peers.Peers, "_note_unproven", note_unproven)


@fault(
    uncaught=NO_REPLAY,
    test="test_peers.py::test_a_flood_of_sessions_makes_no_live_one_believe_old_messages",
)
def believes_old_message_of_live_session() -> None:
    """After a thousand other sessions were heard, an old message of a live station replaces its present claims."""
    real = peers.Peers.receive

    def receive(self: peers.Peers, heartbeat: Heartbeat, frame: bytes, now: float) -> peers.Peer | None:
        if peer := self.live.get(heartbeat.station):
            before, peer.sequence = peer.sequence, -1
        found = real(self, heartbeat, frame, now)
        if peer and peer.sequence < 0:
            peer.sequence = before
        return found

    patch(peers.Peers, "receive", receive)


@fault(
    uncaught=NO_SECRET,
    test="test_reconcile.py::test_a_secret_that_was_deleted_is_created_again",
)
def creates_secret_once() -> None:
    """A Secret that is deleted is not created again before the controller restarts; new speaker Pods cannot start."""
    real = controller.Controller._create_secret  # noqa: SLF001
    created = set[controller.Controller]()

    async def create_once(self: controller.Controller, name: str) -> None:
        if self not in created:
            await real(self, name)
            created.add(self)

    patch(controller.Controller, "_create_secret", create_once)
