"""Speakers as processes on a real segment: announcers, and the time without one."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest
from tests.reference.segments import KEY, Client, SegmentOfTests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VIPS = [f"10.9.0.{number}" for number in range(100, 110)]
VIP = VIPS[0]
TERM = 0.15
"""Dead interval (s)."""
SLACK = 0.15
"""Allowance for a busy machine (s)."""


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[SegmentOfTests]:
    """Three nodes whose speakers received each other before they got addresses."""
    with SegmentOfTests(3, tmp_path / "speakers.log") as segment:
        segment.start_all(VIPS)
        yield segment


@pytest.fixture
def client(segment: SegmentOfTests) -> Client:
    """Client to which exactly one node replies for each address."""
    client = segment.client()
    for vip in VIPS:
        client.wait_for(vip, lambda who: len(who) == 1)
    return client


def settle() -> None:
    """Wait for four dead intervals, until a started or resumed speaker participates."""
    threading.Event().wait(4 * TERM)


def test_each_address_has_one_announcer_and_others_have_none(client: Client) -> None:
    """Each address has one announcer, other addresses have none, and announcers are spread over the nodes."""
    owners = {vip: client.answerers(vip, 0.2) for vip in VIPS}

    assert all(len(who) == 1 for who in owners.values())
    assert client.answerers("10.9.0.200", 0.1) == []
    assert len({who[0] for who in owners.values()}) > 1


def test_a_killed_speaker_is_replaced_within_its_term(segment: SegmentOfTests, client: Client) -> None:
    """Another node answers within the dead interval, and a restarted speaker takes nothing back."""
    owner = client.owner(VIP)
    segment.stop(owner)
    gap = client.wait_for(VIP, bool)
    successor = client.owner(VIP)
    segment.start(owner, VIPS)
    settle()

    assert gap < TERM + SLACK
    assert {who[0] for _, who in client.census(VIP, 0.3) if who} == {successor}


def test_a_move_is_announced_to_the_neighbours(segment: SegmentOfTests, client: Client) -> None:
    """The successor sends gratuitous requests and replies for the address repeatedly."""
    owner = client.owner(VIP)
    client.heard(0.05)
    segment.stop(owner)
    heard = [(op, node) for _, op, node, ip, mine in client.heard(1) if ip == VIP and not mine]

    assert {node for _, node in heard} == {client.owner(VIP)}
    assert [op for op, _ in heard].count(1) >= 2
    assert [op for op, _ in heard].count(2) >= 2


def test_an_orderly_stop_makes_before_it_breaks(segment: SegmentOfTests, client: Client) -> None:
    """On SIGTERM at most one request is not answered."""
    owner = client.owner(VIP)
    segment.speakers[owner].send_signal(signal.SIGTERM)
    census = client.census(VIP, 0.5, every=0.01)

    assert sum(not who for _, who in census) <= 1
    assert client.owner(VIP) != owner
    assert len(client.answerers(VIP, 0.2)) == 1


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "carrier"])
def test_a_cut_that_heals_has_one_announcer_at_once(segment: SegmentOfTests, client: Client, *, silent: bool) -> None:
    """A disconnected node is replaced, and 0.2 s after the reconnection the successor is the only announcer."""
    owner = client.owner(VIP)
    segment.cut(owner, silent=silent)
    gap = client.wait_for(VIP, bool)
    successor = client.owner(VIP)
    settle()
    segment.heal(owner, silent=silent)
    client.heard(0.2)
    after = client.census(VIP, 1)

    assert gap < TERM + SLACK
    assert {tuple(who) for _, who in after if who} == {(successor,)}
    assert {vip: len(client.answerers(vip, 0.2)) for vip in VIPS} == dict.fromkeys(VIPS, 1)


def test_a_frozen_announcer_wakes_to_silence(segment: SegmentOfTests, client: Client) -> None:
    """A resumed speaker answers neither queued nor later requests."""
    owner = client.owner(VIP)
    segment.speakers[owner].send_signal(signal.SIGSTOP)
    gap = client.wait_for(VIP, bool)
    for _ in range(50):
        client.ask(VIP)
    client.heard(0.3)
    segment.speakers[owner].send_signal(signal.SIGCONT)
    after = client.census(VIP, 0.6)

    assert gap < TERM + SLACK
    assert all(owner not in who for _, who in after)
    assert len(client.answerers(VIP, 0.2)) == 1


def test_an_outsider_is_not_heard(segment: SegmentOfTests, client: Client) -> None:
    """A speaker with another Secret does not affect the election."""
    owner = client.owner(VIP)
    other = next(node for node in segment.nodes if node != owner)
    segment.stop(other)
    segment.start(other, ["10.9.0.250"], key="another of 16 bytes")
    client.wait_for("10.9.0.250", lambda who: who == [other], 30)  # includes the start of the interpreter

    assert client.answerers(VIP, 0.2) == [owner]


def test_a_rotated_key_divides_nobody(segment: SegmentOfTests, client: Client) -> None:
    """A speaker that starts with the new key and the previous one joins those that have the latter alone."""
    other = next(node for node in segment.nodes if node != client.owner(VIP))
    segment.stop(other, signal.SIGTERM)
    segment.start(other, VIPS, key=f"a new key of 16 bytes/{KEY}")
    client.heard(0.2)
    census = client.census(VIP, 3)

    assert {len(who) for _, who in census if who} == {1}
    assert all(len(client.answerers(vip, 0.2)) == 1 for vip in VIPS)


def test_an_interface_that_flaps_is_no_dead_end(segment: SegmentOfTests, client: Client) -> None:
    """Each address has one announcer after its interface went down and up at once."""
    for vip in VIPS:
        segment.flap(client.owner(vip))
    settle()

    for vip in VIPS:
        client.wait_for(vip, lambda who: len(who) == 1)
    assert all(len(client.answerers(vip, 0.2)) == 1 for vip in VIPS)
