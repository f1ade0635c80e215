"""Filter of the ARP socket, tested with a classic BPF interpreter in this file and with the kernel."""

from __future__ import annotations

import select
import socket
import struct
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import ARP, Ether

from lbproof_reference.frames import ETH_P_ARP, read_arp
from lbproof_reference.speaker.filter import MOST_RANGES, arp_filter, heartbeat_filter, ranges
from lbproof_reference.speaker.links import Link
from lbproof_reference.speaker.wire import Wire, _attach

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
