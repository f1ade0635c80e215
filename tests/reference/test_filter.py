"""Filter of the ARP socket, tested with a classic BPF interpreter in this file and with the kernel."""

from __future__ import annotations

import select
import socket
import struct
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from lbproof_reference.frames import ETH_P_ARP, ETH_P_IPV6, read_arp, read_ndp, solicited_node
from lbproof_reference.speaker.filter import (
    MOST_PREFIXES,
    MOST_RANGES,
    arp_filter,
    heartbeat_filter,
    ndp_filter,
    ranges,
)
from lbproof_reference.speaker.links import Link
from lbproof_reference.speaker.wire import Groups, Wire, _attach

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lbproof_reference.speaker.filter import Step

ADDRESSES = st.one_of(
    st.integers(0, 2**32 - 1),
    st.integers(0xC6120000, 0xC6120100),  # close to each other, so that ranges occur
    st.sampled_from([0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]),
).map(lambda number: number.to_bytes(4))
ELSEWHERE = socket.inet_aton("203.0.113.9")
"""Address of the other hosts of these tests, never claimed."""
SETS = st.sets(ADDRESSES.filter(lambda address: address != ELSEWHERE), max_size=60)


def question(target: bytes, **fields: Any) -> bytes:  # noqa: ANN401 - whatever scapy takes
    """Return an ARP request for an address, encoded by scapy."""
    wanted: dict[str, Any] = {"op": 1, "hwsrc": "02:00:00:00:00:02", "psrc": "203.0.113.9", **fields}
    return bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst=socket.inet_ntoa(target), **wanted))


def passes(program: Sequence[Step], frame: bytes) -> bool:
    """Run a classic BPF program on a frame; supports the opcodes of our filters (linux/filter.h).

    Raises IndexError when it runs past the end, AssertionError for an instruction that the kernel rejects.
    """
    at = value = 0
    while True:
        code, yes, no, operand = program[at]
        assert 0 <= yes <= 255
        assert 0 <= no <= 255
        at += 1
        if code in {0x28, 0x20}:  # BPF_LD|BPF_ABS, of two bytes or four
            size, form = (2, "!H") if code == 0x28 else (4, "!I")
            if operand + size > len(frame):
                return False
            (value,) = struct.unpack_from(form, frame, operand)
        elif code == 0x80:  # BPF_LD|BPF_LEN
            value = len(frame)
        elif code == 0x05:  # BPF_JMP|BPF_JA
            at += operand
        elif code == 0x15:  # BPF_JMP|BPF_JEQ
            at += yes if value == operand else no
        elif code == 0x35:  # BPF_JMP|BPF_JGE
            at += yes if value >= operand else no
        else:
            assert code == 0x06  # BPF_RET
            return operand > 0


def heard(program: Sequence[Step], target: bytes) -> bool:
    """Whether a request for an address passes."""
    return passes(program, question(target))


def conflict(sender: bytes, op: int) -> bytes:
    """Return a frame from an address, for an address that nobody claims."""
    return question(ELSEWHERE, op=op, psrc=socket.inet_ntoa(sender))


@given(SETS, st.lists(ADDRESSES, max_size=20), st.sampled_from([1, 2, 3, 8, 65535]))
def test_it_passes_requests_for_us_and_frames_from_our_addresses_only(
    ours: set[bytes], asked: list[bytes], op: int
) -> None:
    """With enough instructions, a frame passes if and only if its target or its sender is one of the addresses."""
    program = arp_filter(ours)
    beside = [((int.from_bytes(a) + step) % 2**32).to_bytes(4) for a in ours for step in (-1, 0, 1)]
    expected = {a: a in ours for a in [*asked, *beside]}

    assert {a: heard(program, a) for a in expected} == expected
    assert {a: passes(program, conflict(a, op)) for a in expected} == expected


