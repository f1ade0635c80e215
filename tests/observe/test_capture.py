"""What a capture keeps, read back by a reader that is not ours."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.utils import rdpcap
from tests.observe.places import PORT, frozen

from lbproof.lab.common.netns import entered
from lbproof.lab.common.probes import Probes
from lbproof.spec.families import Family
from lbproof.witnesses import capture, http, neighbour, neighbours
from lbproof.witnesses.capture import Capture
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.observe.places import Segment

    from lbproof.lab.common.vantage import NamespaceVantage

TEST_TYPE = 0x88B5
"""The EtherType for experiments (IEEE 802, local experimental 1)."""


def frames_to(client: NamespaceVantage, web: NamespaceVantage, payloads: list[bytes]) -> None:
    """Send frames of a type that no kernel reads, as fast as they go."""
    with entered(web.netns):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with wire:
        wire.bind((web.interface, 0))
        for payload in payloads:
            wire.send(bytes(Ether(src=web.mac, dst=client.mac, type=TEST_TYPE)) + payload)


def payloads(kept: Capture) -> list[bytes]:
    """What of those was kept."""
    return [frame[14:] for _, frame in kept.frames() if frame[12:14] == TEST_TYPE.to_bytes(2, "big")]


def evidence(kept: Capture) -> list[bytes]:
    """What of those is left, whether or not some are lost."""
    rows = kept.captured().rows
    return [frame[14:] for _, _, frame in rows if frame[12:14] == TEST_TYPE.to_bytes(2, "big")]


@pytest.mark.usefixtures("server")
def test_another_reader_finds_the_exchange_in_the_file(
    client: NamespaceVantage, web: NamespaceVantage, tmp_path: Path
) -> None:
    """The client's question by ARP, the answer, and the handshake, both ways and at the time of day that it was."""
    before = time.time()
    with Capture(client) as kept:
        neighbours.forget(client, web.address)
        http.get(client, web.address, PORT, "/hostname")
    kept.captured().write(tmp_path / "client.pcap")
    packets = rdpcap(str(tmp_path / "client.pcap"))

    about = [p[ARP] for p in packets if ARP in p and p[ARP].pdst in {str(web.address), str(client.address)}]
    flags = [str(p[TCP].flags) for p in packets if TCP in p]
    assert [(p.op, p.psrc) for p in about][:2] == [(1, str(client.address)), (2, str(web.address))]
    assert flags[flags.index("S") :][:3] == ["S", "SA", "A"]
    assert all(before - 0.001 <= float(p.time) <= time.time() + 0.001 for p in packets)


