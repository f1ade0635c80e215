"""Decide when to defend an address against a host that uses it too: RFC 5227 section 2.4 (c).

An address that a Service has is never given up. Each conflicting frame is followed by an announcement, at once or, to
prevent a storm, when DEFEND_INTERVAL has passed since the previous one. Pure: time is an argument.
"""

from __future__ import annotations

from typing import NamedTuple

DEFEND_INTERVAL = 10.0
"""Shortest time (s) between two announcements in defence of an address (RFC 5227 section 1.1)."""
EPISODE_SECONDS = 300.0
"""Time (s) without a conflicting frame after which a conflict has ended."""


class Defence(NamedTuple):
    """What to do about a conflicting frame."""

    delay: float | None
    """Seconds until the address must be announced; None if an announcement is due already."""
    begins: bool
    """Whether this is the first frame of a conflict, to be reported."""


class Conflicts:
    """Conflicts about the addresses of one segment."""

    def __init__(self) -> None:
        """Start without conflicts."""
        self._announced: dict[bytes, float] = {}  # when last in defence, or when next
        self._seen: dict[bytes, float] = {}

    def defend(self, address: bytes, now: float) -> Defence:
        """Return what to do about a conflicting frame that was received at `now` (monotonic, s)."""
        begins = now - self._seen.get(address, -EPISODE_SECONDS) >= EPISODE_SECONDS
        self._seen[address] = now
        previous = self._announced.get(address, now - DEFEND_INTERVAL)
        if previous > now:
            return Defence(None, begins)
        self._announced[address] = max(now, previous + DEFEND_INTERVAL)
        return Defence(self._announced[address] - now, begins)
