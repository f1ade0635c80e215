"""Speakers on a real segment of IPv6, whose switch sends multicast only to members of the group (MLD snooping)."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest
from tests.reference.segments import SegmentOfTests, run

from lbproof.lab.common.vantage import NamespaceVantage
from lbproof.witnesses.neighbour import Listener
from lbproof.witnesses.wait import eventually
from lbproof_reference.speaker.loop import ANNOUNCE_SECONDS, RETRANS_TIMER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ADDRESSES = ["fd09::100", "fd09::101", "fd09::102", "10.9.0.100"]
CLIENT = "fd09::fe"
SEND = """
import socket, sys
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
    for address in sys.argv[1:]:
        sock.sendto(b"", (address, 9))
"""


def client(segment: SegmentOfTests, *command: str) -> str:
    """Run a command at the client and return its output."""
    return run("nsenter", f"--net=/run/netns/{segment.tag}-client", *command)


def entry(segment: SegmentOfTests, address: str) -> tuple[str, str]:
    """Return the node of an address and the state in the neighbour table of the client's kernel; empty without one."""
    words = client(segment, "ip", "-6", "neigh", "show", address, "dev", "eth0").split()
    node = f"n{int(words[words.index('lladdr') + 1][-2:], 16)}" if "lladdr" in words else ""
    return node, words[-1] if words else ""


@contextmanager
def listening(segment: SegmentOfTests) -> Iterator[Listener]:
    """Record what the client hears."""
    addresses = (IPv4Address("10.9.0.3"), IPv6Address(CLIENT))
    netns = f"/run/netns/{segment.tag}-client"
    vantage = NamespaceVantage(
        name="client", addresses=addresses, mac="02:00:00:00:00:03", netns=netns, pidns="/proc/self/ns/pid"
    )
    try:
        with Listener(vantage) as heard:
            yield heard
    finally:
        vantage.probes.close()


def wait(come_about: Callable[[], bool], seconds: float = 5) -> None:
    """Wait until something is true. Raises AssertionError after `seconds`."""
    eventually(come_about, bool, what="what the client's kernel knows comes about", within=seconds)


def resolved(segment: SegmentOfTests, *addresses: str) -> list[str]:
    """Return the node that the kernel of the client finds for each address; empty if nobody answers it."""
    client(segment, "ip", "neigh", "flush", "dev", "eth0")
    client(segment, sys.executable, "-c", SEND, *addresses)
    final = {"REACHABLE", "STALE", "DELAY", "FAILED"}  # the kernel asks three times, a second apart
    wait(lambda: all(entry(segment, address)[1] in final for address in addresses))
    return [entry(segment, address)[0] for address in addresses]


@pytest.fixture
def segment(tmp_path: Path) -> Iterator[SegmentOfTests]:
    """Two speakers and a client with addresses of both families; a node answers for each address."""
    with SegmentOfTests(2, tmp_path / "speakers.log") as made:
        for number, node in enumerate([*made.nodes, "client"], start=1):
            address = CLIENT if node == "client" else f"fd09::{number}"
            netns = f"--net=/run/netns/{made.tag}-{node}"
            run("nsenter", netns, "ip", "addr", "add", f"{address}/64", "dev", "eth0", "nodad")
        made.snoop()
        made.start_all(ADDRESSES)
        made.client().wait_for("10.9.0.100", lambda who: len(who) == 1)
        yield made


def test_solicitations_reach_the_announcer_through_a_switch_that_snoops(segment: SegmentOfTests) -> None:
    """The kernel of another host finds one node for each address, also after that node died, and none for others."""
    *before, free = resolved(segment, *ADDRESSES[:3], "fd09::103")
    segment.stop("n1")
    segment.client().wait_for("10.9.0.100", lambda who: who == ["n2"])
    after = resolved(segment, *ADDRESSES[:3])

    assert all(before)
    assert after == ["n2"] * 3
    assert not free


def test_the_kernel_of_another_host_confirms_and_follows_an_address(segment: SegmentOfTests) -> None:
    """Its probe of an entry by unicast is answered, and a move changes the entry before the host asks again."""
    address = ADDRESSES[0]
    (owner,) = resolved(segment, address)
    (other,) = set(segment.nodes) - {owner}
    mac = f"02:00:00:00:00:0{owner[1:]}"
    client(segment, "ip", "neigh", "replace", address, "lladdr", mac, "dev", "eth0", "nud", "probe")
    wait(lambda: entry(segment, address) == (owner, "REACHABLE"))
    segment.stop(owner)
    wait(lambda: entry(segment, address)[0] == other)


def test_the_kernel_of_another_host_gives_up_an_address_that_is_announced(segment: SegmentOfTests) -> None:
    """A host that is about to take an announced address is told so, and takes a free one (RFC 4862 section 5.4)."""
    address = IPv6Address(ADDRESSES[0])
    (owner,) = resolved(segment, str(address))
    (other,) = set(segment.nodes) - {owner}
    with listening(segment) as heard:
        segment.stop(owner)
        times = sum(not 0 < delay < RETRANS_TIMER for delay in ANNOUNCE_SECONDS)
        # the other node announces the address so often when it acquires it; one more would tell the host, too
        mac = f"02:00:00:00:00:0{other[1:]}"
        wait(lambda: [one.sender_mac for one in heard.announcements(address)].count(mac) == times, 10)
    for taken in (address, "fd09::103"):
        client(segment, "ip", "addr", "add", f"{taken}/64", "dev", "eth0")

    def shown(flag: str) -> str:
        return client(segment, "ip", "-6", "addr", "show", "dev", "eth0", flag)

    wait(lambda: str(address) in shown("dadfailed"))
    wait(lambda: "fd09::103" not in shown("tentative"))  # it would stay so if somebody answered
