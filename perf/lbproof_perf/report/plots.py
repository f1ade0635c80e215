"""The plots of the report: every raw value as a dot, percentiles to p99.99, shares over time, slopes, parts of a whole.

Each takes plain numbers and gives one SVG element. Infinite values did not come about: they stand at the right edge,
and are counted in words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lbproof.report.svg import WIDTH, Picture, Scale, linear, logarithmic, spread
from lbproof_perf.report.formatting import seconds_text, unit_of, value_text
from lbproof_perf.stats import quantiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof_perf.stats.quantiles import Interval

_LEFT, _RIGHT = 128, 14
_LABELLED = 118
"""Room at the right for the name of a curve."""
_MOST_DOTS = 1500
"""Dots of a lane: of more, an even part is shown, and the picture's words say so."""
_HALF = 430
"""Width of a picture that two of stand side by side."""
_FLAT = 1e-3
"""Share of the value at 0 below which a slope is none to a reader."""
_WIDE, _WIDER = 5.0, 200.0
"""From this ratio of largest to smallest on, a linear scale hides the small ones; the second where there are zeros,
which a log scale has no place for.
"""
PARTS = ("detect", "announce", "learn", "answer")
"""The parts of an outage, in the order in which they follow each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The values of one arm."""

    name: str
    tone: str
    """CSS class of its colour."""
    values: Sequence[float]
    """Seconds, or what the figure counts; infinite where it did not come about."""
    middle: Interval | None = None
    """The median with its interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of points."""

    name: str
    tone: str
    points: Sequence[tuple[float, float]]


def strips(lanes: Sequence[Lane], *, name: str, title: str) -> str:
    """Every value as a dot, a lane an arm, with the median and its interval. `name` is the figure's, for its unit."""
    step, top = 38, 8
    bottom = top + step * len(lanes)
    every = [value for lane in lanes for value in lane.values]
    left = max(_LEFT, 14 + 6.6 * max(len(lane.name) for lane in lanes))
    scale = _scale(every, left, WIDTH - 96)
    told = [f"{lane.name}: {_describe_lane(lane, name)}" for lane in lanes]
    picture = Picture(bottom + 22, title, "; ".join(told))
    picture.across(scale, lambda value: value_text(value, name), top, bottom)
    for number, lane in enumerate(lanes):
        base = top + step * number + step / 2
        ended = [value for value in lane.values if math.isfinite(value)]
        lost = len(lane.values) - len(ended)
        shown = ended[:: max(1, math.ceil(len(ended) / _MOST_DOTS))]
        picture.text(left - 10, base + 4, lane.name, "name", "end")
        picture.dots(
            ((scale.at(value), base + (at * 7 % 11 - 5) * 2.0) for at, value in enumerate(shown)), f"{lane.tone} raw"
        )
        if lane.middle is not None and math.isfinite(lane.middle.value):
            low, value, high = (scale.at(one) for one in (lane.middle.low, lane.middle.value, lane.middle.high))
            picture.line(low, base, high, base, "interval")
            picture.line(value, base - 14, value, base + 14, "median")
        if lost:
            picture.text(WIDTH - 4, base + 4, f"{lost} never", "never", "end")
    return str(picture)


def percentiles(lines: Sequence[Line], *, name: str, title: str) -> str:
    """Value against percentile, both on log scales: x is the log of 1 / (1 - p), to p99.99.

    `lines` have points `(1 / (1 - p), value)` as `percentile_points` and `histogram_points` give them. A curve ends at
    the percentile that its count of values can tell: 100 values know nothing about p99.9.
    """
    top, bottom, right = 10, 292, WIDTH - _LABELLED
    x = Scale(low=1.0, high=10_000.0, begin=66, end=right, log=True)
    y = logarithmic((value for line in lines for _, value in line.points), bottom, top)
    picture = Picture(bottom + 22, title, "; ".join(_describe_percentiles(line, name) for line in lines))
    for share, words in ((1, "p0"), (2, "p50"), (10, "p90"), (100, "p99"), (1000, "p99.9"), (10_000, "p99.99")):
        picture.line(x.at(share), top, x.at(share), bottom, "grid")
        picture.text(x.at(share), bottom + 14, words, anchor="middle")
    picture.upward(y, lambda value: value_text(value, name), 66, right)
    ends = []
    for line in lines:
        drawn = [(x.at(turns), y.at(value)) for turns, value in line.points if math.isfinite(value)]
        picture.path(drawn, line.tone)
        ends.append((drawn[-1] if drawn else (x.begin, top), line))
    _name_curves(picture, ends, right, top, bottom)
    return str(picture)


