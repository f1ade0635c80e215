"""Encode and decode heartbeats: authenticated messages between speakers, protected against replay.

A message carries the sender's identity and one chunk of its claims. A claim stays in its chunk, so that a change
touches one chunk. Changed chunks are sent immediately, all of them when a new peer appears; otherwise round-robin. A
message is valid if its HMAC-SHA256 with the shared Secret is correct and its (boot, sequence) is higher than that of
every earlier message of the node.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from lbproof_reference.speaker.elect import Claim

if TYPE_CHECKING:
    from collections.abc import Mapping

CHUNK = 48
"""Claims per message: a message with as many IPv6 addresses and the longest names fits 1,500 bytes."""

_MAGIC = b"LBP2"
_HEAD = struct.Struct("!4s8sBHQQHB")  # magic, cluster, leaving, dead interval ms, boot, sequence, chunk, claims
_CLAIM = struct.Struct("!HI")  # standing, epoch
_MAC_BYTES = 32


class InvalidHeartbeatError(ValueError):
    """Malformed or unauthenticated heartbeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Heartbeat message of a speaker."""

    node: str
    interface: str
    boot: int
    """Start time of the speaker in nanoseconds since 1970; a later boot supersedes an earlier one."""
    sequence: int
    dead_interval_ms: int
    """Dead interval: time without a message after which the sender is dead."""
    chunk: int
    claims: Mapping[bytes, Claim]
    """All claims in this chunk."""
    leaving: bool = False


class Chunks:
    """Claims of a speaker in chunks that fit a frame; there is at least one, which may be empty."""

    def __init__(self) -> None:
        """Start without claims."""
        self._pieces: list[dict[bytes, Claim]] = [{}]
        self._piece_of: dict[bytes, int] = {}
        self._roomy = [0]

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(self._pieces)

    def __getitem__(self, number: int) -> dict[bytes, Claim]:
        """Return the claims of a chunk. Raises IndexError."""
        return self._pieces[number].copy()

    def put(self, address: bytes, claim: Claim) -> int:
        """Add or change a claim. Return the number of its chunk."""
        number = self._piece_of.get(address)
        if number is None:
            if not self._roomy:
                self._roomy.append(len(self._pieces))
                self._pieces.append({})
            number = self._piece_of[address] = self._roomy[-1]
            if len(self._pieces[number]) == CHUNK - 1:
                self._roomy.pop()
        self._pieces[number][address] = claim
        return number

    def drop(self, address: bytes) -> int:
        """Remove a claim. Return the number of its chunk. Raises KeyError if the address is not claimed."""
        number = self._piece_of.pop(address)
        if len(self._pieces[number]) == CHUNK:
            self._roomy.append(number)
        del self._pieces[number][address]
        return number


@lru_cache
def cluster_of(secret: bytes) -> bytes:
    """Return eight bytes that distinguish clusters on one segment."""
    return sha256(b"lbproof cluster" + secret).digest()[:8]


def encode(heartbeat: Heartbeat, secret: bytes) -> bytes:
    """Encode a message; the signature is last."""
    parts = [
        _HEAD.pack(
            _MAGIC, cluster_of(secret), heartbeat.leaving, heartbeat.dead_interval_ms, heartbeat.boot,
            heartbeat.sequence, heartbeat.chunk, len(heartbeat.claims),
        )
    ]  # fmt: skip
    for text in (heartbeat.node, heartbeat.interface):
        raw = text.encode()
        parts += [bytes([len(raw)]), raw]
    for address, claim in heartbeat.claims.items():
        parts += [bytes([len(address)]), address, _CLAIM.pack(claim.standing, claim.epoch)]
    body = b"".join(parts)
    return body + hmac.digest(secret, body, "sha256")


def decode(data: bytes, secret: bytes) -> Heartbeat:
    """Decode a message; trailing bytes (Ethernet padding) are ignored. Raises InvalidHeartbeatError."""
    if len(data) < _HEAD.size:
        raise InvalidHeartbeatError("too short")
    magic, cluster, leaving, dead_interval, boot, sequence, chunk, count = _HEAD.unpack_from(data)
    if magic != _MAGIC or not hmac.compare_digest(cluster, cluster_of(secret)):
        raise InvalidHeartbeatError("another cluster")
    try:
        node, at = _text(data, _HEAD.size)
        interface, at = _text(data, at)
        claims: dict[bytes, Claim] = {}
        for _ in range(count):
            end = at + 1 + data[at]
            standing, epoch = _CLAIM.unpack_from(data, end)
            claims[data[at + 1 : end]] = Claim(standing=standing, epoch=epoch)
            at = end + _CLAIM.size
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise InvalidHeartbeatError("truncated") from error
    if not hmac.compare_digest(hmac.digest(secret, data[:at], "sha256"), data[at : at + _MAC_BYTES]):
        raise InvalidHeartbeatError("signed with another Secret")
    return Heartbeat(
        node=node, interface=interface, boot=boot, sequence=sequence, dead_interval_ms=dead_interval, chunk=chunk,
        claims=claims, leaving=bool(leaving),
    )  # fmt: skip


def is_news(heartbeat: Heartbeat, last: tuple[int, int] | None) -> bool:
    """Whether a message is later than the last (boot, sequence) of its node."""
    return last is None or (heartbeat.boot, heartbeat.sequence) > last


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + data[at]
    return data[at + 1 : end].decode(), end
