"""More stations, sessions or claims than one message holds: who is relayed, listed and defended."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random

import pytest
from tests.reference.simulated import DEAD_INTERVAL, INTERVAL, STEP, SimulatedLan

from lbproof_reference.speaker import elect, heartbeat, peers
from lbproof_reference.speaker.elect import Claim, Station, score
from lbproof_reference.speaker.plan import Allowed, Offer
from lbproof_reference.speaker.segment import PATIENCE

NODES = tuple(f"n{number}" for number in range(6))
ADDRESSES = [bytes([10, 0, 0, number]) for number in range(20)]
OFFER = Offer(service="ns/a", allowed=(Allowed(nodes=frozenset(NODES)),))


def cut_one_pair(lan: SimulatedLan, seed: int) -> tuple[str, str]:
    """Lose every frame between two nodes other than the first, and return them."""
    one, other = Random(seed).sample(NODES[1:], 2)  # noqa: S311 - a test's choices
    lan.lost = lambda sender, receiver: {sender.node, receiver.node} == {one, other}
    return one, other


def assert_one_announcer(lan: SimulatedLan, one: str, other: str) -> None:
    """Assert that two nodes hear each other and that each address has one announcer."""
    assert Station(other, "eth0") in lan.of(one).segment.peers.live
    assert Station(one, "eth0") in lan.of(other).segment.peers.live
    assert all(len(lan.answerers(address)) == 1 for address in ADDRESSES)


@pytest.mark.parametrize("seed", range(12))
def test_a_pair_is_relayed_when_a_list_needs_two_messages(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Without loss, stations whose lists need two messages each still hear each other, a cut pair through a relay."""
    monkeypatch.setattr(peers, "LISTED", 4)
    monkeypatch.setattr(peers, "STRANGERS", 1)
    lan = SimulatedLan(NODES, dict.fromkeys(ADDRESSES, OFFER), seed)
    lan.advance(1)
    pair = cut_one_pair(lan, seed)
    lan.advance(lan.now + 3)

    assert_one_announcer(lan, *pair)


@pytest.mark.parametrize("seed", range(6))
def test_replayed_sessions_take_no_place_of_live_ones(seed: int) -> None:
    """While 48 old sessions are replayed, a pair that is cut is relayed as without them."""
    lan = SimulatedLan(NODES, dict.fromkeys(ADDRESSES, OFFER), seed)
    lan.advance(0.5)
    for _ in range(8):
        for node in NODES:
            lan.start(Station(node, "eth0"))
        lan.set_desired(dict.fromkeys(ADDRESSES, OFFER))
        lan.advance(lan.now + 0.1)
    live = {one.segment.peers.session for one in lan.stations.values()}
    old = {beat.session: number for number, (beat, _, _) in enumerate(lan.frames) if beat.session not in live}
    lan.advance(lan.now + 1)
    for turn, number in enumerate(list(old.values()) * 20):
        lan.at(lan.now + turn * 0.0025, partial(lan.broadcast, number.to_bytes(8), Station("x", "x")))
    lan.advance(lan.now + 0.5)
    pair = cut_one_pair(lan, seed)
    lan.advance(lan.now + 1.5)

    assert_one_announcer(lan, *pair)


@pytest.fixture
def chunked(monkeypatch: pytest.MonkeyPatch) -> SimulatedLan:
    """Return two nodes with about 40 chunks of one claim each."""
    monkeypatch.setattr(heartbeat, "CLAIM_BYTES", 10)
    lan = SimulatedLan(("n1", "n2"), dict.fromkeys((bytes([10, 0, 0, number]) for number in range(80)), OFFER))
    lan.advance(2)
    return lan


LOST = 0.06
"""Seconds of loss from a heartbeat on: what is sent at once and with the next heartbeat, and nobody dies."""


def lose(lan: SimulatedLan) -> None:
    """Lose all frames of the first node for a while, from one of its heartbeats on."""
    before = lan.of("n1").last
    while lan.of("n1").last == before:
        lan.advance(lan.now + STEP)
    lan.advance(lan.now + 2 * STEP)
    end = lan.now + LOST
    lan.lost = lambda sender, _: sender.node == "n1" and lan.now < end


def first_of(node: str) -> bytes:
    """Return a new address that the node wins."""
    addresses = (bytes([10, 0, 1, number]) for number in range(256))
    return next(a for a in addresses if max(("n1", "n2"), key=lambda n: score(Station(n, "eth0"), a)) == node)


def until(lan: SimulatedLan, seconds: float, address: bytes, *answerers: str) -> None:
    """Advance until these nodes answer; fail after some seconds."""
    end = lan.now + seconds
    while lan.answerers(address) != list(answerers):
        assert lan.now < end, f"{lan.answerers(address)} answer"
        lan.advance(lan.now + STEP)


