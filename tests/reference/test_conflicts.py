"""When an address is announced against another host that uses it: RFC 5227 section 2.4 (c)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbproof_reference.speaker.conflicts import DEFEND_INTERVAL, EPISODE_SECONDS, Conflicts, Defence
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.heartbeat import Echo, Heartbeat
from lbproof_reference.speaker.segment import Segment

DEAD_INTERVAL = 0.15
OURS, OTHER = b"\x0a\0\0\7", b"\x0a\0\0\x08"


def test_a_conflict_is_answered_at_once_and_then_once_in_ten_seconds() -> None:
    """The second frame of a pair, as ifup scripts send it, is followed by one announcement after the interval."""
    conflicts = Conflicts()

    assert conflicts.defend(OURS, 100.0) == Defence(0.0, begins=True)
    assert conflicts.defend(OURS, 102.0) == Defence(8.0, begins=False)
    assert conflicts.defend(OURS, 103.0) == Defence(None, begins=False)
    assert conflicts.defend(OURS, 110.0) == Defence(10.0, begins=False)
    assert conflicts.defend(OURS, 150.0) == Defence(0.0, begins=False)
    assert conflicts.defend(OTHER, 150.0) == Defence(0.0, begins=True)


def test_a_conflict_is_reported_again_after_it_ended() -> None:
    """A host that repeats its announcement every minute is one conflict."""
    conflicts = Conflicts()
    times = [0.0, 60.0, 120.0, 120.0 + EPISODE_SECONDS]

    assert [conflicts.defend(OURS, time).begins for time in times] == [True, False, False, True]


def test_conflicts_that_ended_are_forgotten() -> None:
    """However many addresses had a conflict once, only those of the last five minutes are known."""
    conflicts = Conflicts()
    for number in range(1000):
        conflicts.defend(number.to_bytes(4), number * EPISODE_SECONDS / 10)

    assert len(conflicts._known) <= 11  # noqa: SLF001 - memory


@given(st.lists(st.floats(0, 5), max_size=60))
def test_every_conflict_is_followed_by_an_announcement_but_never_two_within_the_interval(gaps: list[float]) -> None:
    """Announcements are at least DEFEND_INTERVAL apart, and one follows each frame within that time."""
    conflicts, now = Conflicts(), 0.0
    frames, announced = list[float](), list[float]()
    for gap in gaps:
        now += gap
        frames.append(now)
        if (delay := conflicts.defend(OURS, now).delay) is not None:
            announced.append(now + delay)

    assert all(late - early > DEFEND_INTERVAL - 1e-6 for early, late in itertools.pairwise(announced))
    assert all(any(frame <= at + 1e-6 and at <= frame + DEFEND_INTERVAL + 1e-6 for at in announced) for frame in frames)


@pytest.mark.parametrize("case", ["unproven", "mutual", "dead", "deaf"])
def test_two_stations_that_do_not_hear_each_other_are_a_conflict(case: str) -> None:
    """The MAC of a station is exempt while both hear each other; a replay makes none known."""
    segment = Segment(
        me=Station("n1", "eth0"), mac=b"\2\0\0\0\0\1", subnets=(), session=1, dead_interval=DEAD_INTERVAL, now=0.0
    )
    (own,) = segment.heartbeats(0.0)
    echo = Echo(own.sequence, direct=True)
    message = Heartbeat(
        station=Station("n2", "eth0"), mac=b"\2\0\0\0\0\2", session=2, sequence=1, dead_interval_ms=150,
        heard={} if case == "unproven" else {1: echo}, subnets=(), chunk=0, claims={},
    )  # fmt: skip
    segment.receive(message, b"", 0.0)
    if case == "deaf":
        segment.receive(message._replace(sequence=2, heard={}, receives=True), b"", 0.01)
        segment.receive(message._replace(sequence=3, heard={}), b"", DEAD_INTERVAL)
    segment.expire_peers({"dead": 2, "deaf": 1}.get(case, 0) * DEAD_INTERVAL)

    assert [segment.is_station(bytes([2, 0, 0, 0, 0, last])) for last in (1, 2, 3)] == [True, case == "mutual", False]
