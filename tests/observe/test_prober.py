"""A client that asks on a schedule, and what is read from its answers."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from ipaddress import IPv4Address
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.observe.places import PORT

from lbproof.lab.common.vantage import NamespaceVantage
from lbproof.witnesses import neighbours, prober
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.prober import PERIOD, STEADY, TIMEOUT, Prober, Sample, first_outage, longest, outages, steady
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import EventuallyFailed, eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.observe.places import Segment

    from lbproof.witnesses.vantage import Vantage

STARVED = 0.4
"""Seconds by which a machine that does other things as well may be late."""


def story(text: str) -> list[Sample]:
    """A request a second from 0 on; `.` was answered and `x` was not."""
    return [Sample(t, 0.01 if mark == "." else None, mark) for t, mark in enumerate(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("....", []),
        ("..xx..", [(2, 4)]),
        ("x..x.", [(0, 1), (3, 4)]),
        ("..xx", [(2, None)]),
    ],
)
def test_an_outage_is_from_the_first_that_failed_to_the_next_that_did_not(
    text: str, expected: list[tuple[float, float | None]]
) -> None:
    """By when the requests were due; one that did not end has no end."""
    assert outages(story(text)) == expected


@given(text=st.text("x.", max_size=40), mix=st.randoms())
def test_outages_do_not_depend_on_the_order_of_the_answers(text: str, mix: Any) -> None:  # noqa: ANN401 - a Random
    """A request that waited long is over after one that was made later; every failure is in just one outage."""
    samples = story(text)
    mixed = mix.sample(samples, len(samples))
    found = outages(mixed)

    assert found == outages(samples)
    inside = sum(math.ceil((len(text) if end is None else end) - begin) for begin, end in found)
    assert inside == text.count("x")


def test_the_longest_outage_is_infinite_while_it_lasts() -> None:
    """None is no time at all, and one that did not end is longer than any."""
    assert [longest(story(text)) for text in ("", "...", ".x.xxx.", ".xx.x")] == [0, 0, 3, math.inf]


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("..xx..", 1, 2),
        ("xx..xx.x.", 2, 2),
        ("....", 1, None),
        ("..xx", 1, None),
        ("." * STEADY, 0, 0),
        ("." * STEADY, 1, None),
        ("x" + "." * STEADY, 1, 0),
        ("." * STEADY + "x", 0, None),
    ],
)
def test_the_first_outage_is_told_when_it_is_over_or_was_none(text: str, after: float, expected: float | None) -> None:
    """What failed before the moment does not count; a fault that nobody notices is no outage that never ends."""
    assert first_outage(story(text), after) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("." * STEADY, True), ("x" + "." * STEADY, True), ("." * (STEADY - 1), False), ("." * STEADY + "x", False)],
)
def test_steady_is_an_answer_to_each_of_the_last(text: str, expected: bool) -> None:
    """Fewer are not enough, and older ones do not count."""
    assert steady(story(text)) is expected


def answered(running: Prober, after: float) -> Callable[[], int]:
    """How many requests that were due after a moment are answered."""
    return lambda: sum(s.took is not None for s in running.samples if s.due > after)


def enough(count: int) -> bool:
    """A few answers."""
    return count >= 5


@pytest.mark.usefixtures("server")
def test_requests_leave_on_the_schedule(client: Vantage, web: Vantage) -> None:
    """One every period and none missing, and the answers say who gave them."""
    with Prober(client, web.address, PORT) as running:
        eventually(lambda: len(running.samples), lambda count: count >= 50, what="fifty requests", within=10)
    due = sorted(sample.due for sample in running.samples)

    assert {sample.who for sample in running.samples if sample.took is not None} == {"web"}
    assert all(later - earlier == pytest.approx(PERIOD, abs=1e-5) for earlier, later in pairwise(due))


def test_a_stall_is_seen_at_its_full_length(client: Vantage, web: Vantage, server: subprocess.Popen[bytes]) -> None:
    """While the server is frozen requests go on leaving, each of them fails, and the outage is as long as the stall."""
    with Prober(client, web.address, PORT) as running:
        os.kill(server.pid, signal.SIGSTOP)
        frozen = time.monotonic()
        threading.Event().wait(0.6)
        thawed = time.monotonic()
        os.kill(server.pid, signal.SIGCONT)
        eventually(answered(running, thawed), enough, what="it serves again", within=5)
    missed = [sample for sample in running.samples if frozen < sample.due < thawed - TIMEOUT - 0.05]

    assert len(missed) >= 20
    assert {(sample.took, sample.who) for sample in missed} == {(None, "silent")}
    assert thawed - frozen - TIMEOUT - 0.05 < longest(running.samples) < thawed - frozen + STARVED


@pytest.mark.usefixtures("server")
def test_a_cut_cable_is_an_outage_of_its_length(segment: Segment, client: Vantage, web: Vantage) -> None:
    """Nothing passes while the cable is out, and new connections are served at once when it is in again.

    Both hosts know each other all the time: one that has to ask again may wait a second for that (RFC 4861).
    """
    neighbours.pin(client, web.address, web.mac, "PERMANENT")
    neighbours.pin(web, client.address, client.mac, "PERMANENT")
    with Prober(client, web.address, PORT) as running:
        with segment.unplugged("web"):
            out = time.monotonic()
            threading.Event().wait(0.5)
        back = time.monotonic()
        eventually(answered(running, back), enough, what="it serves again", within=5)

    assert longest(running.samples) == pytest.approx(back - out, abs=STARVED)
    assert first_outage(running.samples, out - 0.1) == pytest.approx(back - out, abs=STARVED)


@pytest.mark.usefixtures("server")
def test_it_ends_with_its_block(client: Vantage, web: Vantage) -> None:
    """The process is gone, every request is over, and none came after."""
    with Prober(client, web.address, PORT) as running:
        process = running.probe.process
        assert process.poll() is None
    before = len(running.samples)

    assert process.returncode == 0
    assert len(running.samples) == before


def test_what_never_answers_is_a_failure_that_says_what_was_seen(
    client: Vantage, web: Vantage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that measures an outage is not entered when there is nothing to lose, and no process is left."""
    monkeypatch.setattr(prober, "START", 0.5)
    asking = Prober(client, web.address, 9)

    with pytest.raises(EventuallyFailed, match=r"10\.77\.0\.2:9 answers client: not within 0\.5 s; .* refused"), asking:
        pass

    assert asking.probe.process.returncode is not None


