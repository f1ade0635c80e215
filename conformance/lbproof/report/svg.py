"""Inline SVG pictures without scripts, fonts or external files, for screen and print.

Colours are CSS classes of the page, from a palette for colour-blind readers; the meaning of each colour is also
written as text. Every picture has a title and optionally a description in words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

WIDTH = 860
_NARROW = 5.6
"""Approximate width of a letter of a label, in units."""
_CLOSE = 0.4
"""Units below which two points of a line cannot be distinguished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Linear or logarithmic mapping of values to units of a picture; `low` > 0 on a logarithmic scale."""

    low: float
    high: float
    begin: float
    """Unit of `low`."""
    end: float
    """Unit of `high`."""
    log: bool
    unit: float = 1.0
    """Ticks are round multiples of this value, such as 2**20 for bytes."""

    def at(self, value: float) -> float:
        """Return the position of a value in units; values outside the scale are clipped."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def ticks(self, most: int = 8) -> list[float]:
        """Return round values for ticks, about `most` at the maximum."""
        return (
            self._decades(most)
            if self.log
            else [self.unit * at for at in _steps(self.low / self.unit, self.high / self.unit, most)]
        )

    def _decades(self, most: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for digits in ((1, 2, 5), (1, 3), (1,)):
            found = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
            inside = [value for value in found if self.low * 0.999 <= value <= self.high * 1.001]
            if len(inside) <= most:
                return inside
        return inside[:: math.ceil(len(inside) / most)]


def linear(values: Iterable[float], begin: float, end: float, *, unit: float = 1.0) -> Scale:
    """Return a linear scale that includes 0 and all finite values."""
    found = [0.0, *(value for value in values if math.isfinite(value))]
    low, high = min(found), max(found)
    return Scale(low=low, high=high if high > low else low + unit, begin=begin, end=end, log=False, unit=unit)


def logarithmic(values: Iterable[float], begin: float, end: float) -> Scale:
    """Return a logarithmic scale that includes all finite values above 0, with a margin at both ends."""
    found = [value for value in values if math.isfinite(value) and value > 0] or [0.1, 1.0]
    low, high = min(found) / 1.25, max(found) * 1.25
    middle = math.sqrt(low * high)
    return Scale(low=min(low, middle / 2), high=max(high, middle * 2), begin=begin, end=end, log=True)


def _steps(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


class Picture:
    """Elements of one SVG, in drawing order."""

    def __init__(self, height: float, title: str, description: str = "", *, width: int = WIDTH, css: str = "") -> None:
        """Start an empty picture; `width` and `height` are in units, and `WIDTH` units fill the page."""
        self._width = width
        named = f' class="{css}"' if css else ""
        self._parts = [
            f'<svg{named} viewBox="0 0 {width} {number(height)}" role="img">',
            f"<title>{escape(title)}</title>" + (f"<desc>{escape(description)}</desc>" if description else ""),
        ]

    def rect(self, x: float, y: float, width: float, height: float, *, css: str, title: str = "") -> None:
        """Draw a rectangle with a minimum visible width; browsers show the title as a tooltip."""
        inside = f"<title>{escape(title)}</title></rect>" if title else ""
        size = f'width="{number(max(width, 0.6))}" height="{number(height)}"'
        self._parts.append(
            f'<rect class="{css}" x="{number(x)}" y="{number(y)}" {size}' + (f">{inside}" if inside else "/>")
        )

    def line(self, x: float, y: float, x2: float, y2: float, css: str) -> None:
        """Draw a straight line."""
        where = f'x1="{number(x)}" y1="{number(y)}" x2="{number(x2)}" y2="{number(y2)}"'
        self._parts.append(f'<line class="{css}" {where}/>')

    def text(self, x: float, y: float, words: str, css: str = "", anchor: str = "start") -> None:
        """Draw a label; `anchor` is `start`, `middle` or `end`."""
        where = f'x="{number(x)}" y="{number(y)}" text-anchor="{anchor}"'
        self._parts.append(f'<text class="{css}" {where}>{escape(words)}</text>')

    def circle(self, x: float, y: float, radius: float, css: str) -> None:
        """Draw a filled circle."""
        self._parts.append(f'<circle class="{css}" cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"/>')

    def dots(self, points: Iterable[tuple[float, float]], css: str) -> None:
        """Draw many dots as one path, which takes a fifth of the bytes of circles."""
        if path := "".join(f"M{number(x)} {number(y)}h0" for x, y in points):
            self._parts.append(f'<path class="dots {css}" d="{path}"/>')

    def path(self, points: Sequence[tuple[float, float]], css: str) -> None:
        """Draw a line through the points, without those that cannot be distinguished."""
        kept = thinned(points)
        if len(kept) > 1:
            self._parts.append(
                f'<path class="curve {css}" d="M{"L".join(f"{number(x)} {number(y)}" for x, y in kept)}"/>'
            )

    def across(self, scale: Scale, text: Callable[[float], str], top: float, bottom: float, most: int = 8) -> None:
        """Draw a horizontal axis: vertical grid lines with labels below."""
        for value in scale.ticks(most):
            x = scale.at(value)
            self.line(x, top, x, bottom, "grid")
            words = text(value)
            half = len(words) * _NARROW / 2
            anchor = "end" if x + half > self._width else "start" if x < half else "middle"
            self.text(x, bottom + 14, words, anchor=anchor)

    def upward(self, scale: Scale, text: Callable[[float], str], left: float, right: float, most: int = 6) -> None:
        """Draw a vertical axis: horizontal grid lines with labels on the left."""
        for value in scale.ticks(most):
            y = scale.at(value)
            self.line(left, y, right, y, "grid")
            self.text(left - 6, y + 4, text(value), anchor="end")

    def legend(self, names: Mapping[str, str], x: float, y: float, css: str = "key") -> None:
        """Draw a legend in a row; `names` maps each label to its CSS class."""
        for words, tone in names.items():
            self.line(x, y - 4, x + 18, y - 4, f"curve {css} {tone}")
            self.text(x + 23, y, words)
            x += 40 + len(words) * _NARROW

    def __str__(self) -> str:
        """Return the SVG element."""
        return "".join([*self._parts, "</svg>"])


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Remove points of a line that are too close to the last kept one to be visible."""
    kept = list(points[:1])
    for before, point in pairwise(points):
        if math.dist(kept[-1], point) >= _CLOSE:
            if before != kept[-1] and before[0] == kept[-1][0] != point[0]:
                kept.append(before)
            kept.append(point)
    if points and kept[-1] != points[-1]:
        kept.append(points[-1])
    return kept


def spread(labels: Sequence[tuple[float, str]], apart: float, low: float, high: float) -> list[tuple[float, str]]:
    """Move labels beside a picture so that none overlaps another; return them in the same order."""
    order = sorted(range(len(labels)), key=lambda at: labels[at][0])
    places = [0.0] * len(labels)
    last = low - apart
    for at in order:
        last = places[at] = max(labels[at][0], last + apart)
    limit = high
    for at in reversed(order):
        places[at] = min(places[at], limit)
        limit = places[at] - apart
    return [(place, words) for place, (_, words) in zip(places, labels, strict=True)]


def number(value: float) -> str:
    """Format a length with at most one decimal digit."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"
