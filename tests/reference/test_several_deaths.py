"""Several addresses on a node that dies, and nodes that die twice, in simulated time."""

from __future__ import annotations

import pytest
from tests.reference.simulated import DEAD_INTERVAL, INTERVAL, STEP, SimulatedLan

from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.plan import Allowed, Offer

NODES = ("n1", "n2", "n3")
ADDRESSES = [bytes([10, 0, 0, number]) for number in range(30)]


@pytest.fixture
def lan() -> SimulatedLan:
    """Three nodes, each of thirty addresses announced by one of them."""
    offer = Offer(service="ns/a", allowed=(Allowed(nodes=frozenset(NODES)),))
    lan = SimulatedLan(NODES, dict.fromkeys(ADDRESSES, offer))
    lan.run(2)
    return lan


def kill(lan: SimulatedLan, node: str) -> None:
    """End a node."""
    del lan.stations[Station(node, "eth0")]


def start(lan: SimulatedLan, node: str) -> None:
    """Start a node again, with the same addresses."""
    desired = dict(next(iter(lan.stations.values())).segment.desired)
    lan.start(Station(node, "eth0"))
    lan.set_desired(desired, node)


def test_every_address_of_a_dead_node_is_taken_over_each_time(lan: SimulatedLan) -> None:
    """A node that dies, comes back and dies again leaves no address without an answer, in none of three rounds."""
    for _ in range(3):
        owner = lan.answerers(ADDRESSES[0])[0]
        kill(lan, owner)
        lan.run(1)
        assert all(len(lan.answerers(address)) == 1 for address in ADDRESSES)
        start(lan, owner)
        lan.run(1)
        assert all(len(lan.answerers(address)) == 1 for address in ADDRESSES)


def test_a_node_that_comes_back_answers_for_nothing_of_others(lan: SimulatedLan) -> None:
    """No address has two answers while a node that died starts again."""
    owner = lan.answerers(ADDRESSES[0])[0]
    kill(lan, owner)
    lan.run(1)
    start(lan, owner)
    lan.run(1.5)

    assert max(lan.double.values()) <= STEP


def test_every_address_is_yielded_after_a_partition(lan: SimulatedLan) -> None:
    """After a partition of one node, each of its addresses has one answer."""
    lan.lost = lambda sender, receiver: (sender.node == "n1") != (receiver.node == "n1")
    lan.run(1)
    lan.lost = lambda _sender, _receiver: False
    lan.run(2 * DEAD_INTERVAL + INTERVAL)

    assert all(len(lan.answerers(address)) == 1 for address in ADDRESSES)
