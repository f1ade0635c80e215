"""More stations, sessions or claims than one message holds: who is relayed, listed and defended."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest
from tests.reference.simulated import SimulatedLan

from lbproof_reference.speaker import peers
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.plan import Allowed, Offer

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
def test_a_pair_is_relayed_however_many_messages_a_list_needs(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """A list in several messages, one of which the relay may miss, still tells it who is no longer heard."""
    monkeypatch.setattr(peers, "HEARD_AT_ONCE", 3)
    monkeypatch.setattr(peers, "STRANGERS_AT_ONCE", 1)
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
