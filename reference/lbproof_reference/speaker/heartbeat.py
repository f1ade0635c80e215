"""Encode and decode heartbeats: authenticated messages between stations.

A message says who sends (station, MAC, session), what the sender hears, the subnets of its node, and one chunk of its
claims. A claim stays in its chunk, so that a change touches one chunk. Changed chunks are sent immediately, all
of them when a new peer appears; otherwise round-robin. It is signed with one or two keys, whose IDs are at fixed
offsets. The mark of a relayed copy is not signed: whoever forwards a frame decides on it, relay or attacker.
"""

from __future__ import annotations

import hmac
import struct
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate, islice
from typing import TYPE_CHECKING, NamedTuple

from lbproof_reference.speaker.elect import Claim, Station

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof_reference.speaker.plan import Subnet

MAGIC = b"LBP5"
LISTED, STRANGERS = 64, 8
"""Sessions listed in a message, and those that are not proven among them."""
SUBNET_BYTES = 66
"""Size of the subnets in a message: those of an interface beyond it are not used."""
_ELSEWHERE = 1 << 7
"""Mark in the prefix length of a subnet of another interface: no subnet here has a prefix of 128 bits."""
CLAIM_BYTES = 360
"""Size of a chunk of claims, so that each message fits an Ethernet frame of 1,280 bytes (RFC 8200 section 5)."""

# magic, key IDs, relayed, bytes without tags, flags, session, sequence, dead interval ms, MAC, chunk, and the numbers
# of sessions heard, of subnets of IPv4 and of IPv6, and of claims of IPv4 and of IPv6
_HEAD = struct.Struct("!4s4s4sBHBIIH6sHBBBBB")
_MARK = 12
_ORIGIN = struct.Struct("!16xII")  # session and sequence
_HEARD = struct.Struct("!II")
_CLAIMS = {4: struct.Struct("!4sHI"), 16: struct.Struct("!16sHI")}
"""Layout of a claim, by the size of its address (bytes)."""
_DIRECT = 1 << 31  # in the sequence
_TAG_BYTES = 16
_LEAVING, _RECEIVES, _OUTDATED = 1, 2, 4


class InvalidHeartbeatError(ValueError):
    """Malformed or unauthenticated heartbeat."""


class Echo(NamedTuple):
    """What a station heard last of a session."""

    sequence: int
    direct: bool
    """Whether the session is proven, and still heard itself and not through relays alone."""


class Heartbeat(NamedTuple):
    """Heartbeat message of a station."""

    station: Station
    mac: bytes
    session: int
    """Random number (32 bits) of this start of the station."""
    sequence: int
    """Grows by one a message (31 bits: three years at 20 a second)."""
    dead_interval_ms: int
    """Dead interval: time without a message after which the sender is dead."""
    heard: Mapping[int, Echo]
    """Sessions that the sender hears."""
    subnets: tuple[Subnet, ...]
    """Subnets of the sender's interface, with prefixes of at most 127 bits."""
    chunk: int
    claims: Mapping[bytes, Claim]
    """All claims in this chunk, by address."""
    leaving: bool = False
    receives: bool = False
    """Whether frames arrived after the last death of a peer."""
    outdated: bool = False
    """Whether the sender is cut from the API server."""
    relayed: bool = False
    """Whether this copy was forwarded by another station."""
    elsewhere: tuple[Subnet, ...] = ()
    """Subnets of other interfaces of the sender's node."""


class Chunks:
    """Claims of a station in numbered chunks of at most `CLAIM_BYTES`; there is at least one, which may be empty."""

    def __init__(self) -> None:
        """Start without claims."""
        self.pieces: list[dict[bytes, Claim]] = [{}]
        self.number_of: dict[bytes, int] = {}
        self._room = [CLAIM_BYTES]

    def put(self, address: bytes, claim: Claim) -> int:
        """Add or change a claim. Return the number of its chunk."""
        number = self.number_of.get(address)
        if number is None:
            size = _CLAIMS[len(address)].size
            if all(room < size for room in self._room):
                self.pieces.append({})
                self._room.append(CLAIM_BYTES)
            number = self.number_of[address] = next(n for n, room in enumerate(self._room) if room >= size)
            self._room[number] -= size
        self.pieces[number][address] = claim
        return number

    def drop(self, address: bytes) -> int:
        """Remove a claim. Return the number of its chunk. Raises KeyError if the address is not claimed."""
        number = self.number_of.pop(address)
        del self.pieces[number][address]
        self._room[number] += _CLAIMS[len(address)].size
        return number


