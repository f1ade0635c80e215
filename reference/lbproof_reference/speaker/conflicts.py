"""Decide when to defend an address against a host that uses it too: RFC 5227 section 2.4 (c).

An address that a Service has is never given up. Each conflicting frame is followed by an announcement, at once or, to
prevent a storm, when DEFEND_INTERVAL has passed since the previous one. Pure: time is an argument.
"""

from __future__ import annotations

import math
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
        self._known: dict[bytes, tuple[float, float]] = {}  # last frame, and last or next announcement

    def defend(self, address: bytes, now: float) -> Defence:
        """Return what to do about a conflicting frame that was received at `now` (monotonic, s)."""
        seen, announced = self._known.pop(address, (-math.inf, -math.inf))
        begins = now - seen >= EPISODE_SECONDS
        if begins:
            self._known = {one: times for one, times in self._known.items() if now - times[0] < EPISODE_SECONDS}
        due = announced <= now
        if due:
            announced = max(now, announced + DEFEND_INTERVAL)
        self._known[address] = now, announced
        return Defence(announced - now if due else None, begins)
