"""Real speakers on a segment where another host uses one of their addresses."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tests.reference.segments import SegmentOfTests

from lbproof_reference.frames import announcements
from lbproof_reference.speaker.loop import ANNOUNCE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ADDRESS = "10.9.0.100"


def test_an_address_is_defended_against_another_host(tmp_path: Path, subtests: pytest.Subtests) -> None:
    """One announcement follows the frames of another host, and none follows those of a speaker."""
    log = tmp_path / "log"
    with SegmentOfTests(2, log) as segment:
        segment.start_all([ADDRESS])
        client = segment.client()
        owner = client.owner(ADDRESS)
        (peer,) = {"n1", "n2"} - {owner}
        client.heard(max(ANNOUNCE_SECONDS) + 0.5)  # those of the acquisition

        def announced(mac: bytes) -> list[tuple[int, str]]:
            """Announce the address ten times from a MAC; return the operations and senders of the replies."""
            for _ in range(10):
                for frame in announcements(socket.inet_aton(ADDRESS), mac):
                    client.socket.send(frame)
            return [(op, node) for _, op, node, address, _ in client.heard(2) if address == ADDRESS]

        with subtests.test("a speaker"):
            assert announced(bytes([2, 0, 0, 0, 0, int(peer[1:])])) == []
        with subtests.test("another host"):
            assert announced(client.mac) == [(1, owner), (2, owner)]
            assert announced(client.mac) == []

    conflicts = [line for line in log.read_text().splitlines() if "address conflict" in line]
    assert len(conflicts) == 1
    assert client.mac.hex(":") in conflicts[0]
    assert f"default/{ADDRESS}" in conflicts[0]