def test_the_arp_packets_can_be_had_without_a_file(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """What the report shows of an exchange."""
    with Capture(client) as kept:
        neighbour.ask(client, web.address)

    assert [
        (f.is_reply, f.sender_ip)
        for f in kept.captured().neighbour_messages(Family.IPV4)
        if f.sender_ip in {client.address, web.address}
    ] == [
        (False, client.address),
        (True, web.address),
    ]


def test_a_burst_is_kept_whole(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """Frames that come faster than they are read wait in the kernel and are not lost."""
    sent = [number.to_bytes(4, "big") + bytes(60) for number in range(5000)]
    with Capture(client) as kept:
        frames_to(client, web, sent)

        assert payloads(kept) == sent  # with the first exchange, whatever still waits in the kernel


def test_a_late_capture_has_what_arrived_before_it_is_asked(
    segment: Segment, client: NamespaceVantage, web: NamespaceVantage
) -> None:
    """Verdicts rest on frames that are not there."""
    sent = [number.to_bytes(4, "big") + bytes(60) for number in range(2000)]
    other = dataclasses.replace(segment.hosts["client"], probes=Probes())
    with Capture(other) as kept, frozen(other.probe()):
        frames_to(client, web, sent)
        with frozen(other.probe(), during=0.2):
            assert payloads(kept) == sent
    other.probes.close()


def test_the_end_of_the_story_is_what_is_kept(client: NamespaceVantage, web: NamespaceVantage) -> None:
    """When there is more than is kept, the oldest frames go first, and the bound holds. A verdict cannot rest on it."""
    sent = [number.to_bytes(4, "big") + bytes(96) for number in range(100)]
    with Capture(client, most=4000) as kept:
        frames_to(client, web, sent)
        eventually(lambda: evidence(kept)[-1:], [sent[-1]].__eq__, what="the last frame is kept", within=5)
    found = kept.captured()

    assert sum(len(frame) for _, _, frame in found.rows) <= 4000
    assert evidence(kept) == sent[-len(evidence(kept)) :]
    assert len(evidence(kept)) > 20
    assert found.lost >= len(sent) - len(evidence(kept))  # the hosts' kernels say something of their own now and then
    with pytest.raises(ProbeError, match=f"capture at client: {found.lost} frames were lost"):
        kept.frames()


def test_frames_that_the_kernel_drops_are_counted(
    segment: Segment, client: NamespaceVantage, web: NamespaceVantage
) -> None:
    """A capture that stands still loses frames: a note for evidence, an error for a verdict."""
    other = dataclasses.replace(segment.hosts["client"], probes=Probes())
    with Capture(other) as kept:
        os.kill(other.probe().process.pid, signal.SIGSTOP)
        frames_to(client, web, [bytes(1400)] * 12_000)
        os.kill(other.probe().process.pid, signal.SIGCONT)
        eventually(lambda: kept.captured().lost, bool, what="the loss is told", within=10)

        with pytest.raises(ProbeError, match=r"capture at client: [0-9]+ frames were lost"):
            kept.frames()
    other.probes.close()


def test_a_capture_that_died_says_so(segment: Segment) -> None:
    """It is never taken for silence."""
    other = dataclasses.replace(segment.hosts["client"], probes=Probes())
    kept = Capture(other)
    kept.open()
    os.kill(other.probe().process.pid, signal.SIGKILL)

    with pytest.raises(ProbeError, match="task capture at client"):
        kept.frames()
    with pytest.raises(ProbeError, match="task capture at client"):
        kept.close()
    other.probes.close()


def test_a_long_frame_is_cut_and_its_length_is_kept(
    client: NamespaceVantage, web: NamespaceVantage, tmp_path: Path
) -> None:
    """A reader sees how long it was on the wire."""
    with Capture(client) as kept:
        with entered(web.netns):
            sending = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sending:
            sending.sendto(bytes(1000), (str(client.address), 9))
        eventually(lambda: [f for _, f in kept.frames() if len(f) == capture.SNAP], bool, what="it is kept", within=5)
    kept.captured().write(tmp_path / "client.pcap")
    found = [packet for packet in rdpcap(str(tmp_path / "client.pcap")) if UDP in packet and packet[UDP].dport == 9]

    assert [packet.wirelen for packet in found] == [14 + 20 + 8 + 1000]
    assert [len(packet) for packet in found] == [capture.SNAP]


def test_a_capture_outlives_the_loss_of_its_interface(
    segment: Segment, client: NamespaceVantage, web: NamespaceVantage
) -> None:
    """A fault that takes the interface down is what is being watched, and not the end of it."""
    with Capture(web) as kept:
        with segment.interface_down("web"):
            assert neighbour.ask(client, web.address) == []
        eventually(lambda: neighbour.ask(client, web.address), bool, what="web answers again", within=5)

        eventually(
            lambda: [f.target_ip for f in kept.captured().neighbour_messages(Family.IPV4)],
            lambda seen: web.address in seen,
            what="it is heard",
            within=5,
        )


def test_what_was_kept_can_be_written_while_more_comes(
    client: NamespaceVantage, web: NamespaceVantage, tmp_path: Path
) -> None:
    """Evidence is taken before anything is undone, and so while the capture goes on."""
    with Capture(client) as kept:
        frames_to(client, web, [b"first"])
        eventually(lambda: payloads(kept), bool, what="it is kept", within=5)
        kept.captured().write(tmp_path / "client.pcap")
        frames_to(client, web, [b"second"])
        eventually(lambda: len(payloads(kept)), (2).__eq__, what="more is kept", within=5)

    written = [bytes(packet.payload) for packet in rdpcap(str(tmp_path / "client.pcap")) if packet.type == TEST_TYPE]
    assert written == [b"first"]
