"""Keys of the heartbeats: those in the Secret, and for a while those that it had before.

The Secret's `key` signs and is accepted, and so is its optional `previous-key`. A key that was replaced signs (while
there is room) and is accepted for `GRACE_SECONDS` more, because the kubelets update their nodes' copies one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pathlib import Path

GRACE_SECONDS = 300.0
SHORTEST = 16
"""Bytes of a key."""

log = structlog.get_logger()


class Keyring:
    """Keys of one speaker; time (monotonic, s) is an argument."""

    def __init__(self) -> None:
        """Start without a key."""
        self._given: tuple[bytes, ...] = ()
        self._current: tuple[bytes, ...] = ()
        self._retired: dict[bytes, float] = {}

    def update(self, key: bytes, previous: bytes, now: float) -> None:
        """Use these contents of the Secret (empty: absent); a key that is too short is logged and not used."""
        if (key, previous) == self._given:
            return
        self._given = (key, previous)
        for name, value in (("key", key), ("previous-key", previous)):
            if 0 < len(value) < SHORTEST:
                log.error("heartbeat key too short: not used", name=name, bytes=len(value), at_least=SHORTEST)
        if len(key) < SHORTEST:
            return
        current = tuple(value for value in (key, previous) if len(value) >= SHORTEST)
        self._retired = {old: until for old, until in self._retired.items() if until > now}
        self._retired |= {old: now + GRACE_SECONDS for old in self._current if old not in current}
        self._current = current

    def keys(self, now: float) -> tuple[bytes, ...]:
        """Return the keys to accept; the first two sign. Empty until there is one."""
        retired = [key for key, until in reversed(self._retired.items()) if until > now]
        return tuple(dict.fromkeys((*self._current, *retired)))


def read_keys(file: Path) -> tuple[bytes, bytes]:
    """Return the contents of the key's file and of `previous-key` beside it; empty: absent."""
    return _read(file), _read(file.with_name("previous-key"))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""
