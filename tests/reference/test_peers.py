"""Who is alive and who hears whom: restarts, replays, one-way loss, second NICs, and peers that cannot announce."""

from __future__ import annotations

import ast
from functools import partial
from pathlib import Path

import pytest
from tests.reference.simulated import DEAD_INTERVAL, INTERVAL, STEP, SimulatedLan

import lbproof_reference.speaker
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.heartbeat import Echo
from lbproof_reference.speaker.keys import GRACE_SECONDS, Keyring
from lbproof_reference.speaker.peers import SESSIONS, Peers
from lbproof_reference.speaker.plan import Allowed, Hearing, Offer
from lbproof_reference.speaker.segment import PATIENCE

NODES = ("n1", "n2", "n3")
ADDRESSES = [bytes([10, 0, 0, number]) for number in range(20)]
OFFER = Offer(service="ns/a", allowed=(Allowed(nodes=frozenset(NODES)),))
BEAT = INTERVAL + 20 * STEP


@pytest.fixture
def lan() -> SimulatedLan:
    """Three nodes, each address announced by one of them."""
    return settled(NODES)


def settled(nodes: tuple[str, ...]) -> SimulatedLan:
    """Return a LAN of these nodes on which each address is announced by one of them."""
    lan = SimulatedLan(nodes, dict.fromkeys(ADDRESSES, OFFER))
    lan.run(1)
    assert all(len(lan.answerers(address)) == 1 for address in ADDRESSES)
    return lan


def frames_of(lan: SimulatedLan, node: str) -> list[bytes]:
    """Return all frames that a node sent until now, in order."""
    return [n.to_bytes(8) for n, (beat, _, _) in enumerate(lan.frames) if beat.station.node == node]


def play(lan: SimulatedLan, frames: list[bytes], seconds: float, every: float = INTERVAL) -> None:
    """Send recorded frames at that distance (s) while the time advances."""
    for number in range(round(seconds / every)):
        lan.at(lan.now + number * every, partial(lan.broadcast, frames[number % len(frames)], Station("x", "x")))
    lan.run(seconds)


def one_way(lan: SimulatedLan, *lost: tuple[str, str]) -> None:
    """Lose every frame on these ways (sender, receiver)."""
    lan.lost = lambda sender, receiver: (sender.node, receiver.node) in lost


def test_a_replay_to_a_speaker_that_restarted_silences_nothing(lan: SimulatedLan) -> None:
    """Old messages of a dead node, replayed for 8 s to nodes that restarted, delay their start by listening alone."""
    old = frames_of(lan, "n1")
    del lan.stations[Station("n1", "eth0")]
    for node in NODES[1:]:
        lan.start(Station(node, "eth0"))
    lan.set_desired(dict.fromkeys(ADDRESSES, OFFER))
    play(lan, old, 8)

    assert max(lan.silent.values()) <= 3 * DEAD_INTERVAL + BEAT
    assert max(lan.double.values()) <= BEAT


def test_a_replay_keeps_no_dead_node_alive(lan: SimulatedLan) -> None:
    """Messages that reached a node before do not count again: the takeover is as fast as without them."""
    old = frames_of(lan, "n1")
    del lan.stations[Station("n1", "eth0")]
    play(lan, old, 2)

    assert max(lan.silent.values()) <= DEAD_INTERVAL + BEAT


def test_a_message_that_is_not_verified_mutes_no_peer(lan: SimulatedLan) -> None:
    """The sequence of a forged one is compared before its signature is, and remembered only after."""
    peers, one = lan.of("n2").segment.peers, lan.of("n1").segment
    sequence = peers.live[one.me].sequence

    assert not peers.is_known(one.peers.session, sequence + 1_000_000)
    assert not peers.is_known(one.peers.session, sequence + 1)


def test_a_replay_is_not_amplified(lan: SimulatedLan) -> None:
    """A thousand replays of other sessions a second cost a few messages a heartbeat."""
    for _ in range(30):
        lan.start(Station("n1", "eth0"))
        lan.run(0.2)
    old = frames_of(lan, "n1")
    lan.run(1)
    before = len(lan.frames)
    play(lan, old, 1, every=0.001)

    assert len(lan.frames) - before <= 4 * len(NODES) / INTERVAL


def test_a_station_that_starts_again_is_heard_whatever_its_session(lan: SimulatedLan) -> None:
    """Sessions are random numbers, which have no order: each of eight starts is heard by all."""
    for _ in range(8):
        one = lan.start(Station("n1", "eth0"))
        lan.run(1)
        assert all(lan.of(n).segment.peers.live[one.segment.me].session == one.segment.peers.session for n in NODES[1:])