def percentile_points(values: Sequence[float]) -> list[tuple[float, float]]:
    """`(1 / (1 - p), value)` of each value in order: the k-th of n is not exceeded by a share k / n.

    The last is put at n, as far as n values can tell.
    """
    ordered = np.sort(quantiles.array(values))
    count = len(ordered)
    return [(count / max(count - rank, 1), float(value)) for rank, value in enumerate(ordered, start=1)]


def histogram_points(bounds: Sequence[float], counts: Sequence[float]) -> list[tuple[float, float]]:
    """The same of a histogram: `counts` of values that do not exceed the upper `bounds`, a point a bucket in use."""
    done = np.cumsum(np.asarray(counts, dtype=np.float64))
    if not done.size or not done[-1]:
        return []
    rest = np.maximum(done[-1] - done, 1)
    used = np.asarray(counts) > 0
    return [
        (float(done[-1] / left), float(bound)) for bound, left in zip(np.asarray(bounds)[used], rest[used], strict=True)
    ]


def shares(lanes: Sequence[Lane], *, name: str, title: str) -> str:
    """Which share was done within how long: a step up for each value. Those that never came keep a curve below 1.

    Lanes of one name share a place in the legend: their tones differ in the line's style.
    """
    top, bottom, right = 26, 256, WIDTH - 30
    every = [value for lane in lanes for value in lane.values]
    x = _scale(every, 66, right)
    y = Scale(low=0.0, high=1.0, begin=bottom, end=top, log=False)
    picture = Picture(bottom + 22, title, "; ".join(f"{lane.name}: {_describe_lane(lane, name)}" for lane in lanes))
    picture.legend({lane.name: lane.tone.split()[0] for lane in reversed(lanes)}, 66, 12)
    picture.across(x, lambda value: value_text(value, name), top, bottom)
    picture.upward(y, lambda value: f"{value:.0%}", 66, right, 5)
    for lane in lanes:
        ordered = sorted(value for value in lane.values if math.isfinite(value))
        points = [(x.begin, y.begin)]
        for rank, value in enumerate(ordered, start=1):
            points += [(x.at(value), points[-1][1]), (x.at(value), y.at(rank / len(lane.values)))]
        points.append((right, points[-1][1]))
        picture.path(points, lane.tone)
    return str(picture)


def slopes(lines: Sequence[Line], *, across: str, per: float, name: str, title: str) -> str:
    """What a figure does as something grows: the points, the straight line through them, and how well it fits.

    `per` is how many more a slope is told for: 1,000 Services, one node. Half as wide as the page.
    """
    width, lines = _HALF, [line for line in lines if line.points]
    top, right = 14 + 15 * len(lines), _HALF - 14
    bottom = top + 150
    x = linear((at for line in lines for at, _ in line.points), 58, right)
    y = linear((value for line in lines for _, value in line.points), bottom, top, unit=_step_of(name))
    told = [f"{line.name}: {slope_text(line.points, per, name)}" for line in lines]
    picture = Picture(bottom + 34, title, "; ".join(told), width=width)
    picture.across(x, lambda value: f"{value:,.0f}", top, bottom, 5)
    picture.text((58 + right) / 2, bottom + 29, across, anchor="middle")
    picture.upward(y, lambda value: value_text(value, name), 58, right, 4)
    for number, (line, words) in enumerate(zip(lines, told, strict=True)):
        picture.dots([(64, 8 + 15 * number)], f"{line.tone} big")
        picture.text(72, 12 + 15 * number, words, "name")
        if (fit := fitted(line.points)) is not None:
            rise, base, _ = fit
            picture.path([(x.at(at), y.at(base + rise * at)) for at in (x.low, x.high)], f"{line.tone} fit")
        picture.dots(((x.at(at), y.at(value)) for at, value in line.points if math.isfinite(value)), f"{line.tone} big")
    return str(picture)


def fitted(points: Sequence[tuple[float, float]]) -> tuple[float, float, float] | None:
    """Slope, value at 0 and R² of the finite points; None where they are at fewer than two places."""
    ended = [(at, value) for at, value in points if math.isfinite(value)]
    if len({at for at, _ in ended}) < 2:  # noqa: PLR2004 - a line takes two points
        return None
    return quantiles.slope(*zip(*ended, strict=True))