@pytest.mark.parametrize("count", [127, 128, 1000, 5000])
def test_with_many_ranges_it_passes_more_and_never_less(count: int) -> None:
    """Merged ranges contain all addresses and stay within the lowest and highest, in few instructions."""
    ours = [(0x0A000000 + 3 * n * (1 + n % 7)).to_bytes(4) for n in range(count)]
    program = arp_filter(ours)

    assert len(program) <= 4 * MOST_RANGES + 20
    assert all(heard(program, address) and passes(program, conflict(address, 1)) for address in ours)
    for beside in (b"\x09\xff\xff\xff", (int.from_bytes(max(ours)) + 1).to_bytes(4)):
        assert not heard(program, beside)
        assert not passes(program, conflict(beside, 1))
    if count <= MOST_RANGES:
        others = {(int.from_bytes(a) + 1).to_bytes(4) for a in ours} - set(ours)
        assert not any(heard(program, other) or passes(program, conflict(other, 2)) for other in others)


@given(st.lists(ADDRESSES, max_size=40, unique=True), st.randoms())
def test_the_same_addresses_make_the_same_program(ours: list[bytes], random: Any) -> None:  # noqa: ANN401 - hypothesis' own
    """The program does not depend on the order of addresses."""
    shuffled = ours.copy()
    random.shuffle(shuffled)

    assert arp_filter(ours) == arp_filter(shuffled)


def test_the_nearest_ranges_are_joined() -> None:
    """The ranges with the smallest gaps are merged first."""
    ours = [number.to_bytes(4) for number in (10, 11, 20, 100, 1000)]

    assert ranges(ours, 5) == [(10, 11), (20, 20), (100, 100), (1000, 1000)]
    assert ranges(ours, 3) == [(10, 20), (100, 100), (1000, 1000)]
    assert ranges(ours, 1) == [(10, 1000)]
    assert ranges([], 1) == []


TARGET = socket.inet_aton("10.0.0.7")


@given(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([question(TARGET), question(TARGET, op=2), question(TARGET, hwlen=8), question(TARGET)[:41]]),
    )
)
def test_it_passes_every_request_that_is_answered_and_no_reply_to_us(frame: bytes) -> None:
    """Every request for our address that needs a reply passes the filter, and a reply of a host never does."""
    program = arp_filter([TARGET])
    request = read_arp(frame)
    if request is not None and request.needs_reply and request.target == TARGET:
        assert passes(program, frame)
    if passes(program, frame) and frame[28:32] != TARGET:
        assert frame[20:22] == b"\0\1"


@given(SETS, st.lists(ADDRESSES, max_size=5))
def test_the_kernel_agrees(ours: set[bytes], asked: list[bytes]) -> None:
    """The kernel accepts the program and passes the same frames as the interpreter."""
    program = arp_filter(ours)
    begin, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with begin, end:
        _attach(end, program)
        frames = [frame for address in [*ours, *asked] for frame in (question(address), conflict(address, 2))]
        for frame in frames:
            begin.send(frame)
        got = list(read_all(end))

    assert got == [frame for frame in frames if passes(program, frame)]


ADDRESSES_6 = st.builds(
    lambda prefix, end: prefix + end,
    st.sampled_from([b"\xfd" + bytes(11), b"\xfd" + bytes(10) + b"\1", b"\x20\1" + bytes(10), b"\xff" * 12]),
    ADDRESSES,
)
FIRST = "ff0200000000000000000001ff"
"""Solicited-node prefix, as the kernel writes it."""
ELSEWHERE_6 = b"\xfc" + bytes(14) + b"\1"
"""Address of the other hosts of these tests, never claimed."""


def written(message: Any, source: bytes, dst: str) -> bytes:  # noqa: ANN401 - a scapy packet
    """Return a message in its frame, encoded by scapy."""
    header = IPv6(src=str(ip_address(source)), dst=dst, hlim=255)
    return bytes(Ether(dst="33:33:00:00:00:01", src="02:00:00:00:00:02") / header / message)


OPTION = ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:02")
SOLICITATION = written(ICMPv6ND_NS(tgt="fd00::7") / OPTION, ELSEWHERE_6, "ff02::1:ff00:7")
ADVERTISEMENT = written(ICMPv6ND_NA(tgt="fd00::7"), ELSEWHERE_6, "ff02::1")


def asked(target: bytes, source: bytes = ELSEWHERE_6) -> bytes:
    """Return a solicitation, whose checksum is of other addresses: scapy takes a millisecond for each."""
    return SOLICITATION[:22] + source + SOLICITATION[38:62] + target + SOLICITATION[78:]


def said(target: bytes, source: bytes = ELSEWHERE_6) -> bytes:
    """Return an advertisement, whose checksum is of other addresses."""
    return ADVERTISEMENT[:22] + source + ADVERTISEMENT[38:62] + target + ADVERTISEMENT[78:]