def test_two_interfaces_of_a_node_on_one_segment_are_two_stations(lan: SimulatedLan) -> None:
    """Each address has one announcer with both plugged in, and within a dead interval after either cable is out."""
    second = Station("n1", "eth1")
    lan.start(second)
    lan.set_desired(dict.fromkeys(ADDRESSES, OFFER))
    lan.run(1)
    assert max(lan.double.values()) == 0

    for station in (Station("n1", "eth0"), second):
        del lan.stations[station]
        lan.run(1)
        assert max(lan.silent.values()) <= DEAD_INTERVAL + BEAT
        assert max(lan.double.values()) <= BEAT
        lan.start(station)
        lan.set_desired(dict.fromkeys(ADDRESSES, OFFER))
        lan.run(1)


@pytest.mark.parametrize("ways", [(("n1", "n2"),), (("n1", "n2"), ("n2", "n1"))], ids=["one-way", "both"])
def test_a_third_station_relays(lan: SimulatedLan, ways: tuple[tuple[str, str], ...]) -> None:
    """Loss between two stations that both hear a third moves nothing, and makes no second announcer."""
    before = {address: lan.answerers(address) for address in ADDRESSES}
    one_way(lan, *ways)
    lan.run(2)

    assert max(lan.double.values()) == max(lan.silent.values()) == 0
    assert {address: lan.answerers(address) for address in ADDRESSES} == before


def test_a_station_that_is_heard_only_through_another_is_heard_from_its_start(lan: SimulatedLan) -> None:
    """A node that starts while it reaches one of two nodes hears both, and takes nothing."""
    del lan.stations[Station("n1", "eth0")]
    lan.run(1)
    one_way(lan, ("n1", "n2"), ("n2", "n1"))
    lan.start(Station("n1", "eth0"))
    lan.set_desired(dict.fromkeys(ADDRESSES, OFFER))
    lan.run(1)

    assert max(lan.double.values()) == 0
    assert lan.of("n1").segment.peers.live.keys() == {Station("n2", "eth0"), Station("n3", "eth0")}


def test_each_message_is_relayed_once(lan: SimulatedLan) -> None:
    """While a pair is cut, each message of either is sent again once; otherwise none is."""
    before = len(lan.frames)
    lan.run(1)
    assert not [beat for beat, _, _ in lan.frames[before:] if beat.relayed]
    one_way(lan, ("n1", "n2"), ("n2", "n1"))
    lan.run(2)
    sent = [(beat.session, beat.sequence) for beat, _, _ in lan.frames if beat.relayed]

    assert len(sent) == len(set(sent)) > 60


def test_one_way_loss_without_a_third_station_ends_with_one_announcer() -> None:
    """Of two nodes, the one that hears the other yields as soon as the other has answered a request."""
    lan = settled(NODES[:2])
    one_way(lan, ("n1", "n2"))
    lan.run(1)
    n1, n2 = lan.of("n1").segment, lan.of("n2").segment
    assert n1.peers.live[n2.me].hearing is Hearing.BROKEN
    assert n1.claims.keys() == n2.claims.keys() == set(ADDRESSES)

    n2.on_received(lan.now)
    lan.run(2 * BEAT)
    assert not n1.claims

    one_way(lan)
    lan.run(1)
    assert n1.peers.live[n2.me].hearing is n2.peers.live[n1.me].hearing is Hearing.MUTUAL
    assert n2.claims.keys() == set(ADDRESSES)


def test_a_station_that_receives_nothing_holds_nothing_back() -> None:
    """A node whose receiver broke answers no request: the other takes all within two dead intervals."""
    lan = settled(NODES[:2])
    one_way(lan, ("n1", "n2"))
    lan.run(2 * DEAD_INTERVAL + 2 * BEAT)

    assert lan.of("n1").segment.claims.keys() == set(ADDRESSES)


def test_a_peer_that_does_not_know_an_address_is_passed_over(lan: SimulatedLan) -> None:
    """New addresses that one live node does not know of are announced by the others after six heartbeats."""
    new = [bytes([10, 0, 1, number]) for number in range(30)]
    lan.set_desired(dict.fromkeys(new, OFFER), "n2", "n3")
    lan.run(2 * DEAD_INTERVAL + 2 * BEAT)

    assert all(len(lan.answerers(address)) == 1 for address in new)
    assert all(len(lan.answerers(address)) == 1 for address in ADDRESSES)


def test_a_restart_frees_the_addresses(lan: SimulatedLan) -> None:
    """A node that starts again within its dead interval, and has no list yet, is passed over after six heartbeats."""
    (owner,) = lan.answerers(ADDRESSES[0])
    lan.start(Station(owner, "eth0"))
    lan.run(1)

    assert max(lan.silent.values()) <= PATIENCE * DEAD_INTERVAL + BEAT
    assert max(lan.double.values()) == 0


