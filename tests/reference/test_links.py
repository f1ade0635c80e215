"""Which links are used; the watch reports the latest state after dropped events, and its failure is not silent."""

from __future__ import annotations

import ipaddress
import os
import queue
import struct
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from lbproof_reference.speaker import links
from lbproof_reference.speaker.links import Link, links_of, watch_links
from lbproof_reference.speaker.loop import offers_for_link
from lbproof_reference.speaker.main import links_lost
from lbproof_reference.speaker.plan import Allowed, Offer
from lbproof_reference.speaker.subnets import other_subnets, own_subnets

if TYPE_CHECKING:
    from collections.abc import Mapping

NETWORK = """
link add plain type veth peer name p0
addr add 10.1.0.1/24 dev plain
addr add 10.1.0.9/32 dev plain
addr add 10.1.0.1/8 dev plain
link add peer type veth peer name p1
addr add 10.2.0.1 peer 10.3.0.2/24 dev peer
link add pod type veth peer name p2
link add host-route type veth peer name p3
addr add 10.4.0.1/32 dev host-route
link add everything type veth peer name p4
addr add 10.5.0.1/0 dev everything
link add local type veth peer name p5
addr add 169.254.7.1/16 dev local
link add quiet type veth peer name p6
addr add 10.6.0.1/24 dev quiet
link set quiet arp off
link add br0 type bridge
addr add 10.7.0.1/24 dev br0
link add port type veth peer name p7
addr add 10.7.0.2/24 dev port
link set port master br0
link add \xff type veth peer name p8
addr add 10.8.0.1/24 dev \xff
link add idle type veth peer name p9
addr add 10.9.0.1/24 dev idle
"""
UP = ("plain", "peer", "pod", "host-route", "everything", "local", "quiet", "br0", "port", "\xff")
READER = """
from ipaddress import ip_address
from lbproof_reference.speaker import links
for link in links.links_of(links._dump(22), links._dump(18)).values():
    print(link.name, *link.subnets, "own", *sorted(str(ip_address(one)) for one in link.own if len(one) == 4))
"""


def test_links_of_the_kernel() -> None:
    """Only links with a subnet are used, and a subnet is that of the peer address, if there is one."""
    batch = NETWORK + "".join(f"link set {name} up\n" for name in [*UP, *(f"p{number}" for number in range(10))])
    script = 'ip -batch - && exec "$@"'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh", sys.executable, "-c", READER],
        input=batch.encode("latin-1"),
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines() == [
        "plain 10.1.0.0/24 10.0.0.0/8 own 10.1.0.1 10.1.0.9",
        "peer 10.3.0.0/24 own 10.2.0.1",
        "br0 10.7.0.0/24 own 10.7.0.1",
    ]


MTU = struct.pack("=I", 1280)


