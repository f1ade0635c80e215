"""Contrast of a page's colours (WCAG 2.2, 1.4.3 and its definition of relative luminance)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LEAST = 4.5
"""Least contrast of text."""


def colours(source: str) -> list[dict[str, str]]:
    """Return the variables with colours of a page's light and dark scheme."""
    return [
        dict(re.findall(r"--([a-z0-9-]+): ?(#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", source, re.DOTALL)[:2]
    ]


def poor(scheme: Mapping[str, str], pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Return the contrast of each pair of text and ground that has too little of it."""
    found = {pair: round(_contrast(scheme[pair[0]], scheme[pair[1]]), 2) for pair in pairs}
    return {pair: ratio for pair, ratio in found.items() if ratio < LEAST}


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