@given(st.sets(ADDRESSES_6, max_size=30), st.lists(ADDRESSES_6, max_size=10))
def test_it_passes_neighbour_discovery_about_us_only(ours: set[bytes], others: list[bytes]) -> None:
    """A message passes if its target ends like one of the addresses and begins like one, or a solicitation's source."""
    program = ndp_filter(ours)
    begins, ends = {address[:12] for address in ours}, {address[12:] for address in ours}
    expected = {a: a[:12] in begins and a[12:] in ends for a in [*others, *ours]}

    assert {a: passes(program, asked(a)) for a in expected} == expected
    assert {a: passes(program, said(a)) for a in expected} == expected
    assert {a: passes(program, asked(ELSEWHERE_6, a)) for a in expected} == expected
    assert not any(passes(program, said(ELSEWHERE_6, a)) for a in expected)


@pytest.mark.parametrize("prefixes", [1, MOST_PREFIXES, MOST_PREFIXES + 1, 500])
def test_with_many_prefixes_and_ranges_it_passes_more_and_never_less(prefixes: int) -> None:
    """Every address of thousands passes, in few instructions; of few prefixes, no other one does."""
    ours = [b"\xfd" + (n % prefixes).to_bytes(11) + (0x0A000000 + 3 * n * (1 + n % 7)).to_bytes(4) for n in range(5000)]
    program = ndp_filter(ours)

    assert len(program) <= 4 * MOST_RANGES + 16 * MOST_PREFIXES + 30
    assert all(passes(program, asked(address)) and passes(program, asked(ELSEWHERE_6, address)) for address in ours)
    assert passes(program, asked(b"\xfc" + ours[0][1:])) is (prefixes > MOST_PREFIXES)
    assert not passes(program, asked(ours[0][:12] + b"\xff" * 4))


def test_traffic_and_forwarded_messages_do_not_pass() -> None:
    """Packets of IPv6 that are no message of neighbour discovery are dropped; all are while nothing is claimed."""
    target = SOLICITATION[62:78]
    echo = written(ICMPv6EchoRequest(data=b"x" * 40), ELSEWHERE_6, "fd00::7")
    forwarded = SOLICITATION[:21] + b"\xfe" + SOLICITATION[22:]

    assert [passes(ndp_filter([target]), frame) for frame in (SOLICITATION, forwarded, echo)] == [True, False, False]
    assert not passes(ndp_filter([target]), SOLICITATION[:77])
    assert not passes(ndp_filter([target]), question(target[-4:]))
    assert ndp_filter([]) == ((0x06, 0, 0, 0),)


@given(st.one_of(st.binary(max_size=100), st.sampled_from([SOLICITATION, ADVERTISEMENT])))
def test_what_is_answered_or_defended_passes(frame: bytes) -> None:
    """A valid message passes the filter for its target, and for the address that its sender claims."""
    if found := read_ndp(frame):
        assert passes(ndp_filter([found.target]), frame)
        assert passes(ndp_filter([found.sender]), frame)


@given(st.sets(ADDRESSES_6, max_size=30), st.lists(ADDRESSES_6, max_size=5))
def test_the_kernel_agrees_on_neighbour_discovery(ours: set[bytes], others: list[bytes]) -> None:
    """The kernel accepts the program and passes the same frames as the interpreter."""
    program = ndp_filter(ours)
    begin, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with begin, end:
        _attach(end, program)
        frames = [frame for one in [*ours, *others] for frame in (asked(one), said(one), asked(ELSEWHERE_6, one))]
        for frame in frames:
            begin.send(frame)
        got = list(read_all(end))

    assert got == [frame for frame in frames if passes(program, frame)]


IDS = st.binary(min_size=4, max_size=4)


