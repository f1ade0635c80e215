"""NDP messages, read and written by us and by a decoder that is not ours."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.utils6 import in6_getnsma, in6_getnsmac

from lbproof.witnesses import ndp
from lbproof.witnesses.ndp import ALL_NODES, Message, Type, checksum, decode, encode

if TYPE_CHECKING:
    from scapy.packet import Packet

MAC, OTHER = "02:00:00:00:77:01", "02:00:00:00:77:02"
ME, TARGET = IPv6Address("fd00:77::1"), IPv6Address("fd00:77::1234:5678")

macs = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
unicast = st.ip_addresses(v=6).map(lambda address: IPv6Address(int(address) & ~(0xFF << 120) | (0x20 << 120)))
solicitations = st.builds(ndp.solicitation, mac=macs, address=unicast, target=unicast)
probes = st.builds(ndp.dad_probe, mac=macs, target=unicast)
answers = st.builds(
    Message,
    ether_dst=macs,
    ether_src=macs,
    source=unicast,
    destination=unicast,
    type=st.just(Type.ADVERTISEMENT),
    target=unicast,
    link_layer=macs | st.just(""),
    router=st.booleans(),
    solicited=st.booleans(),
    override=st.booleans(),
)
announcements = st.builds(ndp.announcement, mac=macs, address=unicast)


def right_checksum(ether: Ether, layer: type[Packet]) -> bool:
    """Whether scapy computes the checksum that is in a packet."""
    told = ether[layer].cksum
    again = Ether(bytes(ether))
    del again[layer].cksum
    return bool(Ether(bytes(again))[layer].cksum == told)


@given(message=solicitations | probes)
def test_an_independent_decoder_reads_our_solicitations(message: Message) -> None:
    """Scapy agrees on every field, the group that is asked, and the checksum."""
    ether = Ether(encode(message))
    asked = ether[ICMPv6ND_NS]

    assert (ether.dst, ether.src, ether.type) == (message.ether_dst, message.ether_src, 0x86DD)
    assert (ether[IPv6].hlim, IPv6Address(ether[IPv6].src), IPv6Address(asked.tgt)) == (
        255,
        message.source,
        message.target,
    )
    assert IPv6Address(ether[IPv6].dst).packed == in6_getnsma(message.target.packed)
    assert ether.dst == in6_getnsmac(in6_getnsma(message.target.packed))
    assert (ether[ICMPv6NDOptSrcLLAddr].lladdr if ICMPv6NDOptSrcLLAddr in ether else "") == message.link_layer
    assert right_checksum(ether, ICMPv6ND_NS)


@given(message=answers | announcements)
def test_an_independent_decoder_reads_our_advertisements(message: Message) -> None:
    """Scapy agrees on every field, the flags, and the checksum."""
    ether = Ether(encode(message))
    told = ether[ICMPv6ND_NA]

    assert (ether.dst, ether.src) == (message.ether_dst, message.ether_src)
    assert (ether[IPv6].hlim, IPv6Address(ether[IPv6].src), IPv6Address(ether[IPv6].dst)) == (
        255,
        message.source,
        message.destination,
    )
    assert (IPv6Address(told.tgt), bool(told.R), bool(told.S), bool(told.O)) == (
        message.target,
        message.router,
        message.solicited,
        message.override,
    )
    assert (ether[ICMPv6NDOptDstLLAddr].lladdr if ICMPv6NDOptDstLLAddr in ether else "") == message.link_layer
    assert right_checksum(ether, ICMPv6ND_NA)


@given(message=solicitations | probes | answers | announcements, padding=st.binary(max_size=8))
def test_what_we_write_we_read(message: Message, padding: bytes) -> None:
    """Also with bytes behind it that belong to no message."""
    assert decode(encode(message) + padding, 7.5) == replace(message, t=7.5)


def test_we_read_an_independent_encoder_s_answer() -> None:
    """An advertisement of scapy's, which computes length and checksum."""
    written = (
        Ether(src=OTHER, dst=MAC)
        / IPv6(src=str(TARGET), dst=str(ME), hlim=255)
        / ICMPv6ND_NA(tgt=str(TARGET), R=0, S=1, O=1)
        / ICMPv6NDOptDstLLAddr(lladdr=OTHER)
    )
    found = decode(bytes(written))

    assert found == Message(
        ether_dst=MAC,
        ether_src=OTHER,
        source=TARGET,
        destination=ME,
        type=Type.ADVERTISEMENT,
        target=TARGET,
        link_layer=OTHER,
        solicited=True,
        override=True,
    )
    assert not found.gratuitous
    assert (found.sender_ip, found.sender_mac) == (TARGET, OTHER)


