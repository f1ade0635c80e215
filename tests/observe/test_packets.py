"""IP packets in frames, written by an encoder that is not ours."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

from lbproof.witnesses.packets import hops_to

if TYPE_CHECKING:
    from lbproof.spec.families import IPAddress

V4, V6 = IPv4Address("192.0.2.7"), IPv6Address("2001:db8::7")
FRAMES = {
    V4: bytes(Ether() / IP(dst=str(V4), src="192.0.2.1", ttl=63) / UDP()),
    V6: bytes(Ether() / IPv6(dst=str(V6), src="2001:db8::1", hlim=63) / UDP()),
}


@pytest.mark.parametrize("address", [V4, V6])
def test_the_hops_of_a_packet_to_an_address(address: IPAddress) -> None:
    """TTL and hop limit; a packet to another address, of another protocol or a cut frame has none."""
    other = FRAMES[V6 if address == V4 else V4]

    assert hops_to(FRAMES[address], address) == 63
    assert hops_to(FRAMES[address], address + 1) is None
    assert hops_to(other, address) is None
    assert hops_to(FRAMES[address][:25], address) is None
    assert hops_to(bytes(Ether() / ARP(pdst=str(V4))), address) is None
