"""Encode and decode heartbeats: authenticated messages between stations.

A message says who sends (station, MAC, session), what the sender hears, its subnets, and one chunk of its
claims. A claim stays in its chunk, so that a change touches one chunk. Changed chunks are sent immediately, all
of them when a new peer appears; otherwise round-robin. It is signed with one or two keys, whose IDs are at fixed
offsets. The mark of a relayed copy is not signed: whoever forwards a frame decides on it, relay or attacker.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from lbproof_reference.speaker.elect import Claim, Station

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof_reference.speaker.plan import Subnet

MAGIC = b"LBP3"
HEARD_AT_ONCE = 40
"""Sessions listed in one message."""
SUBNETS = 8
"""Subnets in a message: those of an interface beyond them are not used."""

_MTU = 1280  # every Ethernet link has it: the least of IPv6 (RFC 8200 section 5)
# magic, key IDs, relayed, bytes without tags, flags, session, sequence, dead interval ms, MAC, chunk, rounds, and the
# numbers of sessions heard, subnets and claims
_HEAD = struct.Struct("!4s4s4sBHBQIH6sHBBBB")
_MARK = 12
_HEARD = struct.Struct("!QIB")  # session, sequence, flags
_CLAIM = struct.Struct("!HI")  # standing, epoch
_TAG_BYTES = 16
_LEAVING, _RECEIVES = 1, 2
_DIRECT, _PROVEN = 1, 2
_LONGEST = 1 + 16 + _CLAIM.size  # claim on an IPv6 address


class InvalidHeartbeatError(ValueError):
    """Malformed or unauthenticated heartbeat."""


class Echo(NamedTuple):
    """What a station heard last of a session."""

    sequence: int
    direct: bool
    """Whether it still hears the session's own frames, and not relayed copies alone."""
    proven: bool
    """Whether the session has listed a recent message of the station."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Heartbeat message of a station."""

    station: Station
    mac: bytes
    session: int
    """Random number (64 bits) of this start of the station."""
    sequence: int
    """Grows by one a message (32 bits: six years at 20 a second)."""
    dead_interval_ms: int
    """Dead interval: time without a message after which the sender is dead."""
    heard: Mapping[int, Echo]
    """Sessions that the sender hears."""
    rounds: int
    """Messages in which it lists all sessions that are proven; 1: each one does."""
    subnets: tuple[Subnet, ...]
    """Subnets of the sender's interface."""
    chunk: int
    claims: Mapping[bytes, Claim]
    """All claims in this chunk."""
    leaving: bool = False
    receives: bool = False
    """Whether frames arrived after the last death of a peer."""
    relayed: bool = False
    """Whether this copy was forwarded by another station."""


class Chunks:
    """Claims of a station in chunks of at most `room` bytes; there is at least one, which may be empty."""

    def __init__(self, room: int) -> None:
        """Start without claims."""
        self._room = room
        self._pieces: list[dict[bytes, Claim]] = [{}]
        self._bytes = [0]
        self._piece_of: dict[bytes, int] = {}
        self._roomy = [0]

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(self._pieces)

    def __getitem__(self, number: int) -> dict[bytes, Claim]:
        """Return the claims of a chunk. Raises IndexError."""
        return self._pieces[number].copy()

    def number_of(self, address: bytes) -> int:
        """Return the number of the chunk of an address. Raises KeyError if it is not claimed."""
        return self._piece_of[address]

    def put(self, address: bytes, claim: Claim) -> int:
        """Add or change a claim. Return the number of its chunk."""
        number = self._piece_of.get(address)
        if number is None:
            if not self._roomy:
                self._roomy.append(len(self._pieces))
                self._pieces.append({})
                self._bytes.append(0)
            number = self._piece_of[address] = self._roomy[-1]
            self._bytes[number] += 1 + len(address) + _CLAIM.size
            if self._is_full(number):
                self._roomy.pop()
        self._pieces[number][address] = claim
        return number

    def drop(self, address: bytes) -> int:
        """Remove a claim. Return the number of its chunk. Raises KeyError if the address is not claimed."""
        number = self._piece_of.pop(address)
        was_full = self._is_full(number)
        self._bytes[number] -= 1 + len(address) + _CLAIM.size
        if was_full and not self._is_full(number):
            self._roomy.append(number)
        del self._pieces[number][address]
        return number

    def _is_full(self, number: int) -> bool:
        return self._bytes[number] + _LONGEST > self._room


def room_for_claims(station: Station) -> int:
    """Return the bytes that a full message of the station leaves for claims."""
    names = sum(1 + len(name.encode()) for name in station)
    return _MTU - _HEAD.size - names - HEARD_AT_ONCE * _HEARD.size - SUBNETS * (2 + 16) - 2 * _TAG_BYTES