def attribute(kind: int, value: bytes) -> bytes:
    """Encode one attribute of a netlink message (struct rtattr)."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def link(*more: bytes, mac: bytes | None = b"\2\0\0\0\0\1", hardware: int = 1, flags: int = 0x1043) -> bytes:
    """Encode an RTM_NEWLINK message without its header; `more` are attributes."""
    head = struct.pack("=BxHiII", 0, hardware, 7, flags, 0)
    address = b"" if mac is None else attribute(1, mac)
    return head + attribute(3, b"eth0\0") + address + attribute(4, MTU) + attribute(33, b"\1") + b"".join(more)


def address(prefix: int, *attributes: bytes) -> bytes:
    """Encode an RTM_NEWADDR message without its header."""
    return struct.pack("=BBBBi", 2, prefix, 0, 0, 7) + b"".join(attributes)


OWN = (attribute(1, b"\x0a\1\0\1"), attribute(2, b"\x0a\1\0\1"))


def slave(kind: bytes) -> tuple[bytes, bytes]:
    """Encode the attributes of a link that has a master of this kind (IFLA_MASTER, IFLA_LINKINFO)."""
    return attribute(10, b"\x09\0\0\0"), attribute(18 | 0x8000, attribute(4, kind + b"\0"))


@pytest.mark.parametrize(
    ("message", "is_used"),
    [
        pytest.param(link(), True, id="ethernet"),
        pytest.param(link(attribute(5, b"\2\0\0\0"), attribute(18, attribute(1, b"vlan\0"))), True, id="vlan"),
        pytest.param(link(*slave(b"vrf")), True, id="in a vrf"),
        pytest.param(link(*slave(b"bond")), False, id="slave of a bond"),
        pytest.param(link(*slave(b"bridge")), False, id="port of a bridge"),
        pytest.param(link(mac=None), False, id="no hardware address"),
        pytest.param(link(mac=bytes(20), hardware=32), False, id="InfiniBand"),
        pytest.param(link(mac=b"\x0a\1\0\1", hardware=768), False, id="IP in IP"),
        pytest.param(link(mac=bytes(8)), False, id="hardware address of eight bytes"),
        pytest.param(link(attribute(4, struct.pack("=I", 1279))), False, id="too short for a heartbeat"),
        pytest.param(link(flags=0x1042), False, id="down"),
        pytest.param(link(flags=0x10C3), False, id="without ARP"),
        pytest.param(link(attribute(33, b"\0")), False, id="no carrier"),
    ],
)
def test_a_link_is_used_if_it_is_ethernet_and_answers_arp(message: bytes, is_used: bool) -> None:
    """Links that the kernel of a test machine may not have, as netlink messages."""
    assert list(links_of([address(24, *OWN)], [message])) == (["eth0"] if is_used else [])


@pytest.mark.parametrize(
    ("messages", "subnets"),
    [
        pytest.param([address(24)], [], id="no address"),
        pytest.param([address(24, OWN[1])], [], id="no IFA_ADDRESS"),
        pytest.param([address(0, *OWN)], [], id="every address"),
        pytest.param([address(32, *OWN)], [], id="one host"),
        pytest.param([address(31, *OWN)], ["10.1.0.0/31"], id="point to point"),
        pytest.param([address(64, attribute(1, b"\xfe\x80" + bytes(14)))], [], id="IPv6 link-local"),
        pytest.param([address(64, attribute(1, b"\xfd\0" + bytes(14)))], ["fd00::/64"], id="IPv6"),
    ],
)
def test_subnets_of_a_link(messages: list[bytes], subnets: list[str]) -> None:
    """A link without a subnet is not used."""
    assert [str(one) for found in links_of(messages, [link()]).values() for one in found.subnets] == subnets


@pytest.mark.parametrize("changes", ["addresses", "veths"])
def test_links_are_read_again_after_the_kernel_dropped_events(changes: str) -> None:
    """After ENOBUFS (netlink(7)) all links are read again."""
    command = ["unshare", "--net", sys.executable, str(Path(__file__).with_name("link_watcher.py")), changes]
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


@pytest.mark.parametrize("change", [{"mac": bytes([2, 0, 0, 0, 0, 1])}, {"index": 3}], ids=["mac", "index"])
def test_sockets_of_a_link_that_is_another_now_are_opened_anew(change: dict[str, Any]) -> None:
    """An interface with another MAC address or index is another one, and one with other subnets is not."""
    link = Link(name="eth0", index=2, mac=bytes(6), subnets=())

    assert not replace(link, **change).is_same(link)
    assert replace(link, subnets=(ipaddress.IPv4Network("10.0.0.0/24"),)).is_same(link)


def test_a_heartbeat_names_the_largest_subnets_first_those_of_ipv4() -> None:
    """Subnets of both families are named, as many as fit, so that those of IPv6 push out none of IPv4."""
    texts = [*(f"fd00:{number}::/64" for number in range(1, 11)), "fd00::/20", "10.1.0.0/24", "10.0.0.0/16"]
    subnets = tuple(ipaddress.ip_network(text, strict=False) for text in texts)
    link = Link(name="eth0", index=2, mac=bytes(6), subnets=subnets)
    named = [f"{ipaddress.ip_address(network)}/{prefix}" for network, prefix in own_subnets(link)]

    assert named == ["10.0.0.0/16", "10.1.0.0/24", "fd00::/20", *(f"fd00:{number}::/64" for number in range(1, 7))]


def test_a_heartbeat_names_subnets_of_other_links_in_the_room_that_is_left() -> None:
    """Those that the link itself has are not named twice, and those of other links push out none of its own."""
    own = [ipaddress.ip_network(text) for text in ("10.1.0.0/24", *(f"fd00:{number}::/64" for number in range(1, 6)))]
    others = [ipaddress.ip_network(text) for text in ("10.2.0.0/24", "10.1.0.0/24", "fd00:8::/64", "fd00:9::/64")]
    eth0 = Link(name="eth0", index=2, mac=bytes(6), subnets=tuple(own))
    eth1 = Link(name="eth1", index=3, mac=bytes(6), subnets=tuple(others))
    named = [f"{ipaddress.ip_address(network)}/{prefix}" for network, prefix in other_subnets(eth0, [eth1])]

    assert len(own_subnets(eth0)) == len(own)
    assert named == ["10.2.0.0/24", "fd00:8::/64"]


def test_a_watch_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in the watch thread is passed to the callback."""
    failed: queue.Queue[Exception] = queue.Queue()

    def broken(*_: object) -> Mapping[str, Link]:
        raise LookupError("no such attribute")

    monkeypatch.setattr(links, "links_of", broken)
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
