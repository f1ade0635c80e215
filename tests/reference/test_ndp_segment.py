"""Speakers on a real segment of IPv6, whose switch sends multicast only to members of the group (MLD snooping)."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from tests.reference.segments import SegmentOfTests, run

if TYPE_CHECKING:
    from pathlib import Path

ADDRESSES = ["fd09::100", "fd09::101", "fd09::102", "10.9.0.100"]
CLIENT = "fd09::fe"
SEND = """
import socket, sys
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
    for address in sys.argv[1:]:
        sock.sendto(b"", (address, 9))
"""


def resolved(segment: SegmentOfTests, *addresses: str) -> list[str]:
    """Return the node that the kernel of the client finds for each address; empty if nobody answers it."""
    netns = ("nsenter", f"--net=/run/netns/{segment.tag}-client")
    run(*netns, "ip", "neigh", "flush", "dev", "eth0")
    run(*netns, sys.executable, "-c", SEND, *addresses)
    found: dict[str, str] = {}
    deadline = time.monotonic() + 5  # the kernel asks three times, a second apart
    while time.monotonic() < deadline and len(found) < len(addresses):
        for line in run(*netns, "ip", "-6", "neigh", "show", "dev", "eth0").splitlines():
            address, *words = line.split()
            if "lladdr" in words:
                found[address] = f"n{int(words[words.index('lladdr') + 1][-2:], 16)}"
            elif words[-1] == "FAILED":
                found[address] = ""
        time.sleep(0.02)
    return [found[address] for address in addresses]


def test_solicitations_reach_the_announcer_through_a_switch_that_snoops(tmp_path: Path) -> None:
    """The kernel of another host finds one node for each address, also after that node is cut, and none for others."""
    with SegmentOfTests(2, tmp_path / "speakers.log") as segment:
        for number, node in enumerate([*segment.nodes, "client"], start=1):
            address = CLIENT if node == "client" else f"fd09::{number}"
            netns = f"--net=/run/netns/{segment.tag}-{node}"
            run("nsenter", netns, "ip", "addr", "add", f"{address}/64", "dev", "eth0", "nodad")
        segment.snoop()
        segment.start_all(ADDRESSES)
        client = segment.client()
        client.wait_for("10.9.0.100", lambda who: len(who) == 1)

        *before, free = resolved(segment, *ADDRESSES[:3], "fd09::103")
        segment.stop("n1")
        client.wait_for("10.9.0.100", lambda who: who == ["n2"])
        after = resolved(segment, *ADDRESSES[:3])

    assert all(before)
    assert after == ["n2"] * 3
    assert not free
