"""Frames encoded by the reference and decoded by scapy, and the reverse."""

from __future__ import annotations

import socket
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import ARP, Ether

from lbproof_reference.frames import FRAME_BYTES, announcements, arp_reply, read_arp

VIP, HOST = "10.0.0.7", "10.0.0.9"
OURS, THEIRS = "02:00:00:00:00:01", "02:00:00:00:00:02"


def packed(mac: str) -> bytes:
    """Return a MAC address as six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def request(**fields: Any) -> bytes:  # noqa: ANN401 - whatever scapy takes
    """Return an ARP request for the VIP, encoded by scapy."""
    wanted: dict[str, Any] = {"op": 1, "hwsrc": THEIRS, "psrc": HOST, "pdst": VIP, **fields}
    return bytes(Ether(dst="ff:ff:ff:ff:ff:ff", src=THEIRS) / ARP(**wanted))


def test_a_reply_tells_the_asker_alone() -> None:
    """A reply is unicast to the requester, with the interface's MAC as Ethernet source and sender."""
    question = read_arp(request())
    assert question is not None

    frame = Ether(arp_reply(question, packed(OURS)))

    assert (frame.dst, frame.src) == (THEIRS, OURS)
    assert (frame[ARP].op, frame[ARP].hwsrc, frame[ARP].psrc) == (2, OURS, VIP)
    assert (frame[ARP].hwdst, frame[ARP].pdst) == (THEIRS, HOST)


def test_announcements_have_the_shapes_that_move_a_neighbour() -> None:
    """The announcements are a broadcast request with sender = target, and a reply with target MAC = sender MAC."""
    first, second = (Ether(frame) for frame in announcements(socket.inet_aton(VIP), packed(OURS)))

    assert (first.dst, first[ARP].op, first[ARP].psrc, first[ARP].pdst) == ("ff:ff:ff:ff:ff:ff", 1, VIP, VIP)
    assert (second[ARP].op, second[ARP].psrc, second[ARP].hwdst) == (2, VIP, OURS)
    assert first[ARP].hwsrc == first.src == second[ARP].hwsrc == second.src == OURS


def test_only_requests_of_one_host_need_a_reply() -> None:
    """Replies, gratuitous requests and group senders need no reply; a probe does."""
    frames = [
        request(),
        request(psrc="0.0.0.0"),  # noqa: S104 - an ARP probe's sender, no bind
        request(op=2),
        request(psrc=VIP),
        request(hwsrc="ff:ff:ff:ff:ff:ff"),
        request(hwsrc="00:00:00:00:00:00"),
    ]
    assert [found.needs_reply for found in map(read_arp, frames) if found] == [True, True, False, False, False, False]


def test_malformed_frames_are_ignored() -> None:
    """Frames for other kinds of address, and truncated ones, are not decoded."""
    assert read_arp(request(hwlen=8)) is None
    assert read_arp(request()[: FRAME_BYTES - 1]) is None


@given(st.binary(max_size=80))
def test_no_bytes_break_it(frame: bytes) -> None:
    """Any bytes are either a frame or ignored."""
    assert read_arp(frame) is None or len(frame) >= FRAME_BYTES
