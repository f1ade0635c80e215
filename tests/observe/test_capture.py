"""What a capture keeps, read back by a reader that is not ours."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.utils import rdpcap
from tests.observe.places import PORT

from lbproof.witnesses import arp, capture, http, neighbours
from lbproof.witnesses.capture import Capture
from lbproof.witnesses.packets import opened
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.observe.places import Segment

    from lbproof.witnesses.vantage import Vantage

TEST_TYPE = 0x88B5
"""The EtherType for experiments (IEEE 802, local experimental 1)."""


def frames_to(client: Vantage, web: Vantage, payloads: list[bytes]) -> None:
    """Send frames of a type that no kernel reads, as fast as they go."""
    with closing(opened(web, TEST_TYPE)) as wire:
        wire.setblocking(True)
        for payload in payloads:
            wire.send(bytes(Ether(src=web.mac, dst=client.mac, type=TEST_TYPE)) + payload)


def payloads(kept: Capture) -> list[bytes]:
    """What of those was kept."""
    return [frame[14:] for _, frame in kept.frames() if frame[12:14] == TEST_TYPE.to_bytes(2, "big")]


@pytest.mark.usefixtures("server")
def test_another_reader_finds_the_exchange_in_the_file(client: Vantage, web: Vantage, tmp_path: Path) -> None:
    """The client's question by ARP, the answer, and the handshake, both ways and at the time of day that it was."""
    before = time.time()
    with Capture(client) as kept:
        neighbours.forget(client, web.address)
        http.get(client, web.address, PORT, "/hostname")
    kept.write(tmp_path / "client.pcap")
    packets = rdpcap(str(tmp_path / "client.pcap"))

    about = [p[ARP] for p in packets if ARP in p and p[ARP].pdst in {str(web.address), str(client.address)}]
    flags = [str(p[TCP].flags) for p in packets if TCP in p]
    assert [(p.op, p.psrc) for p in about][:2] == [(1, str(client.address)), (2, str(web.address))]
    assert flags[flags.index("S") :][:3] == ["S", "SA", "A"]
    assert all(before - 0.001 <= float(p.time) <= time.time() + 0.001 for p in packets)


def test_the_arp_packets_can_be_had_without_a_file(client: Vantage, web: Vantage) -> None:
    """What the report shows of an exchange."""
    with Capture(client) as kept:
        arp.ask(client, web.address)

    assert [(f.op, f.sender_ip) for f in kept.arp() if f.sender_ip in {client.address, web.address}] == [
        (1, client.address),
        (2, web.address),
    ]


def test_a_burst_is_kept_whole(client: Vantage, web: Vantage) -> None:
    """Frames that come faster than they are read wait in the kernel and are not lost."""
    sent = [number.to_bytes(4, "big") + bytes(60) for number in range(5000)]
    with Capture(client) as kept:
        frames_to(client, web, sent)
        eventually(lambda: len(payloads(kept)), len(sent).__eq__, what="all frames are kept", within=5)

    assert payloads(kept) == sent


def test_the_end_of_the_story_is_what_is_kept(client: Vantage, web: Vantage, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is more than is kept, the oldest frames go first, and the bound holds."""
    monkeypatch.setattr(capture, "MOST", 4000)
    sent = [number.to_bytes(4, "big") + bytes(96) for number in range(100)]
    with Capture(client) as kept:
        frames_to(client, web, sent)
        eventually(lambda: payloads(kept)[-1:], [sent[-1]].__eq__, what="the last frame is kept", within=5)

    assert sum(len(frame) for _, frame in kept.frames()) <= 4000
    assert payloads(kept) == sent[-len(payloads(kept)) :]
    assert len(payloads(kept)) > 20


def test_a_long_frame_is_cut_and_its_length_is_kept(client: Vantage, web: Vantage, tmp_path: Path) -> None:
    """A reader sees how long it was on the wire."""
    with Capture(client) as kept:
        with web.inside():
            sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sending:
            sending.sendto(bytes(1000), (str(client.address), 9))
        eventually(lambda: [f for _, f in kept.frames() if len(f) == capture.SNAP], bool, what="it is kept", within=5)
    kept.write(tmp_path / "client.pcap")
    found = [packet for packet in rdpcap(str(tmp_path / "client.pcap")) if UDP in packet and packet[UDP].dport == 9]

    assert [packet.wirelen for packet in found] == [14 + 20 + 8 + 1000]
    assert [len(packet) for packet in found] == [capture.SNAP]


def test_a_capture_outlives_the_loss_of_its_interface(segment: Segment, client: Vantage, web: Vantage) -> None:
    """A fault that takes the interface down is what is being watched, and not the end of it."""
    with Capture(web) as kept:
        with segment.interface_down("web"):
            assert arp.ask(client, web.address) == []
        eventually(lambda: arp.ask(client, web.address), bool, what="web answers again", within=5)

        eventually(
            lambda: [f.target_ip for f in kept.arp()], lambda seen: web.address in seen, what="it is heard", within=5
        )


def test_what_was_kept_can_be_written_while_more_comes(client: Vantage, web: Vantage, tmp_path: Path) -> None:
    """Evidence is taken before anything is undone, and so while the capture goes on."""
    with Capture(client) as kept:
        frames_to(client, web, [b"first"])
        eventually(lambda: payloads(kept), bool, what="it is kept", within=5)
        kept.write(tmp_path / "client.pcap")
        frames_to(client, web, [b"second"])
        eventually(lambda: len(payloads(kept)), (2).__eq__, what="more is kept", within=5)

    written = [bytes(packet.payload) for packet in rdpcap(str(tmp_path / "client.pcap")) if packet.type == TEST_TYPE]
    assert written == [b"first"]