def subnet_bytes(subnet: Subnet, mark: int = 0) -> bytes:
    """Encode a subnet: the prefix length with a mark, and the bytes of the address that it covers."""
    network, prefix = subnet
    return bytes([prefix | mark]) + network[: -(-prefix // 8)]


def fitting(subnets: Sequence[Subnet], before: Sequence[Subnet] = ()) -> tuple[Subnet, ...]:
    """Return the first subnets, as many as a message has room for after those `before`."""
    sizes = accumulate(
        (len(subnet_bytes(subnet)) for subnet in subnets), initial=sum(map(len, map(subnet_bytes, before)))
    )
    return tuple(subnet for subnet, size in zip(subnets, islice(sizes, 1, None), strict=True) if size <= SUBNET_BYTES)


@lru_cache
def key_id(key: bytes) -> bytes:
    """Return the four bytes that tell keys, and so clusters on one segment, apart."""
    return sha256(b"lbproof heartbeat" + key).digest()[:4]


def encode(heartbeat: Heartbeat, keys: Sequence[bytes]) -> bytes:
    """Encode a message, signed with one or two keys: HMAC-SHA256 truncated to 16 bytes (RFC 4868)."""
    names = [name.encode() for name in heartbeat.station]
    marked = ((0, heartbeat.subnets), (_ELSEWHERE, heartbeat.elsewhere))
    subnets = {
        size: [subnet_bytes(one, mark) for mark, ones in marked for one in ones if len(one[0]) == size]
        for size in _CLAIMS
    }
    claims = {size: list[bytes]() for size in _CLAIMS}
    for address, (standing, epoch) in heartbeat.claims.items():
        claims[len(address)].append(_CLAIMS[len(address)].pack(address, standing, epoch))
    body = b"".join([
        *(bytes([len(name)]) + name for name in names),
        *(_HEARD.pack(session, echo.sequence | _DIRECT * echo.direct) for session, echo in heartbeat.heard.items()),
        *(subnet for found in subnets.values() for subnet in found),
        *(claim for found in claims.values() for claim in found),
    ])  # fmt: skip
    head = _HEAD.pack(
        MAGIC, key_id(keys[0]), key_id(keys[1]) if keys[1:] else b"", 0, _HEAD.size + len(body),
        _LEAVING * heartbeat.leaving | _RECEIVES * heartbeat.receives | _OUTDATED * heartbeat.outdated,
        heartbeat.session, heartbeat.sequence, heartbeat.dead_interval_ms, heartbeat.mac, heartbeat.chunk,
        len(heartbeat.heard), *map(len, subnets.values()), *map(len, claims.values()),
    )  # fmt: skip
    return b"".join([head, body, *(_tag(key, head + body) for key in keys[:2])])


def relayed(data: bytes) -> bytes:
    """Return the copy of an encoded message that a relay sends."""
    return data[:_MARK] + b"\1" + data[_MARK + 1 :]


def origin(data: bytes) -> tuple[int, int]:
    """Return session and sequence of a message without checking it. Raises InvalidHeartbeatError."""
    if len(data) < _HEAD.size or not data.startswith(MAGIC):
        raise InvalidHeartbeatError("no heartbeat")
    session, sequence = _ORIGIN.unpack_from(data)
    return session, sequence


def decode(data: bytes, keys: Sequence[bytes]) -> Heartbeat:
    """Decode a message signed with one of the keys; trailing bytes are ignored. Raises InvalidHeartbeatError."""
    session, sequence = origin(data)
    _, id_1, id_2, mark, end, flags, _, _, dead_interval, mac, chunk, n_heard, *counts = _HEAD.unpack_from(data)
    ids = [id_1, id_2]
    signed = data[:_MARK] + b"\0" + data[_MARK + 1 : end]
    slots = [(key, end + _TAG_BYTES * ids.index(key_id(key))) for key in keys if key_id(key) in ids]
    if not slots:
        raise InvalidHeartbeatError("signed with no key of this cluster")
    if not any(hmac.compare_digest(_tag(key, signed), data[at : at + _TAG_BYTES]) for key, at in slots):
        raise InvalidHeartbeatError("signature is wrong")
    try:
        at, names = _HEAD.size, list[str]()
        for _ in Station._fields:
            names.append(signed[at + 1 : at + 1 + signed[at]].decode())
            at += 1 + signed[at]
        heard = list(_HEARD.iter_unpack(signed[at : at + n_heard * _HEARD.size]))
        at += n_heard * _HEARD.size
        subnets: dict[int, list[Subnet]] = {0: [], _ELSEWHERE: []}
        claims = list[tuple[bytes, int, int]]()
        for size, count in zip(_CLAIMS, counts[:2], strict=True):
            for _ in range(count):
                whose, prefix = signed[at] & _ELSEWHERE, signed[at] & ~_ELSEWHERE
                covered = -(-prefix // 8)
                subnets[whose].append((signed[at + 1 : at + 1 + covered].ljust(size, b"\0"), prefix))
                at += 1 + covered
        for form, count in zip(_CLAIMS.values(), counts[2:], strict=True):
            claims += form.iter_unpack(signed[at : at + count * form.size])
            at += count * form.size
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise InvalidHeartbeatError("malformed") from error
    found = [*subnets[0], *subnets[_ELSEWHERE]]
    if at != end or any(len(net) not in _CLAIMS or prefix > 8 * len(net) for net, prefix in found):
        raise InvalidHeartbeatError("malformed")
    return Heartbeat(
        station=Station(*names), mac=mac, session=session, sequence=sequence, dead_interval_ms=dead_interval,
        heard={one: Echo(number & ~_DIRECT, bool(number & _DIRECT)) for one, number in heard},
        subnets=tuple(subnets[0]), elsewhere=tuple(subnets[_ELSEWHERE]), chunk=chunk,
        claims={address: Claim(standing, epoch) for address, standing, epoch in claims},
        leaving=bool(flags & _LEAVING), receives=bool(flags & _RECEIVES), outdated=bool(flags & _OUTDATED),
        relayed=bool(mark),
    )  # fmt: skip


def _tag(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, "sha256")[:_TAG_BYTES]
