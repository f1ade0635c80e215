"""Frames of a case on `report.html`: which rows of an exchange are shown, and what is written below them."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.report import html, model

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.report.conftest import Frames, Story


def table(source: str) -> list[str]:
    """The rows of the first exchange, and what is written below it."""
    start = source.index("ARP at the client")
    return source[start : source.index("</details>", start)].split("<tr")[2:]


def times(source: str) -> list[float]:
    """When the frames of the first exchange were heard."""
    return [float(at) for at in re.findall(r'<td class="num">([+-][\d.]+) s</td>', "".join(table(source)))]


def page_of(begin: Callable[..., Story], frames: list[dict[str, Any]], *, fault: float | None = None) -> str:
    """The page of a run with an exchange, and perhaps with a fault in its case."""
    story = begin("L2-01")
    if fault is not None:
        story.fault("L2-01", fault, fault + 1)
    story.add("evidence", case="L2-01", kind="pcap", title="Frames", path="evidence/L2-01/client.pcap")
    return html.of(model.of_events(story.exchange("L2-01", frames).judged("L2-01", "failed", reason="two").rows))


def asked(arp: Frames, seconds: int, *, second_from: int | None = None) -> list[dict[str, Any]]:
    """A request and an answer each second from 100 s on; from a second on, another node answers too."""
    frames = []
    for n in range(seconds):
        frames += [arp.request(100.0 + n), arp.reply(100.1 + n, arp.first)]
        if second_from is not None and n >= second_from:
            frames.append(arp.reply(100.2 + n, arp.second))
    return frames


def test_a_short_exchange_is_shown_whole(begin: Callable[..., Story], arp: Frames) -> None:
    """As many frames as there is room for need no remark."""
    source = page_of(begin, asked(arp, 12))

    assert len(times(source)) == 24
    assert "frames are shown" not in source


def test_a_long_exchange_is_shown_where_a_second_node_answers(begin: Callable[..., Story], arp: Frames) -> None:
    """The moment that the verdict rests on is in the middle, and where the rest is stands below."""
    source = page_of(begin, asked(arp, 100, second_from=50), fault=110.0)

    shown = times(source)
    assert len(shown) == 24
    assert shown[12] == pytest.approx(50.2)
    assert shown[0] == pytest.approx(45.0)
    assert "contested" in table(source)[12]
    assert (
        "24 of 250 frames are shown, around the first moment at which a second hardware address answers for the "
        'same address; all are in <a href="./evidence/L2-01/client.pcap">the capture</a> and in '
        '<a href="events.ndjson">events.ndjson</a>.'
    ) in source


def test_a_long_exchange_of_one_node_is_shown_around_the_fault(begin: Callable[..., Story], arp: Frames) -> None:
    """Nobody contradicted, so what was done to the lab is what a reader looks for."""
    source = page_of(begin, asked(arp, 100), fault=160.05)

    assert times(source)[12] == pytest.approx(60.1)
    assert "24 of 200 frames are shown, around the fault;" in source


def test_a_long_exchange_without_a_fault_is_shown_from_its_beginning(begin: Callable[..., Story], arp: Frames) -> None:
    """There is no moment to prefer."""
    source = page_of(begin, asked(arp, 100))

    assert times(source)[0] == 0.0
    assert "24 of 200 frames are shown, from the first frame on;" in source


@pytest.mark.parametrize("second_from", [0, 99])
def test_at_either_end_of_an_exchange_there_are_as_many_rows(
    begin: Callable[..., Story], arp: Frames, second_from: int
) -> None:
    """The window is moved, not cut."""
    source = page_of(begin, asked(arp, 100, second_from=second_from))

    shown = times(source)
    assert len(shown) == 24
    assert pytest.approx(second_from + 0.2) in shown
    assert all(earlier < later for earlier, later in pairwise(shown))


def test_other_addresses_are_no_contradiction(begin: Callable[..., Story], arp: Frames) -> None:
    """Two nodes that answer for an address each agree, and a client that asks speaks for nobody."""
    frames = [arp.reply(1.0 + n, arp.first if n % 2 else arp.second, f"10.0.0.{n % 2}") for n in range(60)]
    frames += [arp.request(70.0 + n) | {"sender_mac": arp.first} for n in range(5)]

    source = page_of(begin, frames)

    assert "from the first frame on;" in source
    assert "contested" not in "".join(table(source))


def test_a_gratuitous_announcement_is_an_answer_too(begin: Callable[..., Story], arp: Frames) -> None:
    """Who tells all that an address is its own speaks for it, asked or not."""
    frames = asked(arp, 40)
    frames.insert(60, arp.request(130.05) | {"sender_mac": arp.second, "sender_ip": "192.168.172.170"})

    source = page_of(begin, frames)

    assert "around the first moment at which a second hardware address answers" in source
    assert "announces 192.168.172.170 to all" in table(source)[12]


def test_without_a_capture_only_the_events_are_named(begin: Callable[..., Story], arp: Frames) -> None:
    """No link leads to a file that is not there."""
    story = begin("L2-01").exchange("L2-01", asked(arp, 40)).judged("L2-01", "failed", reason="x")

    source = html.of(model.of_events(story.rows))

    assert 'all are in <a href="events.ndjson">events.ndjson</a>.' in source
    assert "the capture</a>" not in source