GOOD = encode(ndp.solicitation(mac=MAC, address=ME, target=TARGET))
FROM_NOWHERE = Message(
    ether_dst=MAC, ether_src=OTHER, source=ndp.UNSPECIFIED, destination=ME, type=Type.SOLICITATION, target=TARGET
)
ANSWER_TO_ALL = replace(ndp.announcement(mac=MAC, address=TARGET), solicited=True)


@pytest.mark.parametrize(
    "data",
    [
        GOOD[:-1],
        GOOD[:60],
        GOOD[:12] + b"\x08\x00" + GOOD[14:],
        GOOD[:20] + b"\x11" + GOOD[21:],
        GOOD[:21] + b"\x40" + GOOD[22:],
        GOOD[:56] + bytes(2) + GOOD[58:],
        GOOD[:54] + b"\x86" + GOOD[55:],
        encode(ndp.solicitation(mac=MAC, address=ME, target=IPv6Address("ff02::5"))),
        encode(FROM_NOWHERE),
        encode(replace(ndp.dad_probe(mac=MAC, target=TARGET), link_layer=MAC)),
        encode(ANSWER_TO_ALL),
    ],
    ids=[
        *("cut", "short", "IPv4", "UDP", "routed", "checksum", "router advertisement", "multicast target"),
        *("from nowhere to one host", "from nowhere with an address", "an answer to all"),
    ],
)
def test_what_receivers_discard_is_nothing(data: bytes) -> None:
    """By the rules of RFC 4861 section 7.1."""
    assert decode(data) is None


@pytest.mark.parametrize(
    "option", [b"\x01\x00" + bytes(6), b"\x01\x02" + bytes(6), b"\x01"], ids=["zero", "long", "cut"]
)
def test_a_malformed_option_makes_the_message_nothing(option: bytes) -> None:
    """An option of length 0 is discarded with its packet (RFC 4861 section 4.6)."""
    message = ndp.solicitation(mac=MAC, address=ME, target=TARGET)
    body = GOOD[54:56] + bytes(2) + GOOD[58:78] + option
    total = checksum(message.source.packed, message.destination.packed, body)
    data = GOOD[:18] + len(body).to_bytes(2) + GOOD[20:54] + body[:2] + total.to_bytes(2) + body[4:]

    assert Ether(data)[ICMPv6ND_NS].cksum == total
    assert decode(data) is None


@given(data=st.binary(max_size=100) | st.binary(max_size=60).map(lambda rest: GOOD[:54] + rest))
def test_any_bytes_are_a_message_or_nothing(data: bytes) -> None:
    """Nothing is raised for what a segment may carry."""
    found = decode(data)

    assert found is None or isinstance(found, Message)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, ""),
        ({"override": False}, "has no Override flag"),
        ({"link_layer": ""}, "has no target link-layer address"),
        ({"ether_dst": OTHER}, f"went to {ALL_NODES} at {OTHER}, expected {ALL_NODES}"),
    ],
    ids=["good", "override", "option", "one host"],
)
def test_an_announcement_that_may_be_ignored_says_why(change: dict[str, object], why: str) -> None:
    """By RFC 4861 section 7.2.6."""
    announced = replace(ndp.announcement(mac=MAC, address=TARGET), **change)  # type: ignore[arg-type]

    assert announced.gratuitous
    assert why in announced.announcement_fault
    assert bool(why) == bool(announced.announcement_fault)
