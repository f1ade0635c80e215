"""Build the classic BPF filters of a speaker's sockets, so that frames of no interest do not wake this process.

The filter of the ARP socket passes requests for the announced addresses, and frames of any operation whose sender has
one of them (a conflict: RFC 5227 section 2.4). Each of the two is a binary search over address ranges, so its cost
hardly depends on the number of addresses. If there are more than `MOST_RANGES`, the nearest ones are merged: the filter
may then pass additional frames but never drops a wanted one, and the speaker decides by its own set. Opcodes:
linux/filter.h and linux/bpf_common.h.
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

MOST_RANGES = 127
"""Ranges of a search, with two comparisons each: a conditional jump reaches 255 instructions ahead."""

_WORD = struct.Struct("!I")
_SENDER, _TARGET = 28, 38
"""Offsets of the sender's and the target's IPv4 address in a frame (RFC 826 over Ethernet), in bytes."""
_MAGIC, *_KEY_IDS = 14, 18, 22
"""Offsets of a heartbeat's magic number and key IDs in a frame (speaker/heartbeat.py)."""
_LD_HALF, _LD_WORD, _LD_LENGTH = 0x28, 0x20, 0x80
_JUMP, _JEQ, _JGE, _RETURN = 0x05, 0x15, 0x35, 0x06
_ACCEPT, _DROP = (_RETURN, 0, 0, 0xFFFF), (_RETURN, 0, 0, 0)

# Drops everything but complete ARP frames for IPv4 over Ethernet.
_ARP: tuple[Step, ...] = (
    (_LD_HALF, 0, 0, 12),  # the EtherType
    (_JEQ, 0, 6, ETH_P_ARP),
    (_LD_WORD, 0, 0, 14),  # htype and ptype
    (_JEQ, 0, 4, 0x00010800),
    (_LD_HALF, 0, 0, 18),  # hlen and plen
    (_JEQ, 0, 2, 0x0604),
    (_LD_LENGTH, 0, 0, 0),
    (_JGE, 1, 0, FRAME_BYTES),
    _DROP,
)
_REQUEST: tuple[Step, ...] = ((_LD_HALF, 0, 0, 20), (_JEQ, 1, 0, 1), _DROP)


def ranges(addresses: Iterable[bytes], most: int = MOST_RANGES) -> list[tuple[int, int]]:
    """Return the IPv4 addresses (packed) as sorted ranges of integers, both ends included.

    If there are more than `most` (at least 1), the ranges with the smallest gaps between them are merged.
    """
    numbers = [number for (number,) in _WORD.iter_unpack(b"".join(sorted(addresses)))]
    gaps = [(second - first, at) for at, (first, second) in enumerate(pairwise(numbers), 1) if second - first > 1]
    if len(gaps) >= most:
        gaps = sorted(gaps, reverse=True)[: most - 1]
    begins = [0, *sorted(at for _, at in gaps), len(numbers)] if numbers else []
    return [(numbers[begin], numbers[end - 1]) for begin, end in pairwise(begins)]


def arp_filter(addresses: Iterable[bytes]) -> tuple[Step, ...]:
    """Return the program that passes ARP frames from and requests for `addresses`; deterministic."""
    # Boundaries between drop and accept: a range's first address, and the one after its last.
    edges = [edge for first, last in ranges(addresses) for edge in (first, last + 1) if edge < 1 << 32]
    search = _search(edges, 0, len(edges), len(edges))
    onward = (_JUMP, 0, 0, 1)  # where the search for the target drops
    return (
        *(*_ARP, (_LD_WORD, 0, 0, _SENDER), *search, onward, _ACCEPT),
        *(*_REQUEST, (_LD_WORD, 0, 0, _TARGET), *search, _DROP, _ACCEPT),
    )


def _search(edges: Sequence[int], begin: int, end: int, left: int) -> list[Step]:
    """Return a binary search among `edges[begin:end]`: accept if an odd number of edges is at or below the address.

    Its returns (drop, accept) are `left` instructions after its begin.
    """
    if begin == end:
        return []
    middle, left = (begin + end) // 2, left - 1
    below, above = middle - begin, end - middle - 1
    yes = below if above else left + (middle + 1) % 2
    no = 0 if below else left + middle % 2
    return [
        (_JGE, yes, no, edges[middle]),
        *_search(edges, begin, middle, left),
        *_search(edges, middle + 1, end, left - below),
    ]


def heartbeat_filter(magic: bytes, key_ids: Iterable[bytes]) -> tuple[Step, ...]:
    """Return the program that passes heartbeats signed with one of the keys; magic and IDs have four bytes."""
    numbers = [number for (number,) in _WORD.iter_unpack(b"".join(sorted(key_ids)))]
    checks = [step for offset in _KEY_IDS for step in ((_LD_WORD, offset), *((_JEQ, number) for number in numbers))]
    found = ((code, len(checks) - at if code == _JEQ else 0, 0, operand) for at, (code, operand) in enumerate(checks))
    return ((_LD_WORD, 0, 0, _MAGIC), (_JEQ, 0, len(checks), int.from_bytes(magic)), *found, _DROP, _ACCEPT)
