"""Announcers while an address moves, in simulated time so that machine load has no effect."""

from __future__ import annotations

import pytest
from tests.reference.simulated import DEAD_INTERVAL, INTERVAL, STEP, SUBNETS, SimulatedLan

from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.plan import Allowed, Offer
from lbproof_reference.speaker.segment import PATIENCE

NODES = ("n1", "n2", "n3")
ADDRESSES = [bytes([10, 0, 0, number]) for number in range(100)]
FIRST = ADDRESSES[0]
ELSEWHERE = ((bytes([10, 9, 0, 0]), 16),)


def offer(*nodes: str) -> Offer:
    """Return an offer for these nodes."""
    return Offer(service="ns/a", allowed=(Allowed(nodes=frozenset(nodes)),))


@pytest.fixture
def lan() -> SimulatedLan:
    """Three nodes, each of a hundred addresses announced by one of them."""
    lan = SimulatedLan(NODES, dict.fromkeys(ADDRESSES, offer(*NODES)))
    lan.run(1)
    assert all(len(lan.answerers(address)) == 1 for address in ADDRESSES)
    return lan


def within(seconds: dict[bytes, float], most: float) -> None:
    """Assert that no address was in that state for longer than `most` (s)."""
    assert max(seconds.values()) <= most + STEP + 1e-9


def test_addresses_are_spread_over_nodes_that_start_together(lan: SimulatedLan) -> None:
    """Each of three nodes that start together announces more than a tenth of the addresses."""
    assert all(len(one.segment.claims) > len(ADDRESSES) / 10 for one in lan.stations.values())


def test_an_orderly_stop_leaves_no_moment_without_an_answer(lan: SimulatedLan) -> None:
    """At an orderly stop both nodes answer for less than a heartbeat, and at least one always does."""
    (leaver,) = lan.answerers(FIRST)
    lan.leave(leaver)
    lan.run(0.3)

    within(lan.silent, 0)
    within(lan.double, INTERVAL)
    assert not lan.of(leaver).segment.claims


def test_a_node_that_may_no_longer_announce_goes_on_until_another_does(lan: SimulatedLan) -> None:
    """An excluded node answers until its successor does."""
    (owner,) = lan.answerers(FIRST)
    others = [node for node in NODES if node != owner]
    changes = dict.fromkeys(ADDRESSES, offer(*others))
    lan.set_desired(changes, owner)
    lan.run(0.1)
    assert lan.answerers(FIRST) == [owner]
    lan.set_desired(changes)
    lan.run(1)

    within(lan.silent, 0)
    within(lan.double, INTERVAL)
    assert lan.answerers(FIRST) != [owner]


def test_a_takeover_outranks_a_claim_that_was_heard_before_the_address_was_known(lan: SimulatedLan) -> None:
    """The list of a station may be later than the first claim of its peer, whose epoch counts all the same."""
    address, known = bytes([10, 0, 0, 200]), offer(*NODES)
    lan.set_desired({address: known}, "n1")
    lan.run(0.5)
    lan.set_desired({address: known}, "n2", "n3")
    lan.run(0.1)
    before = lan.of("n1").segment.claims[address].epoch
    del lan.stations[lan.of("n1").segment.me]
    lan.run(1)

    (successor,) = lan.answerers(address)
    assert lan.of(successor).segment.claims[address].epoch == before + 1


@pytest.mark.parametrize("seconds", [0.0, 0.005, 0.01, 0.015, 0.02, 0.03])
def test_a_node_that_loses_the_subnet_when_a_cut_heals_yields(lan: SimulatedLan, seconds: float) -> None:
    """A station that learns at once that it may not announce and that another does ends with its own claim lowered."""
    lan.lost = lambda sender, receiver: (sender.node == "n3") != (receiver.node == "n3")
    lan.run(1)
    lan.lost = lambda *_: False
    lan.run(seconds)
    lan.double.clear()
    for node in ("n1", "n2"):
        lan.of(node).segment.set_subnets(ELSEWHERE)
    lan.run(1)

    within(lan.double, 2 * DEAD_INTERVAL)
    assert all(lan.answerers(address) == ["n3"] for address in ADDRESSES)


