"""The task `availability` reports when an address answers first and last, and asks no more than it may."""

from __future__ import annotations

import subprocess
import sys
import time
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the helpers of tests, by their place in the checkout

from tests.observe.places import Segment

from lbproof.probe.protocol import text_of
from lbproof.probe.tasks.availability import QUIET, SILENT_ASKS, NeighbourRequests, RoundRobin
from lbproof.spec.families import Family
from lbproof.witnesses.wait import eventually
from lbproof_perf.probes import neighbours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.witnesses.stream import Stream

MAC, SENDER = "02:00:00:00:5e:ed", IPv4Address("10.77.0.254")
ONE, TWO = b"\x0a\x4d\x00\x0a", b"\x0a\x4d\x00\x0b"


@pytest.fixture(scope="module")
def segment() -> Iterator[Segment]:
    """A segment of the task's own."""
    with Segment() as made:
        yield made


@given(st.integers(0, 40), st.integers(1, 12))
def test_everybody_has_a_turn_and_nobody_two_at_once(count: int, most: int) -> None:
    """With more addresses than fit, each is asked as often as the others."""
    turns: RoundRobin[int, None] = RoundRobin(most)
    for key in range(count):
        turns.add(key, None)
    rounds = [turns.next_batch() for _ in range(count)]
    asked = [key for row in rounds for key in row]

    assert all(len(row) == len(set(row)) == min(most, count) for row in rounds)
    assert all(asked.count(key) == min(most, count) for key in range(count))


def test_who_is_dropped_is_asked_no_more_and_may_come_again() -> None:
    """An address that is given anew is asked for anew, once a turn."""
    turns: RoundRobin[str, None] = RoundRobin(3)
    for key in ("a", "b"):
        turns.add(key, None)
    del turns["a"]

    assert turns.next_batch() == ["b"]
    turns.add("a", None)
    assert sorted(turns.next_batch()) == ["a", "b"]
    assert len(turns) == 2


def test_the_first_answer_is_told_once_with_what_is_not_known() -> None:
    """The step says since when the answerer may have been there: since the request before."""
    asking = NeighbourRequests(5)
    asking.begin(ONE, last=False)

    assert asking.ask(1.0)[0] == [ONE]
    assert asking.ask(1.005)[0] == [ONE]
    assert asking.answered(TWO, 1.006) is None
    verb, step = asking.answered(ONE, 1.006) or ("", 0.0)
    assert verb == "first"
    assert step == pytest.approx(0.006)
    assert asking.answered(ONE, 1.007) is None
    assert asking.ask(1.01) == ([], [])


def test_silence_takes_requests_and_time() -> None:
    """A pause of the machine is no silence: enough requests have to stay unanswered, for long enough."""
    asking = NeighbourRequests(5)
    asking.begin(ONE, last=True)
    asking.ask(1.0)
    verb, step = asking.answered(ONE, 1.0005) or ("", 0.0)
    assert verb == "still"  # from now on it is watched
    assert step == pytest.approx(0.0005)
    assert ONE in asking
    assert asking.answered(ONE, 1.001) is None
    for at in range(SILENT_ASKS):
        assert asking.ask(1.005 + at * 0.005) == ([ONE], [])

    assert asking.ask(1.1) == ([ONE], [])
    ((address, last, step),) = asking.ask(1.006 + QUIET)[1]
    assert (address, last) == (ONE, 1.001)
    assert step == pytest.approx(0.004)


def test_an_address_that_was_silent_already_has_no_last_answer() -> None:
    """Its silence began before it was asked for."""
    asking = NeighbourRequests(5)
    asking.begin(ONE, last=True)
    for at in range(SILENT_ASKS):
        asking.ask(1.0 + at)

    assert asking.ask(9.0)[1] == [(ONE, None, 0.0)]


class TaskAtClient:
    """The task at the client, and what it has found."""

    def __init__(self, stream: Stream, found: list[Any]) -> None:
        self.stream, self.found = stream, found

    def begin(self, verb: str, address: str) -> None:
        """Ask for an address."""
        frame = neighbours.request(mac=MAC, address=SENDER, target=IPv4Address(address))
        self.stream.tell([verb, address, None if verb == "http" else text_of(frame)])


@pytest.fixture
def running(segment: Segment) -> Iterator[TaskAtClient]:
    """The task at the client, on port 8001 of whom it asks by HTTP."""
    client = segment.hosts["client"]
    found: list[Any] = []
    replies = [neighbours.replies(client.interface, MAC, Family.IPV4)]
    with client.start_probe() as probe:
        stream = probe.request("availability", each=found.append, replies=replies, port=8001, path="/")
        stream.wait_ready()
        yield TaskAtClient(stream, found)
        assert stream.cancel().dropped == 0


def test_answers_are_seen_to_begin_and_to_end(segment: Segment, running: TaskAtClient) -> None:
    """A host's kernel answers from when it has an address until it has not; nobody's neighbours change by it."""
    found = running.found
    running.begin("first", "10.77.0.9")
    before = time.monotonic()
    with segment.address("twin", IPv4Address("10.77.0.9")):
        eventually(lambda: found, bool, what="a first answer", within=10)
        verb, address, moment, _, mac = found.pop()
        running.begin("last", "10.77.0.9")
        eventually(lambda: found, bool, what="it is watched", within=10)
        assert (verb, address, mac) == ("first", "10.77.0.9", segment.hosts["twin"].mac)
        assert moment > before
    after = time.monotonic()
    eventually(lambda: [row for row in found if row[0] == "last"], bool, what="silence", within=10)
    verb, address, moment, step = found.pop()

    assert (verb, address) == ("last", "10.77.0.9")
    assert before < moment <= after + step
    table = segment.hosts["client"].popen(["ip", "neigh", "show", "10.77.0.9"], stdout=subprocess.PIPE)
    assert table.communicate()[0] == b""


WEB = """
import http.server, sys

class Web(http.server.BaseHTTPRequestHandler):
    left = 2

    def do_GET(self):
        type(self).left -= 1
        self.send_response(503 if type(self).left >= 0 else 200)
        self.end_headers()

http.server.ThreadingHTTPServer((sys.argv[1], 8001), Web).serve_forever()
"""
"""Answers 503 twice, then 200."""


def test_only_a_200_counts(segment: Segment, running: TaskAtClient) -> None:
    """A refused connection is tried again, an error is no success, and the first 200 ends it."""
    web = segment.hosts["web"]
    running.begin("http", str(web.address))
    with web.popen([sys.executable, "-c", WEB, str(web.address)], stderr=subprocess.PIPE) as server:
        eventually(lambda: running.found, bool, what="a 200", within=10)
        server.kill()
        assert server.stderr is not None
        log = server.stderr.read().decode()

    assert [row[:2] for row in running.found] == [["http", str(web.address)]]
    assert log.count(" 503 ") == 2
