"""Encode and decode heartbeats: authenticated messages between stations.

A message says who sends (station, MAC, session), what the sender hears, its subnets, and one chunk of its
claims. A claim stays in its chunk, so that a change touches one chunk. Changed chunks are sent immediately, all
of them when a new peer appears; otherwise round-robin. It is signed with one or two keys, whose IDs are at fixed
offsets. The mark of a relayed copy is not signed: whoever forwards a frame decides on it, relay or attacker.
"""

from __future__ import annotations

import hmac
import struct
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from lbproof_reference.speaker.elect import Claim, Station

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof_reference.speaker.plan import Subnet

MAGIC = b"LBP4"
LISTED, STRANGERS = 64, 8
"""Sessions listed in a message, and those that are not proven among them."""
SUBNETS = 8
"""Subnets in a message: those of an interface beyond them are not used."""
CLAIMS = 36
"""Claims in a chunk, so that each message fits an Ethernet frame of 1,280 bytes (RFC 8200 section 5)."""

# magic, key IDs, relayed, bytes without tags, flags, session, sequence, dead interval ms, MAC, chunk, and the numbers
# of sessions heard, subnets and claims
_HEAD = struct.Struct("!4s4s4sBHBIIH6sHBBB")
_MARK = 12
_ORIGIN = struct.Struct("!16xII")  # session and sequence
_HEARD, _SUBNET, _CLAIM = struct.Struct("!II"), struct.Struct("!4sB"), struct.Struct("!4sHI")
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
    """Subnets of the sender's interface."""
    chunk: int
    claims: Mapping[bytes, Claim]
    """All claims in this chunk, by IPv4 address."""
    leaving: bool = False
    receives: bool = False
    """Whether frames arrived after the last death of a peer."""
    outdated: bool = False
    """Whether the sender is cut from the API server."""
    relayed: bool = False
    """Whether this copy was forwarded by another station."""


class Chunks:
    """Claims of a station in numbered chunks of at most `CLAIMS`; there is at least one, which may be empty."""

    def __init__(self) -> None:
        """Start without claims."""
        self.pieces: list[dict[bytes, Claim]] = [{}]
        self.number_of: dict[bytes, int] = {}

    def put(self, address: bytes, claim: Claim) -> int:
        """Add or change a claim. Return the number of its chunk."""
        number = self.number_of.get(address)
        if number is None:
            if all(len(piece) >= CLAIMS for piece in self.pieces):
                self.pieces.append({})
            number = self.number_of[address] = next(n for n, one in enumerate(self.pieces) if len(one) < CLAIMS)
        self.pieces[number][address] = claim
        return number

    def drop(self, address: bytes) -> int:
        """Remove a claim. Return the number of its chunk. Raises KeyError if the address is not claimed."""
        number = self.number_of.pop(address)
        del self.pieces[number][address]
        return number


@lru_cache
def key_id(key: bytes) -> bytes:
    """Return the four bytes that tell keys, and so clusters on one segment, apart."""
    return sha256(b"lbproof heartbeat" + key).digest()[:4]


def encode(heartbeat: Heartbeat, keys: Sequence[bytes]) -> bytes:
    """Encode a message, signed with one or two keys: HMAC-SHA256 truncated to 16 bytes (RFC 4868)."""
    names = [name.encode() for name in heartbeat.station]
    body = b"".join([
        *(bytes([len(name)]) + name for name in names),
        *(_HEARD.pack(session, echo.sequence | _DIRECT * echo.direct) for session, echo in heartbeat.heard.items()),
        *(_SUBNET.pack(*subnet) for subnet in heartbeat.subnets),
        *(_CLAIM.pack(address, claim.standing, claim.epoch) for address, claim in heartbeat.claims.items()),
    ])  # fmt: skip
    head = _HEAD.pack(
        MAGIC, key_id(keys[0]), key_id(keys[1]) if keys[1:] else b"", 0, _HEAD.size + len(body),
        _LEAVING * heartbeat.leaving | _RECEIVES * heartbeat.receives | _OUTDATED * heartbeat.outdated,
        heartbeat.session, heartbeat.sequence, heartbeat.dead_interval_ms, heartbeat.mac, heartbeat.chunk,
        len(heartbeat.heard), len(heartbeat.subnets), len(heartbeat.claims),
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
    _, *ids, mark, end, flags, _, _, dead_interval, mac, chunk, n_heard, n_subnets, n_claims = _HEAD.unpack_from(data)
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
        tables = list[list[tuple[Any, ...]]]()
        for form, count in ((_HEARD, n_heard), (_SUBNET, n_subnets), (_CLAIM, n_claims)):
            tables.append(list(form.iter_unpack(signed[at : at + count * form.size])))
            at += count * form.size
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise InvalidHeartbeatError("malformed") from error
    heard, subnets, claims = tables
    if at != end or any(prefix > 32 for _, prefix in subnets):  # noqa: PLR2004 - bits of an address
        raise InvalidHeartbeatError("malformed")
    return Heartbeat(
        station=Station(*names), mac=mac, session=session, sequence=sequence, dead_interval_ms=dead_interval,
        heard={one: Echo(number & ~_DIRECT, bool(number & _DIRECT)) for one, number in heard},
        subnets=tuple((network, prefix) for network, prefix in subnets), chunk=chunk,
        claims={address: Claim(standing, epoch) for address, standing, epoch in claims},
        leaving=bool(flags & _LEAVING), receives=bool(flags & _RECEIVES), outdated=bool(flags & _OUTDATED),
        relayed=bool(mark),
    )  # fmt: skip


def _tag(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, "sha256")[:_TAG_BYTES]