def test_a_node_with_one_segment_leaves_what_another_node_reaches_on_its_second_one(lan: SimulatedLan) -> None:
    """A node announces an address that nobody reaches here, and not while a node lives that reaches it elsewhere."""
    first, *others = NODES
    lan.set_desired(dict.fromkeys(ADDRESSES), first)
    lan.of(first).segment.set_elsewhere(SUBNETS)
    for node in NODES:
        lan.of(node).segment.set_subnets(ELSEWHERE)
    lan.run(1)
    assert lan.answerers(FIRST) == []

    del lan.stations[lan.of(first).segment.me]
    lan.run(1)

    (successor,) = lan.answerers(FIRST)
    assert successor in others


def test_a_successor_that_never_comes_is_not_waited_for_long(lan: SimulatedLan) -> None:
    """An excluded node stops answering when each successor was awaited for six heartbeats."""
    (owner,) = lan.answerers(FIRST)
    lan.set_desired({FIRST: offer(*(set(NODES) - {owner}))}, owner)
    lan.run(len(NODES[1:]) * PATIENCE * DEAD_INTERVAL + 0.05)

    assert lan.answerers(FIRST) == []


def test_of_several_that_wait_for_a_successor_one_answers(lan: SimulatedLan) -> None:
    """When a partition heals and no announcer has the subnet any more, only one of them waits for the successor."""
    first, second, successor = NODES
    lan.lost = lambda _sender, _receiver: True
    lan.run(1)
    lan.set_desired({FIRST: None}, successor)
    for node in (first, second):
        lan.of(node).segment.set_subnets(((bytes([10, 9, 0, 0]), 16),))
    lan.run(1)
    assert lan.answerers(FIRST) == [first, second]
    lan.lost = lambda _sender, _receiver: False
    lan.run(PATIENCE * DEAD_INTERVAL - INTERVAL)

    within(lan.double, INTERVAL)
    within(lan.silent, 0)
    assert len(lan.answerers(FIRST)) == 1

    lan.set_desired({FIRST: offer(*NODES)}, successor)
    lan.run(INTERVAL)

    within(lan.silent, 0)
    assert lan.answerers(FIRST) == [successor]


def test_a_station_with_an_old_list_answers_alone_until_it_says_that_its_list_is_old(lan: SimulatedLan) -> None:
    """Who announces an address by an old list goes on, alone, until its heartbeats say that the list is outdated."""
    (old,) = lan.answerers(FIRST)
    lan.set_desired({FIRST: offer(old)}, old)
    current = [node for node in NODES if node != old]
    lan.set_desired({FIRST: offer(*current)}, *current)
    lan.run(10)
    within(lan.double, 0)
    within(lan.silent, 0)
    assert lan.answerers(FIRST) == [old]

    lan.of(old).segment.set_outdated(True)
    lan.run(10)
    within(lan.double, INTERVAL)
    within(lan.silent, 0)
    assert lan.answerers(FIRST)[0] in current

    lan.of(old).segment.set_outdated(False)
    lan.run(10)
    within(lan.double, 0)
    within(lan.silent, 0)


def test_outdated_lists_that_agree_move_nothing(lan: SimulatedLan) -> None:
    """When the API server is away, for one station or for all, every address stays where it is."""
    before = {address: lan.answerers(address) for address in ADDRESSES}
    for count in (1, 2, 3):
        lan.of(NODES[count - 1]).segment.set_outdated(True)
        lan.run(1)
        assert before == {address: lan.answerers(address) for address in ADDRESSES}


def test_a_station_with_an_outdated_list_takes_over_from_one_that_dies(lan: SimulatedLan) -> None:
    """While the API server is away for all, the death of one costs as long as at any other time."""
    for node in NODES:
        lan.of(node).segment.set_outdated(True)
    lan.run(1)
    (dead,) = lan.answerers(FIRST)
    del lan.stations[Station(dead, "eth0")]
    lan.run(DEAD_INTERVAL + 2 * INTERVAL)

    assert len(lan.answerers(FIRST)) == 1


