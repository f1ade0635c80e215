"""Build the classic BPF filter of a speaker's ARP socket from the addresses that it answers for.

The kernel runs it on each frame, so that requests for other addresses do not wake this process. It is a binary search
over address ranges, so its cost hardly depends on the number of addresses. If there are more ranges than fit, the
nearest ones are merged: the filter may then pass additional requests but never drops a wanted one, and the speaker
decides by its own set. Opcodes: linux/filter.h and linux/bpf_common.h.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from lbproof_reference.frames import ETH_P_ARP, FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Step: TypeAlias = tuple[int, int, int, int]
"""Opcode, jump offset if true, jump offset if false, operand: `struct sock_filter`."""

MOST_INSTRUCTIONS = 4096
"""Limit of the kernel (BPF_MAXINSNS)."""

_IPV4 = struct.Struct("!I")
_TARGET = 38
"""Offset of the target IPv4 address in a frame (RFC 826 over Ethernet), in bytes."""
_FARTHEST = 255
"""Highest offset of a conditional jump (eight bits)."""
_EACH = 4
"""Instructions for a range: two comparisons and two returns."""
_LD_HALF, _LD_WORD, _LD_LENGTH = 0x28, 0x20, 0x80
_JUMP, _JEQ, _JGE, _RETURN = 0x05, 0x15, 0x35, 0x06
_ACCEPT, _DROP = (_RETURN, 0, 0, 0xFFFF), (_RETURN, 0, 0, 0)

# Drops everything but complete ARP requests for IPv4 over Ethernet; leaves their target in the accumulator.
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
    """Return the IPv4 addresses among `addresses` (packed) as sorted ranges of integers, both ends included.

    If there are more than `most` (at least 1), the ranges with the smallest gaps between them are merged.
    """
    ordered = sorted({address for address in addresses if len(address) == _IPV4.size})
    numbers = [number for (number,) in _IPV4.iter_unpack(b"".join(ordered))]
    gaps = [(second - first, at) for at, (first, second) in enumerate(pairwise(numbers), 1) if second - first > 1]
    if len(gaps) >= most:
        gaps = sorted(gaps, reverse=True)[: most - 1]
    begins = [0, *sorted(at for _, at in gaps), len(numbers)] if numbers else []
    return [(numbers[begin], numbers[end - 1]) for begin, end in pairwise(begins)]


def arp_filter(addresses: Iterable[bytes], most: int = MOST_INSTRUCTIONS) -> tuple[Step, ...]:
    """Return the program (at most `most` instructions) that passes ARP requests for `addresses` (packed).

    Deterministic. Without an address nothing passes. Raises ValueError when `most` is too small for one range.
    """
    room = most - len(_REQUESTS) - 1
    room -= room // (_FARTHEST + 1)  # for far jumps
    if room < _EACH:
        raise ValueError(f"{most} instructions are too few for a range of addresses")
    inside = ranges(addresses, room // _EACH)
    if not inside:
        return (_DROP,)
    # Boundaries between drop and accept: a range's first address, and the one after its last.
    edges = [edge for first, last in inside for edge in (first, last + 1) if edge < 1 << 32]
    return (*_REQUESTS, *_search(edges, 0, len(edges)))


def _search(edges: Sequence[int], begin: int, end: int) -> list[Step]:
    """Return a binary search among `edges[begin:end]`: accept if an odd number of edges is at or below the target."""
    if begin == end:
        return [_ACCEPT if begin % 2 else _DROP]
    middle = (begin + end) // 2
    below, above = _search(edges, begin, middle), _search(edges, middle + 1, end)
    if len(below) <= _FARTHEST:
        return [(_JGE, len(below), 0, edges[middle]), *below, *above]
    return [(_JGE, 0, 1, edges[middle]), (_JUMP, 0, 0, len(below)), *below, *above]