@lru_cache
def key_id(key: bytes) -> bytes:
    """Return the four bytes that tell keys, and so clusters on one segment, apart."""
    return sha256(b"lbproof heartbeat" + key).digest()[:4]


def encode(heartbeat: Heartbeat, keys: Sequence[bytes]) -> bytes:
    """Encode a message, signed with one or two keys: HMAC-SHA256 truncated to 16 bytes (RFC 4868)."""
    parts: list[bytes] = []
    for text in heartbeat.station:
        raw = text.encode()
        parts += [bytes([len(raw)]), raw]
    for session, echo in heartbeat.heard.items():
        parts.append(_HEARD.pack(session, echo.sequence, _DIRECT * echo.direct | _PROVEN * echo.proven))
    for network, prefix in heartbeat.subnets:
        parts += [bytes([len(network), prefix]), network]
    for address, claim in heartbeat.claims.items():
        parts += [bytes([len(address)]), address, _CLAIM.pack(claim.standing, claim.epoch)]
    body = b"".join(parts)
    head = _HEAD.pack(
        MAGIC, key_id(keys[0]), key_id(keys[1]) if keys[1:] else b"", 0, _HEAD.size + len(body),
        _LEAVING * heartbeat.leaving | _RECEIVES * heartbeat.receives, heartbeat.session, heartbeat.sequence,
        heartbeat.dead_interval_ms, heartbeat.mac, heartbeat.chunk, heartbeat.rounds,
        len(heartbeat.heard), len(heartbeat.subnets), len(heartbeat.claims),
    )  # fmt: skip
    return b"".join([head, body, *(_tag(key, head + body) for key in keys[:2])])


def relayed(data: bytes) -> bytes:
    """Return the copy of an encoded message that a relay sends."""
    return data[:_MARK] + b"\1" + data[_MARK + 1 :]


def decode(data: bytes, keys: Sequence[bytes]) -> Heartbeat:
    """Decode a message signed with one of the keys; trailing bytes are ignored. Raises InvalidHeartbeatError."""
    if len(data) < _HEAD.size or not data.startswith(MAGIC):
        raise InvalidHeartbeatError("no heartbeat")
    (
        _, *ids, mark, end, flags, session, sequence, dead_interval, mac, chunk, rounds, n_heard, n_subnets, n_claims,
    ) = _HEAD.unpack_from(data)  # fmt: skip
    signed = data[:_MARK] + b"\0" + data[_MARK + 1 : end]
    slots = [(key, end + _TAG_BYTES * ids.index(key_id(key))) for key in keys if key_id(key) in ids]
    if not slots:
        raise InvalidHeartbeatError("signed with no key of this cluster")
    if not any(hmac.compare_digest(_tag(key, signed), data[at : at + _TAG_BYTES]) for key, at in slots):
        raise InvalidHeartbeatError("signature is wrong")
    try:
        node, at = _sized(signed, _HEAD.size)
        interface, at = _sized(signed, at)
        heard: dict[int, Echo] = {}
        for listed, number, bits in _HEARD.iter_unpack(signed[at : at + n_heard * _HEARD.size]):
            heard[listed] = Echo(number, bool(bits & _DIRECT), bool(bits & _PROVEN))
        at += n_heard * _HEARD.size
        subnets: list[Subnet] = []
        for _ in range(n_subnets):
            network, prefix = signed[at + 2 : at + 2 + signed[at]], signed[at + 1]
            if prefix > 8 * len(network):
                raise InvalidHeartbeatError("malformed")
            subnets.append((network, prefix))
            at += 2 + signed[at]
        claims: dict[bytes, Claim] = {}
        for _ in range(n_claims):
            address, at = _sized(signed, at)
            standing, epoch = _CLAIM.unpack_from(signed, at)
            claims[address] = Claim(standing=standing, epoch=epoch)
            at += _CLAIM.size
        station = Station(node.decode(), interface.decode())
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise InvalidHeartbeatError("malformed") from error
    return Heartbeat(
        station=station, mac=mac, session=session, sequence=sequence, dead_interval_ms=dead_interval, heard=heard,
        rounds=rounds, subnets=tuple(subnets), chunk=chunk, claims=claims, leaving=bool(flags & _LEAVING),
        receives=bool(flags & _RECEIVES), relayed=bool(mark),
    )  # fmt: skip


def _sized(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the bytes behind their length, and where they end."""
    end = at + 1 + data[at]
    return data[at + 1 : end], end


def _tag(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, "sha256")[:_TAG_BYTES]
