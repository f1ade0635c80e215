"""What the outage probe looks for in frames, held against frames that the suite's own encoders make."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest

from lbproof.probe.rows import Kind
from lbproof.probe.rules import Rules
from lbproof.spec.families import Family, family_of
from lbproof.witnesses import frames, ndp
from lbproof.witnesses.frames import BROADCAST, NOBODY, Frame, Op, mac_bytes
from lbproof_perf.outage_probe.rules import announcements, rules
from lbproof_perf.probes import neighbours

if TYPE_CHECKING:
    from lbproof.spec.families import IPAddress

MAC, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"
ADDRESSES = pytest.mark.parametrize("address", [*map(ip_address, ("192.0.2.9", "2001:db8::9"))], ids=str)


def arp(op: Op, address: IPv4Address, *, target_mac: str = NOBODY, target: IPv4Address | None = None) -> bytes:
    """An ARP packet about an address at `MAC`."""
    packet = Frame(
        ether_dst=BROADCAST,
        ether_src=MAC,
        op=op,
        sender_mac=MAC,
        sender_ip=address,
        target_mac=target_mac,
        target_ip=target or address,
    )
    return frames.encode(packet)


def packet(address: IPAddress, to: str, protocol: int = 17) -> bytes:
    """The beginning of an IP packet to an address."""
    if isinstance(address, IPv4Address):
        return mac_bytes(to + MAC) + b"\x08\x00" + bytes(9) + bytes([protocol]) + bytes(6) + address.packed + bytes(20)
    return mac_bytes(to + MAC) + b"\x86\xdd" + bytes(6) + bytes([protocol]) + bytes(17) + address.packed + bytes(20)


@ADDRESSES
def test_the_first_frame_to_another_node_is_reported(address: IPAddress) -> None:
    """Once for each turn, and only of what the vantage sends to the address itself."""
    found = Rules(rules(address))

    assert found.find(packet(address, MAC), outgoing=True) == (Kind.TURNED, mac_bytes(MAC))
    assert found.find(packet(address, MAC), outgoing=True) is None
    assert found.find(packet(address + 1, OTHER), outgoing=True) is None
    assert found.find(packet(address, OTHER), outgoing=False) is None
    assert found.find(packet(address, OTHER), outgoing=True) == (Kind.TURNED, mac_bytes(OTHER))
    assert found.find(packet(address, MAC), outgoing=True) == (Kind.TURNED, mac_bytes(MAC))


def test_gratuitous_arp_is_sorted_by_what_linux_takes() -> None:
    """`arp_is_garp`: a request, or a reply whose target hardware address is its sender's."""
    address = IPv4Address("192.0.2.9")
    found, every = Rules(rules(address)), Rules(announcements([Family.IPV4]))
    taken = [arp(Op.REQUEST, address), arp(Op.REPLY, address, target_mac=MAC)]
    ignored = arp(Op.REPLY, address, target_mac=BROADCAST)

    for frame in taken:
        assert found.find(frame, outgoing=False) == (Kind.ANNOUNCED, mac_bytes(MAC))
        assert every.find(frame, outgoing=False) == (Kind.ANNOUNCED, mac_bytes(MAC))
    assert found.find(ignored, outgoing=False) == (Kind.GARP_IGNORED, mac_bytes(MAC))
    for other in (arp(Op.REQUEST, address, target=address + 1), arp(Op.REQUEST, address + 1), taken[0][:30]):
        assert found.find(other, outgoing=False) is None
    assert every.find(arp(Op.REQUEST, address + 1), outgoing=False)
    assert every.find(arp(Op.REQUEST, address, target=address + 1), outgoing=False) is None


def test_unsolicited_advertisements_are_sorted_by_override() -> None:
    """An entry is replaced by one with the flag alone (RFC 4861 section 7.2.5); answers are no announcements."""
    address = IPv6Address("2001:db8::9")
    found, every = Rules(rules(address)), Rules(announcements(list(Family)))
    taken = ndp.announcement(mac=MAC, address=address)
    ignored = dataclasses.replace(taken, override=False)
    answer = dataclasses.replace(taken, solicited=True)
    question = ndp.solicitation(mac=MAC, address=address, target=address + 1)

    for sorter in (found, every):
        assert sorter.find(ndp.encode(taken), outgoing=False) == (Kind.ANNOUNCED, mac_bytes(MAC))
        assert sorter.find(ndp.encode(ignored), outgoing=False) == (Kind.GARP_IGNORED, mac_bytes(MAC))
        assert sorter.find(ndp.encode(answer), outgoing=False) is None
        assert sorter.find(ndp.encode(question), outgoing=False) is None
    assert found.find(ndp.encode(ndp.announcement(mac=MAC, address=address + 1)), outgoing=False) is None


@ADDRESSES
def test_heartbeats_are_signals(address: IPAddress) -> None:
    """VRRP of both families, and the reference's EtherType."""
    found = Rules(rules(address))
    heartbeat = mac_bytes(BROADCAST + MAC) + b"\x88\xb5" + bytes(40)
    vrrp = [packet(ip_address(group), BROADCAST, 112) for group in ("224.0.0.18", "ff02::12")]

    for frame in (heartbeat, *vrrp):
        assert found.find(frame, outgoing=False) == (Kind.SIGNAL, mac_bytes(MAC))
    assert found.find(packet(address, MAC), outgoing=False) is None


@ADDRESSES
def test_a_request_is_read_back_by_the_suite(address: IPAddress) -> None:
    """It asks by ARP or NDP as the address says, from an address of its own; families do not mix."""
    family, own = family_of(address), address + 7
    data = neighbours.request(mac=MAC, address=own, target=address)
    read = frames.decode(data) if family is Family.IPV4 else ndp.decode(data)

    assert read
    assert (read.sender_mac, read.sender_ip, read.target_ip) == (MAC, own, address)
    other = IPv6Address("::1") if family is Family.IPV4 else IPv4Address("192.0.2.1")
    with pytest.raises(TypeError):
        neighbours.request(mac=MAC, address=own, target=other)