def test_a_lost_claim_is_defended_until_the_peer_withdraws(chunked: SimulatedLan) -> None:
    """A claim and its first defences are lost; two answer for at most two dead intervals after that."""
    address = first_of("n1")
    lose(chunked)
    chunked.set_desired({address: OFFER}, "n1")
    chunked.set_desired({address: replace(OFFER, allowed=(Allowed(nodes=frozenset({"n2"})),))}, "n2")
    until(chunked, LOST, address, "n1", "n2")
    chunked.advance(chunked.now + LOST / 2)
    chunked.set_desired({address: OFFER}, "n2")
    chunked.advance(chunked.now + LOST / 2)

    until(chunked, 2 * DEAD_INTERVAL, address, "n1")


def test_a_lost_withdrawal_is_repeated(chunked: SimulatedLan) -> None:
    """The news that a node withdrew is lost twice; another answers within five dead intervals after that."""
    lose(chunked)
    address = next(min(b.claims) for b, _, sender in reversed(chunked.frames) if sender.node == "n1" and b.claims)
    chunked.set_desired({address: None}, "n1")
    chunked.advance(chunked.now + LOST)

    until(chunked, 5 * DEAD_INTERVAL, address, "n2")


@pytest.mark.parametrize("suspended", [True, False])
def test_a_station_that_claims_in_time_is_not_passed_over(*, suspended: bool) -> None:
    """A claim that arrives during a suspension, or just before the deadline, is not overtaken."""
    lan = SimulatedLan(("n1", "n2"), {})
    lan.advance(2)
    address = first_of("n1")
    lan.set_desired({address: OFFER}, "n2")
    lan.advance(lan.now + PATIENCE * DEAD_INTERVAL - (INTERVAL if suspended else 1.5 * STEP))
    if suspended:
        lan.freeze("n2")
        lan.advance(lan.now + 0.02)
    lan.delay = lambda: STEP / 2
    lan.set_desired({address: OFFER}, "n1")
    lan.advance(lan.now + (0.1 if suspended else 0))
    if suspended:
        lan.thaw(lan.of("n2"))
    doubles = 0
    for _ in range(1000):
        lan.advance(lan.now + STEP)
        doubles += len(lan.answering(address)) > 1

    assert doubles == 0
    assert address not in lan.of("n2").segment._awaited  # noqa: SLF001 - what a later decision rests on


def test_a_flood_of_replays_pushes_no_live_session_out() -> None:
    """A session that is heard once a heartbeat, among 20 that are heard a hundred times, is soon listed."""
    lan = SimulatedLan(("n1", "n2"), {})
    lan.advance(0.1)
    message = next(beat for beat, _, sender in lan.frames if sender.node == "n1")._replace(heard={})
    me = peers.Peers(me=Station("n2", "eth0"), session=1, dead_interval=DEAD_INTERVAL)
    listed = list[bool]()
    for beat in range(20):
        for turn in range(400):
            session = 1000 if turn == 200 else 100 + turn % 20
            me.receive(message._replace(session=session, sequence=400 * beat + turn), b"", beat * INTERVAL)
        listed.append(1000 in me.heard(beat + 1, beat * INTERVAL))

    assert any(listed[:8])
    assert sum(listed) > 4


def test_who_relays_is_decided_a_few_times_a_dead_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many messages change what the stations hear, the decision costs little."""
    decisions = list[float]()
    decide = peers.Peers._relay_duties  # noqa: SLF001 - counted

    def counted(self: peers.Peers) -> set[int]:
        decisions.append(0)
        return decide(self)

    monkeypatch.setattr(peers.Peers, "_relay_duties", counted)
    nodes = tuple(f"n{number}" for number in range(16))
    lan = SimulatedLan(nodes, {})
    lan.advance(2 * DEAD_INTERVAL)

    assert len(decisions) <= (2 * 8 + 1) * len(nodes)


def test_the_addresses_of_a_dead_peer_are_decided_first() -> None:
    """After a death, one step takes over what the dead announced, however many other addresses there are."""
    lan = SimulatedLan(("n1", "n2"), dict.fromkeys((bytes([10, 0, 2, number]) for number in range(200)), OFFER))
    lan.advance(1)
    n1 = lan.of("n1").segment
    dead = set(lan.of("n2").segment.claims)
    n1.expire_peers(lan.now + 2 * DEAD_INTERVAL)

    assert n1.reconcile(lan.now + 2 * DEAD_INTERVAL, len(dead)).acquire.keys() == dead


def test_no_score_is_computed_for_an_address_that_one_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores decide between equal ranks alone, so that a pass over claimed addresses costs none."""
    monkeypatch.setattr(elect, "score", lambda *_: pytest.fail("a score is computed"))
    stations = [Station(node, "eth0") for node in NODES]

    assert elect.elect(ADDRESSES[0], stations, {stations[2]: Claim(standing=1, epoch=1)}) == stations[2]
