"""The report's pictures as inline SVG: no script, no font, no file beside it; they print and follow light and dark.

Colours are CSS classes of the page. Every picture has a title that says in words what it shows.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH = 860
_LEFT, _RIGHT = 8, 8
_TICKS = 6
_MOST_MARKS = 1500
"""Marks in a picture: more of them are thinned out evenly, outages never."""


def _scale(begin: float, end: float) -> tuple[float, float]:
    """Factor and offset from seconds to the picture's units."""
    factor = (WIDTH - _LEFT - _RIGHT) / max(end - begin, 1e-9)
    return factor, _LEFT - begin * factor


def _axis(begin: float, end: float, zero: float, y: float) -> Iterable[str]:
    """Marks of time below a picture, in seconds since `zero`."""
    factor, offset = _scale(begin, end)
    step = next(s for s in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 1e9) if (end - begin) / s <= _TICKS + 2)
    first = int((begin - zero) / step) - 1
    for number in range(first, first + _TICKS + 5):
        at = zero + number * step
        if begin <= at <= end:
            x = at * factor + offset
            anchor = "start" if x < 24 else "end" if x > WIDTH - 24 else "middle"  # noqa: PLR2004 - room for a label
            yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="14" y2="{y}"/>'
            yield f'<text class="tick" x="{x:.1f}" y="{y + 14}" text-anchor="{anchor}">{number * step:+g} s</text>'


def timeline(event: dict[str, Any], faults: list[dict[str, Any]]) -> str:
    """A client's requests over time: answered ones by latency, unanswered ones below, faults shaded, outages named."""
    samples = event["samples"]
    if not samples:
        return ""
    asked = samples[0][0], samples[-1][0]
    spans = [span for span in fault_spans(faults, asked[1]) if span[1] > asked[0] and span[0] < asked[1]]
    outages = event["outages"]
    begin, end = _window(samples, spans, outages)
    shown = [s for s in samples if begin <= s[0] <= end]
    factor, offset = _scale(begin, end)
    zero = spans[0][0] if spans else begin
    top, base, height = 22, 92, 128
    parts = [f'<svg class="timeline" viewBox="0 0 {WIDTH} {height}" role="img">']
    parts.append(f"<title>{escape(_told(event, spans, outages))}</title>")
    for since, until, name in spans:
        x, x2 = max(since, begin) * factor + offset, min(until, end) * factor + offset
        parts.append(f'<rect class="fault" x="{x:.1f}" y="14" width="{max(x2 - x, 1.5):.1f}" height="{base - 6}"/>')
        parts.append(f'<text class="faultname" x="{x + 4:.1f}" y="11">{escape(name)}</text>')
    parts += _axis(begin, end, zero, base + 8)
    every = max(1, len(shown) // _MOST_MARKS)
    for number, (t, took, _who) in enumerate(shown):
        x = t * factor + offset
        if took is None:
            parts.append(f'<line class="lost" x1="{x:.1f}" x2="{x:.1f}" y1="{base - 4}" y2="{base + 6}"/>')
        elif number % every == 0:
            y = base - 8 - min(1.0, (took / 0.25) ** 0.5) * (base - top - 14)
            parts.append(f'<circle class="answer" cx="{x:.1f}" cy="{y:.1f}" r="1.6"/>')
    for since, until in outages:
        if until < begin or since > end:
            continue
        x, x2 = since * factor + offset, min(until, end) * factor + offset
        parts.append(f'<line class="outage" x1="{x:.1f}" x2="{max(x2, x + 1.5):.1f}" y1="{base + 1}" y2="{base + 1}"/>')
        if until - since >= 0.05:  # noqa: PLR2004 - seconds; shorter ones have no room for a name
            middle = min(max((x + x2) / 2, 40), WIDTH - 40)
            parts.append(f'<text class="outagename" x="{middle:.1f}" y="{base - 10}">{_span(until - since)}</text>')
    parts.append("</svg>")
    return "".join(parts)


def fault_spans(faults: list[dict[str, Any]], end: float) -> list[tuple[float, float, str]]:
    """`(from, to, name)` of each fault; one that was not undone lasts until `end`."""
    spans, open_ = [], {}
    for fault in faults:
        key = f"{fault['kind']} of {fault['target']}"
        if fault["phase"] == "begin":
            open_[key] = fault["t"]
        elif key in open_:
            spans.append((open_.pop(key), fault["t"], key))
    return sorted([*spans, *((since, end, key) for key, since in open_.items())])


def _window(samples: list[Any], spans: list[Any], outages: list[Any]) -> tuple[float, float]:
    """What is worth showing: around the faults and outages, not the minutes of calm beside them."""
    begin, end = samples[0][0], samples[-1][0]
    marks = [edge for since, until, *_ in (*spans, *outages) for edge in (since, until) if begin <= edge <= end]
    if marks:
        margin = max(0.4, (max(marks) - min(marks)) * 0.15)
        begin, end = max(begin, min(marks) - margin), min(end, max(marks) + margin)
    return begin, max(end, begin + 0.1)


def _span(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _told(event: dict[str, Any], spans: list[Any], outages: list[Any]) -> str:
    lost = ", ".join(_span(until - since) for since, until in outages) or "none"
    faults = "1 fault" if len(spans) == 1 else f"{len(spans)} faults"
    return f"{event['title']}: {len(event['samples'])} requests, {faults}, outages {lost}"


def stages(rows: list[tuple[str, float]]) -> str:
    """The parts of a run, one after the other, as wide as they were long."""
    total = sum(seconds for _, seconds in rows) or 1
    parts, x = [f'<svg class="stages" viewBox="0 0 {WIDTH} 34" role="img"><title>Stages of the run</title>'], 0.0
    for number, (name, seconds) in enumerate(rows):
        width = seconds / total * WIDTH
        parts.append(
            f'<rect class="stage{number % 4}" x="{x:.1f}" y="0" width="{max(width - 1, 0.5):.1f}" height="16"/>'
        )
        if width > 60:  # noqa: PLR2004 - room for a name
            parts.append(f'<text class="tick" x="{x + 2:.1f}" y="29">{escape(name)} {seconds:.1f} s</text>')
        x += width
    return "".join([*parts, "</svg>"])


def budget(took: float, within: float, ceiling: float) -> str:
    """A time against its budget: a bar in the budget's width, on a square-root scale so that short ones are seen."""

    def x(seconds: float) -> float:
        return min(1.0, math.sqrt(max(seconds, 0) / ceiling)) * 120

    title = f"{took:.3g} s of {within:g} s, at most {ceiling:g} s"
    return (
        f'<svg class="budget" viewBox="0 0 124 10" role="img"><title>{title}</title>'
        f'<rect class="track" x="0" y="3" width="120" height="4"/>'
        f'<rect class="{"took" if took <= within else "over"}" x="0" y="3" width="{x(took):.1f}" height="4"/>'
        f'<line class="within" x1="{x(within):.1f}" x2="{x(within):.1f}" y1="0" y2="10"/></svg>'
    )
