"""ARP frames, read and written by us and by a decoder that is not ours."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import ARP, Ether

from lbproof.witnesses.frames import Frame, Op, decode, encode, request

macs = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
ips = st.ip_addresses(v=4)
frames = st.builds(
    Frame,
    ether_dst=macs,
    ether_src=macs,
    op=st.integers(0, 0xFFFF),
    sender_mac=macs,
    sender_ip=ips,
    target_mac=macs,
    target_ip=ips,
)


@given(frame=frames)
def test_an_independent_decoder_reads_what_we_wrote(frame: Frame) -> None:
    """Scapy agrees on every field of the frame."""
    ether = Ether(encode(frame))
    arp = ether[ARP]

    assert (ether.dst, ether.src, ether.type) == (frame.ether_dst, frame.ether_src, 0x0806)
    assert (arp.hwtype, arp.ptype, arp.hwlen, arp.plen, arp.op) == (1, 0x0800, 6, 4, frame.op)
    assert (arp.hwsrc, arp.psrc) == (frame.sender_mac, str(frame.sender_ip))
    assert (arp.hwdst, arp.pdst) == (frame.target_mac, str(frame.target_ip))


@given(sender=ips, target=ips, mac=macs, padding=st.binary(max_size=18))
def test_we_read_what_an_independent_encoder_wrote(
    sender: IPv4Address, target: IPv4Address, mac: str, padding: bytes
) -> None:
    """A frame of scapy's is read, also when it is padded to the least length of Ethernet."""
    written = Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(
        op="is-at", hwsrc=mac, psrc=str(sender), hwdst="02:00:00:00:00:01", pdst=str(target)
    )
    found = decode(bytes(written) + padding, 7.5)

    assert found == Frame(
        ether_dst="ff:ff:ff:ff:ff:ff",
        ether_src=mac,
        op=Op.REPLY,
        sender_mac=mac,
        sender_ip=sender,
        target_mac="02:00:00:00:00:01",
        target_ip=target,
        t=7.5,
    )
    assert found.gratuitous == (sender == target)


@given(data=st.binary(max_size=64))
def test_what_is_not_arp_is_nothing(data: bytes) -> None:
    """Any bytes give a frame that is written back the same, or none."""
    found = decode(data)

    assert found is None or encode(found) == data[: len(encode(found))]


def test_arp_for_another_network_is_nothing() -> None:
    """A packet whose addresses are not IPv4's over Ethernet is not read as if they were."""
    ours, theirs = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
    good = encode(request(mac="02:00:00:00:00:01", address=ours, target=theirs))

    assert decode(good) is not None
    assert decode(good[:16] + b"\x86\xdd" + good[18:]) is None
    assert decode(good[:12] + b"\x08\x00" + good[14:]) is None
    assert decode(good[:-1]) is None