@given(st.sets(IDS, max_size=4), IDS, IDS, st.binary(max_size=40))
def test_heartbeats_of_our_keys_pass(keys: set[bytes], first: bytes, second: bytes, rest: bytes) -> None:
    """A heartbeat passes if one of its two key IDs is ours; interpreter and kernel agree."""
    program = heartbeat_filter(b"LBP5", keys)
    head = bytes(12) + b"\x88\xb5"
    ids = [(one, other) for one in (first, *keys) for other in (second, *keys)]
    frames = [head + b"LBP5" + one + other + rest for one, other in ids]
    begin, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with begin, end:
        _attach(end, program)
        for frame in [*frames, *(head + b"LBP4" + frame[18:] for frame in frames), head + b"LBP5", head + rest, head]:
            begin.send(frame)
        got = list(read_all(end))

    assert got == [frame for frame, (one, other) in zip(frames, ids, strict=True) if {one, other} & keys]
    assert got == [frame for frame in frames if passes(program, frame)]


def read_all(sock: socket.socket) -> Iterator[bytes]:
    """Yield the queued datagrams."""
    while select.select([sock], [], [], 0)[0]:
        yield sock.recv(2048)


def test_a_wire_hears_what_was_claimed_last() -> None:
    """A wire receives nothing before an address is claimed; then for those that are claimed."""
    link = Link(name="lo", index=1, mac=bytes(6), subnets=())
    ours = [socket.inet_aton(f"10.9.0.{host}") for host in (100, 101, 110)]
    many = [(0x0B000000 + 2 * number).to_bytes(4) for number in range(100)]

    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as asker, closing(Wire(link)) as wire:
        asker.bind(("lo", ETH_P_ARP))

        def hear() -> list[bytes]:
            """Return the addresses of the subnet whose requests are received."""
            for host in range(1, 255):
                asker.send(question(socket.inet_aton(f"10.9.0.{host}")))
            return [frame[38:42] for frame in wire.requests(limit=1000)]

        assert hear() == []
        wire.accept_requests_for(ours + many)
        assert hear() == ours
        wire.accept_requests_for(ours[1:])
        assert hear() == ours[1:]


def test_a_wire_hears_neighbour_discovery_of_what_was_claimed_last() -> None:
    """A wire receives solicitations for the IPv6 addresses that are claimed, whatever is claimed of IPv4."""
    link = Link(name="lo", index=1, mac=bytes(6), subnets=())
    ours = [b"\xfd" + bytes(14) + bytes([host]) for host in (3, 4, 9)]

    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as asker, closing(Wire(link)) as wire:
        asker.bind(("lo", ETH_P_IPV6))

        def hear() -> list[bytes]:
            """Return the targets whose solicitations are received."""
            for host in range(1, 20):
                asker.send(asked(ours[0][:-1] + bytes([host])))
            return [frame[62:78] for frame in wire.solicitations(limit=1000)]

        assert hear() == []
        wire.accept_requests_for([*ours, socket.inet_aton("10.0.0.7")])
        assert hear() == ours
        wire.accept_requests_for([socket.inet_aton("10.0.0.7")])
        assert hear() == []


def test_thousands_of_groups_are_joined_and_left() -> None:
    """The kernel has joined the group of each address, once, until no address needs it any more."""
    addresses = [b"\xfd" + bytes(10) + bytes([number % 2]) + (number // 2).to_bytes(4) for number in range(3000)]

    def joined() -> list[str]:
        """Return the solicited-node groups of the loopback interface (proc_pid_net(5))."""
        lines = Path("/proc/self/net/igmp6").read_text().splitlines()
        return sorted(line.split()[2] for line in lines if line.split()[1] == "lo" and line.split()[2][:26] == FIRST)

    before = joined()
    groups = Groups(socket.if_nametoindex("lo"))
    groups.join([*addresses, *addresses, socket.inet_aton("10.0.0.7")])
    assert len(joined()) == len(before) + 1500
    groups.leave(addresses[1::2])
    assert len(joined()) == len(before) + 1500
    groups.leave([*addresses[::2], socket.inet_aton("10.0.0.7")])
    assert joined() == before
    groups.join(addresses[:300])
    groups.close()
    assert joined() == before


def test_an_interface_without_ipv6_is_tried_again() -> None:
    """A group that cannot be joined is logged, and joined with the next address that needs it."""
    first, second = (b"\xfd" + bytes(10) + bytes([number]) + bytes(4) for number in range(2))
    groups = Groups(1 << 30)
    groups.join([first])
    assert not groups.joined
    groups.index = socket.if_nametoindex("lo")
    groups.join([second])
    assert list(groups.joined) == [solicited_node(first)]
    groups.leave([first, second])
    assert not groups.joined
    groups.close()
