"""The link watch reports the latest state after dropped events, and its failure is not silent."""

from __future__ import annotations

import ipaddress
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lbproof_reference.speaker import wire
from lbproof_reference.speaker.loop import offers_for_link
from lbproof_reference.speaker.main import links_lost
from lbproof_reference.speaker.plan import Allowed, Offer
from lbproof_reference.speaker.wire import Link, watch_links

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest


def test_links_are_read_again_after_the_kernel_dropped_events() -> None:
    """After ENOBUFS (netlink(7)) all links are read again."""
    command = ["unshare", "--net", sys.executable, str(Path(__file__).with_name("link_watcher.py"))]
    told: queue.Queue[str] = queue.Queue()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout

        def read(lines: IO[str]) -> None:
            for line in lines:
                told.put(line.strip())
            told.put("ended")

        reading = threading.Thread(target=read, args=(process.stdout,))
        reading.start()
        try:
            heard = [told.get(timeout=20)]
            while heard[-1] == "02:00:00:00:00:01":
                heard.append(told.get(timeout=5))
        finally:
            process.kill()
            reading.join()
        assert process.stderr
        said = process.stderr.read()

    assert heard[-1] == "02:00:00:00:00:02"
    assert "links" in said
    assert "ENOBUFS" in said


def test_a_links_own_address_is_not_announced_on_it() -> None:
    """An interface's own address is not announced on it, even if no Node object lists it."""
    own, other = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
    subnets = (ipaddress.IPv4Network("10.0.0.0/24"),)
    link = Link(name="eth0", index=2, mac=bytes(6), subnets=subnets, own=frozenset({own}))
    offer = Offer(service="ns/a", allowed=(Allowed(nodes=frozenset({"n1"})),))

    assert offers_for_link(link, [link], {own: offer, other: offer}) == {own: None, other: offer}


def test_a_watch_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the watch thread is passed to the callback."""
    failed: queue.Queue[Exception] = queue.Queue()

    def broken(_: object) -> Mapping[str, Link]:
        raise LookupError("no such attribute")

    monkeypatch.setattr(wire, "read_links", broken)
    watch_links(lambda _: None, failed.put)

    assert isinstance(failed.get(timeout=5), LookupError)


def test_a_speaker_whose_links_are_not_watched_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A speaker exits with 70 when the watch fails, unless it is ending already."""
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)

    links_lost(OSError("netlink"), ending=False)
    assert codes == [70]
    links_lost(RuntimeError("Event loop is closed"), ending=True)
    assert codes == [70]
