"""Colours of arms, the same on every page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TONES: Mapping[str, int] = {
    "reference": 0,
    "metallb": 1,
    "keepalived": 2,
    "reference-fast": 3,
    "kernel": 5,
    "arm-a": 0,
    "arm-b": 1,
}
"""Arm → colour; the same on every page. Others take what is left over."""
_COLOURS = 8


def tones(arms: Iterable[str]) -> dict[str, str]:
    """Arm → CSS class of its colour, the same on every page for the arms that are known."""
    found: dict[str, str] = {}
    free = [number for number in range(_COLOURS) if number not in TONES.values()]
    for arm in dict.fromkeys(arms):
        number = TONES[arm] if arm in TONES else free.pop(0) if free else len(found) % _COLOURS
        found[arm] = f"arm{number}"
    return found
