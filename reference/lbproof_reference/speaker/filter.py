"""Build the classic BPF filters of a speaker's sockets, so that frames of no interest do not wake this process.

The filter of the ARP socket passes requests for the announced addresses, and frames of any operation whose sender has
one of them (a conflict: RFC 5227 section 2.4); that of the NDP socket does the same with solicitations and
advertisements. Each of the two is a binary search over address ranges, so its cost hardly depends on the number of
addresses; of IPv6 addresses it searches the last 32 bits, and compares the others with those of the announced
addresses. If there are more than `MOST_RANGES` or `MOST_PREFIXES`, the nearest ranges are merged, or the other bits not
compared: the filter may then pass additional frames but never drops a wanted one, and the speaker decides by its own
set. Opcodes: linux/filter.h and linux/bpf_common.h.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from lbproof_reference.frames import (
    ADVERTISEMENT,
    ETH_P_ARP,
    ETH_P_IPV6,
    FRAME_BYTES,
    HOP_LIMIT,
    ICMPV6,
    NDP_FRAME_BYTES,
    SOLICITATION,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

Step: TypeAlias = tuple[int, int, int, int]
"""Opcode, jump offset if true, jump offset if false, operand: `struct sock_filter`."""

MOST_RANGES = 127
"""Ranges of a search, with two comparisons each: a conditional jump reaches 255 instructions ahead."""

MOST_PREFIXES = 8
"""Different first 96 bits of IPv6 addresses that are compared."""

_WORD = struct.Struct("!I")
_SENDER, _TARGET = 28, 38
"""Offsets of the sender's and the target's IPv4 address in a frame (RFC 826 over Ethernet), in bytes."""
_SOURCE_END, _TARGET_END = 34, 74
"""Offsets of the last four bytes of source (RFC 8200) and target (RFC 4861) of a solicitation or advertisement."""
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


# Drops everything but complete solicitations and advertisements that no router forwarded.
_NDP_TYPE: Step = (_LD_HALF, 0, 0, 54)  # ICMPv6 type and code, which is 0
_NDP: tuple[Step, ...] = (
    (_LD_HALF, 0, 0, 12),  # the EtherType
    (_JEQ, 0, 7, ETH_P_IPV6),
    (_LD_HALF, 0, 0, 20),  # next header and hop limit
    (_JEQ, 0, 5, ICMPV6 << 8 | HOP_LIMIT),
    (_LD_LENGTH, 0, 0, 0),
    (_JGE, 0, 3, NDP_FRAME_BYTES),
    _NDP_TYPE,
    (_JEQ, 2, 0, SOLICITATION << 8),
    (_JEQ, 1, 0, ADVERTISEMENT << 8),
    _DROP,
)
_SOLICITED: tuple[Step, ...] = (_NDP_TYPE, (_JEQ, 1, 0, SOLICITATION << 8), _DROP)


def ranges(addresses: Iterable[bytes], most: int = MOST_RANGES) -> list[tuple[int, int]]:
    """Return the addresses, or ends of addresses, of four bytes as sorted ranges of integers, both ends included.

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
    search = _search_for(addresses)
    return (*_ARP, *_accept(_SENDER, search), *_REQUEST, *_accept(_TARGET, search), _DROP)


def ndp_filter(addresses: Collection[bytes]) -> tuple[Step, ...]:
    """Return the program that passes solicitations for and from `addresses`, and advertisements of them."""
    if not addresses:
        return (_DROP,)  # most packets of IPv6 are traffic
    search, prefixes = _search_for({address[-4:] for address in addresses}), {address[:-4] for address in addresses}
    targets, sources = (
        _accept(offset, search, sorted(prefixes) if len(prefixes) <= MOST_PREFIXES else [b""])
        for offset in (_TARGET_END, _SOURCE_END)
    )
    return (*_NDP, *targets, *_SOLICITED, *sources, _DROP)


def _accept(offset: int, search: list[Step], prefixes: Sequence[bytes] = (b"",)) -> list[Step]:
    """Return steps that accept if what is searched for is at `offset`, behind one of the prefixes; else they end."""
    checks = list[Step]()
    for prefix in prefixes:
        for at, (word,) in zip(range(len(prefix), 0, -4), _WORD.iter_unpack(prefix), strict=True):
            checks += [(_LD_WORD, 0, 0, offset - at), (_JEQ, 0, at // 2 - 1, word)]  # if not: the next prefix
        checks.append(_ACCEPT)
    return [(_LD_WORD, 0, 0, offset), *search, (_JUMP, 0, 0, len(checks)), *checks]


def _search_for(addresses: Iterable[bytes]) -> list[Step]:
    """Return the search for addresses, or ends of addresses, of four bytes."""
    # Boundaries between drop and accept: a range's first address, and the one after its last.
    edges = [edge for first, last in ranges(addresses) for edge in (first, last + 1) if edge < 1 << 32]
    return _search(edges, 0, len(edges), len(edges))


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
