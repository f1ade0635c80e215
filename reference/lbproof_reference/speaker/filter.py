"""The question filter of a speaker's ARP socket: a classic BPF program made from the addresses that it answers for.

The kernel runs it on each frame, so that a question for somebody else's address costs no wake-up of this process, and
answering costs the same for one address and for ten thousand: a binary search over ranges of addresses. Where there are
more ranges than fit, the nearest are joined. The program then passes a little more than was asked for and never less;
what is answered is decided by the speaker's own set. Opcodes: linux/filter.h and linux/bpf_common.h.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from lbproof_reference.frames import ETH_P_ARP, FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Step: TypeAlias = tuple[int, int, int, int]
"""Opcode, instructions skipped if true, and if false, operand: `struct sock_filter`."""

MOST_INSTRUCTIONS = 4096
"""What the kernel takes (BPF_MAXINSNS)."""

_IPV4 = struct.Struct("!I")
_TARGET = 38
"""Where the target's IPv4 address lies in a frame (RFC 826 over Ethernet)."""
_FARTHEST = 255
"""Instructions that a conditional jump skips at the most: its offsets have eight bits."""
_EACH = 4
"""Instructions for a range: two comparisons and what follows from each."""
_LD_HALF, _LD_WORD, _LD_LENGTH = 0x28, 0x20, 0x80
_JUMP, _JEQ, _JGE, _RETURN = 0x05, 0x15, 0x35, 0x06
_ACCEPT, _DROP = (_RETURN, 0, 0, 0xFFFF), (_RETURN, 0, 0, 0)

# Whole ARP requests for IPv4 over Ethernet get past it with their target loaded, everything else is dropped.
_REQUESTS: tuple[Step, ...] = (
    (_LD_HALF, 0, 0, 12),  # the EtherType
    (_JEQ, 0, 6, ETH_P_ARP),
    (_LD_WORD, 0, 0, 14),  # htype and ptype
    (_JEQ, 0, 4, 0x00010800),
    (_LD_WORD, 0, 0, 18),  # hlen, plen, op
    (_JEQ, 0, 2, 0x06040001),
    (_LD_LENGTH, 0, 0, 0),
    (_JGE, 1, 0, FRAME_BYTES),
    _DROP,
    (_LD_WORD, 0, 0, _TARGET),
)


def ranges(addresses: Iterable[bytes], most: int) -> list[tuple[int, int]]:
    """The IPv4 addresses among `addresses` (packed) as ordered ranges of integers, both ends included.

    Where there are more than `most` (from 1), those with the smallest gaps between them are joined.
    """
    ordered = sorted({address for address in addresses if len(address) == _IPV4.size})
    numbers = [number for (number,) in _IPV4.iter_unpack(b"".join(ordered))]
    gaps = [(second - first, at) for at, (first, second) in enumerate(pairwise(numbers), 1) if second - first > 1]
    if len(gaps) >= most:
        gaps = sorted(gaps, reverse=True)[: most - 1]
    begins = [0, *sorted(at for _, at in gaps), len(numbers)] if numbers else []
    return [(numbers[begin], numbers[end - 1]) for begin, end in pairwise(begins)]


def arp_filter(addresses: Iterable[bytes], most: int = MOST_INSTRUCTIONS) -> tuple[Step, ...]:
    """The program that passes ARP requests whose target is one of `addresses` (packed), of `most` instructions at most.

    Deterministic. Without an address, nothing passes. ValueError when `most` has no room for a single range.
    """
    room = most - len(_REQUESTS) - 1
    room -= room // (_FARTHEST + 1)  # for far jumps
    if room < _EACH:
        raise ValueError(f"{most} instructions hold no range of addresses")
    inside = ranges(addresses, room // _EACH)
    if not inside:
        return (_DROP,)
    # Where the answer changes, beginning with "no": a range's first address, and the one after its last.
    edges = [edge for first, last in inside for edge in (first, last + 1) if edge < 1 << 32]
    return (*_REQUESTS, *_search(edges, 0, len(edges)))


def _search(edges: Sequence[int], begin: int, end: int) -> list[Step]:
    """The binary search among `edges[begin:end]`, whose answer is whether an odd number of edges lies at or below."""
    if begin == end:
        return [_ACCEPT if begin % 2 else _DROP]
    middle = (begin + end) // 2
    below, above = _search(edges, begin, middle), _search(edges, middle + 1, end)
    if len(below) <= _FARTHEST:
        return [(_JGE, len(below), 0, edges[middle]), *below, *above]
    return [(_JGE, 0, 1, edges[middle]), (_JUMP, 0, 0, len(below)), *below, *above]