@pytest.mark.parametrize(("stall", "every"), [(0.095, 0.13), (0.095, 0.2)])
def test_short_stalls_postpone_a_takeover_by_their_own_time_alone(
    lan: SimulatedLan, stall: float, every: float
) -> None:
    """A station that stalls again and again, each time for less than a dead interval, still takes over."""
    first, second, _ = NODES
    del lan.stations[Station(NODES[2], "eth0")]
    lan.run(1)
    address = next(one for one in ADDRESSES if lan.answerers(one) == [first])
    del lan.stations[Station(first, "eth0")]
    end = lan.now + (DEAD_INTERVAL + INTERVAL) * every / (every - stall) + 2 * every
    while lan.now < end:
        lan.freeze(second)
        lan.advance(lan.now + stall)
        lan.thaw(lan.of(second))
        lan.advance(lan.now + every - stall)

    assert lan.answerers(address) == [second]


def test_without_a_successor_there_is_no_wait(lan: SimulatedLan) -> None:
    """An address that no node may announce, or that was removed, is withdrawn at once."""
    lan.set_desired({FIRST: offer("elsewhere"), ADDRESSES[1]: None})
    lan.run(0.002)

    assert lan.answerers(FIRST) == lan.answerers(ADDRESSES[1]) == []


@pytest.mark.parametrize("lost", NODES)
def test_a_cut_that_heals_has_two_announcers_for_two_heartbeats_at_most(lan: SimulatedLan, lost: str) -> None:
    """After a partition heals, the smaller side withdraws within two heartbeats, and no other address moves.

    One passes until a message is sent, and one until it is read.
    """
    lan.lost = lambda sender, receiver: lost in (sender.node, receiver.node)
    lan.run(1)
    rest = {address: [node for node in lan.answerers(address) if node != lost] for address in ADDRESSES}
    lan.lost = lambda _sender, _receiver: False
    lan.run(0.5)

    within(lan.double, 2 * INTERVAL)
    within(lan.silent, 0)
    assert {address: lan.answerers(address) for address in ADDRESSES} == rest


@pytest.mark.parametrize("seconds", [DEAD_INTERVAL - INTERVAL, DEAD_INTERVAL, DEAD_INTERVAL + INTERVAL, 1.0])
def test_one_that_was_frozen_wakes_to_no_double_answer(lan: SimulatedLan, seconds: float) -> None:
    """A resumed node never answers for an address that another node took over."""
    (sleeper,) = lan.answerers(FIRST)
    lan.freeze(sleeper)
    lan.run(seconds)
    lan.thaw(lan.of(sleeper))
    lan.run(1)

    within(lan.double, 0)
    assert all(len(lan.answerers(address)) == 1 for address in ADDRESSES)


def test_a_burst_of_addresses_costs_a_message_for_each_chunk_that_changed(lan: SimulatedLan) -> None:
    """A change is sent in at most two messages, however many addresses there are."""
    segment = lan.of("n1").segment
    segment.heartbeats(lan.now)
    segment.heartbeats(lan.now)
    segment.set_desired({bytes([10, 0, 1, 1]): offer("n1")})
    segment.reconcile(lan.now)

    assert segment.news_due() == lan.now
    assert len(segment.heartbeats(lan.now)) <= 2


def test_addresses_of_both_families_move_each_to_a_station_with_its_subnet() -> None:
    """Each address has one announcer with a subnet of its family, also after the death of one that has both."""
    of_4, of_6 = bytes([10, 0, 0, 7]), bytes.fromhex("fd00000a" + "00" * 11 + "07")
    four, six = (bytes([10, 0, 0, 0]), 16), (bytes.fromhex("fd00000a" + "00" * 12), 64)
    lan = SimulatedLan((), {})
    for node, subnets in {"n1": (four, six), "n2": (four,), "n3": (six,)}.items():
        lan.start(Station(node, "eth0"), subnets=subnets)
    lan.set_desired(dict.fromkeys((of_4, of_6), offer(*NODES)))
    lan.run(1)

    assert lan.answerers(of_4) in (["n1"], ["n2"])
    assert lan.answerers(of_6) in (["n1"], ["n3"])
    lan.freeze("n1")
    lan.run(1)
    assert (lan.answerers(of_4), lan.answerers(of_6)) == (["n2"], ["n3"])