def slope_text(points: Sequence[tuple[float, float]], per: float, name: str) -> str:
    """A slope for a reader: `+8.6 MiB per 1,000, R² 0.998`, or `flat` where nothing grows that can be seen.

    Any line fits two points: how well it fits is said of three places or more.
    """
    fit = fitted(points)
    if fit is None:
        return "too few points for a slope"
    rise, base, square = fit
    reach = max(at for at, _ in points)
    if abs(rise * reach) < _FLAT * abs(base):
        return "flat"
    text = value_text(float(f"{abs(rise) * per:.3g}"), name)
    places = len({at for at, value in points if math.isfinite(value)})
    fits = f"R² {square:.3f}" if places > 2 else "two points"  # noqa: PLR2004 - a line takes two points
    return f"{'+' if rise >= 0 else '-'}{text} {f'per {per:,.0f}' if per > 1 else 'each'}, {fits}"


def _step_of(name: str) -> float:
    return 2.0**20 if unit_of(name) == "bytes" else 1.0


def parts(rows: Sequence[tuple[str, Sequence[float]]], *, title: str) -> str:
    """What outages are made of: a bar an arm, as wide as the whole is for every arm, split in its four parts."""
    step, top = 30, 22
    picture = Picture(
        top + step * len(rows),
        title,
        "; ".join(
            f"{arm}: " + ", ".join(f"{part} {seconds_text(value)}" for part, value in zip(PARTS, values, strict=True))
            for arm, values in rows
        ),
    )
    picture.legend({part: f"part{number}" for number, part in enumerate(PARTS)}, _LEFT, 12, "thick")
    room = WIDTH - _LEFT - 80
    for number, (arm, values) in enumerate(rows):
        base, x, whole = top + step * number, float(_LEFT), sum(values)
        picture.text(_LEFT - 10, base + 15, arm, "name", "end")
        for part, value in enumerate(values):
            width = value / whole * room if whole else 0.0
            told = seconds_text(value)
            if width:
                picture.rect(x, base + 2, width - 1, 18, css=f"part{part}", title=f"{PARTS[part]} {told}")
            if width > len(told) * 7:
                picture.text(x + width / 2, base + 15, told, "on", "middle")
            x += width
        picture.text(WIDTH - 4, base + 15, seconds_text(whole), "name", "end")
    return str(picture)


def _scale(values: Sequence[float], begin: float, end: float) -> Scale:
    """Linear from 0 where all values can be told apart on it, else logarithmic."""
    ended = [value for value in values if math.isfinite(value)]
    above = [value for value in ended if value > 0]
    if not above or min(ended) < 0 or max(above) / min(above) < (_WIDE if len(above) == len(ended) else _WIDER):
        return linear(ended, begin, end)
    return logarithmic(above, begin, end)


def _name_curves(
    picture: Picture, ends: Sequence[tuple[tuple[float, float], Lane | Line]], right: float, top: float, bottom: float
) -> None:
    """The name of each curve beside its end, in its colour; no name covers another."""
    places = spread([(y + 4, curve.name) for (_, y), curve in ends], 15, top + 6, bottom + 4)
    for ((x, y), curve), (place, words) in zip(ends, places, strict=True):
        picture.line(x, y, right + 6, place - 4, f"leader {curve.tone}")
        picture.text(right + 10, place, words, f"name ink-{curve.tone}")


def _describe_lane(lane: Lane, name: str) -> str:
    if not lane.values:
        return "no values"
    middle, most = (value_text(quantiles.quantile(lane.values, q), name) for q in (0.5, 1))
    median = f"median {middle}, " if quantiles.enough(len(lane.values), 0.5) else ""
    return f"{median}at most {most}, {len(lane.values)} values"


def _describe_percentiles(line: Line, name: str) -> str:
    """Where a curve passes the percentiles that it reaches."""
    told = []
    for turns, words in ((2, "p50"), (10, "p90"), (100, "p99"), (1000, "p99.9"), (10_000, "p99.99")):
        value = next((value for at, value in line.points if at >= turns), None)
        if value is not None:
            told.append(f"{words} {value_text(value, name)}")
    return f"{line.name}: {', '.join(told) or 'no values'}"