def test_no_clock_but_the_monotonic_one_is_read() -> None:
    """No module of the speaker but `wire` reads the wall clock, so that a step of it changes nothing.

    In `wire` it tells for how long the kernel kept a frame: `test_calm.py`.
    """
    folder = Path(lbproof_reference.speaker.__file__).parent
    read = {
        node.attr
        for file in folder.glob("*.py")
        if file.stem != "wire"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in {"time", "datetime"}
    }

    assert read == {"monotonic"}


OLD, NEW, NEWER = (bytes([number]) * 16 for number in range(3))


def test_a_replaced_key_is_used_for_a_while() -> None:
    """Both keys of the Secret sign and are accepted, and a key that is gone from it still is for five minutes."""
    keyring = Keyring()
    keyring.update(OLD, b"", 0)
    assert keyring.keys(0) == (OLD,)
    keyring.update(NEW, OLD, 10)
    assert keyring.keys(10) == (NEW, OLD)
    keyring.update(NEW, b"", 20)
    assert keyring.keys(20) == (NEW, OLD)
    keyring.update(NEWER, b"", 30)

    assert keyring.keys(30) == (NEWER, NEW, OLD)
    assert keyring.keys(20 + GRACE_SECONDS) == (NEWER, NEW)
    assert keyring.keys(30 + GRACE_SECONDS) == (NEWER,)


@pytest.mark.parametrize("short", [b"k", bytes(15)])
def test_a_short_key_is_not_used(short: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """A key under 16 bytes is logged once and not used; the one before stays."""
    keyring = Keyring()
    for now in range(3):
        keyring.update(short, b"", now)
    assert keyring.keys(3) == ()
    assert capsys.readouterr().out.count("heartbeat key too short") == 1

    keyring.update(OLD, short, 4)
    keyring.update(short, OLD, 5)
    assert keyring.keys(6) == (OLD,)


def test_keys_that_are_no_longer_accepted_are_forgotten() -> None:
    """A key that is replaced each minute leaves the keys of the last five minutes."""
    keyring = Keyring()
    for number in range(100):
        keyring.update(number.to_bytes(16), b"", 60.0 * number)

    assert len(keyring._retired) <= 6  # noqa: SLF001 - memory


def test_nothing_is_kept_of_an_address_that_is_gone(lan: SimulatedLan) -> None:
    """A station knows no epoch of an address that it does not announce, whatever others claim."""
    elsewhere = bytes([10, 0, 9, 9])
    lan.set_desired({elsewhere: OFFER}, "n1")
    lan.set_desired(dict.fromkeys(ADDRESSES))
    lan.run(1)

    assert lan.of("n1").segment._epochs.keys() == {elsewhere}  # noqa: SLF001 - memory
    assert not lan.of("n2").segment._epochs  # noqa: SLF001


def test_sessions_are_forgotten(lan: SimulatedLan) -> None:
    """The sequences of the sessions that were heard last are known, and of no others."""
    message = lan.frames[0][0]
    known = Peers(me=Station("n2", "eth0"), session=1, dead_interval=DEAD_INTERVAL)
    for session in range(2, 3 * SESSIONS):
        known.receive(message._replace(session=session), b"", 0)

    assert not known.is_known(2, message.sequence)
    assert known.is_known(3 * SESSIONS - 1, message.sequence)
    assert not known.is_known(3 * SESSIONS - 1, message.sequence + 1)
    assert known.is_known(1, message.sequence + 1)


def test_a_flood_of_sessions_makes_no_live_one_believe_old_messages(lan: SimulatedLan) -> None:
    """A live session goes only forward, also when so many others were heard that its sequence is forgotten."""
    me = Peers(me=Station("n2", "eth0"), session=1, dead_interval=DEAD_INTERVAL)
    me.heard(1, 0)
    message = lan.frames[0][0]._replace(session=2, heard={1: Echo(1, direct=True)})
    peer = me.receive(message._replace(sequence=9), b"", 0)
    for session in range(3, 3 * SESSIONS):
        me.receive(message._replace(station=Station("old", "eth0"), session=session, heard={}), b"", 0)

    assert me.receive(message._replace(sequence=8), b"", 0) is None
    assert me.live[message.station] is peer
    assert me.heard(2, 0)[2].sequence == 9


def test_what_was_received_before_is_not_read_again(lan: SimulatedLan) -> None:
    """A message that reached a speaker is refused by session and sequence, while its sender lives and afterwards."""
    old = [lan.frames[int.from_bytes(frame)][0] for frame in frames_of(lan, "n1")]
    lan.run(INTERVAL + STEP)
    assert all(lan.of("n2").segment.peers.is_known(beat.session, beat.sequence) for beat in old)

    del lan.stations[Station("n1", "eth0")]
    lan.run(1)
    assert all(lan.of("n2").segment.peers.is_known(beat.session, beat.sequence) for beat in old)