@pytest.mark.usefixtures("server")
def test_another_status_is_no_answer(client: Vantage, web: Vantage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's error page is not the service."""
    monkeypatch.setattr(prober, "START", 0.5)

    with (
        pytest.raises(EventuallyFailed, match="not-http"),
        Prober(client, web.address, PORT, path="/nothing-here"),
    ):
        pass


def test_the_timeline_is_written_in_the_time_of_the_run() -> None:
    """Samples and outages as the format of the events has them; one that did not end goes to the last request."""
    journal = Journal(None)
    rows: list[dict[str, Any]] = []
    journal.listeners.append(rows.append)
    nowhere = NamespaceVantage(name="nowhere", addresses=(), mac="", netns="", pidns="")
    running = Prober(nowhere, IPv4Address("10.0.0.7"))
    running._samples = [  # noqa: SLF001 - as its process would have told
        Sample(journal.began + 2, None, "silent"),
        Sample(journal.began + 1, 0.001, "web"),
        Sample(journal.began + 3, None, "silent"),
    ]
    running.write(journal, "power cut of w01")

    assert rows[0] | {"at": "", "t": 0} == {
        "event": "timeline",
        "t": 0,
        "at": "",
        "case": None,
        "title": "power cut of w01",
        "vantage": "nowhere",
        "period": PERIOD,
        "samples": [(1.0, 0.001, "web"), (2.0, None, "silent"), (3.0, None, "silent")],
        "outages": [(2.0, 3.0)],
    }


@pytest.mark.usefixtures("server")
def test_a_prober_that_ended_by_itself_says_so(
    client: NamespaceVantage, web: NamespaceVantage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it no longer sends is no outage and no service."""
    monkeypatch.setattr(prober, "LONGEST", 0.05)
    ended = pytest.raises(ProbeError, match="task requests at client: it ended by itself")
    with Prober(client, web.address, PORT) as running, ended:
        eventually(lambda: running.samples, lambda _: False, what="it ends", within=5)
    assert running.samples
