"""Pictures of the report as SVG; each has a title that describes it in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lbproof.report.svg import WIDTH, Picture, Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

_MARGIN = 8
_TICKS = 6
_MOST_MARKS = 1500
"""Maximum number of answered requests in a picture; more are thinned out evenly, unanswered ones never."""
_TOP, _BASE, _HEIGHT = 22, 92, 128


def _axis(picture: Picture, scale: Scale, zero: float) -> None:
    """Draw a time axis in seconds since `zero`."""
    length = scale.high - scale.low
    step = next(s for s in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 1e9) if length / s <= _TICKS + 2)
    first = int((scale.low - zero) / step) - 1
    for number in range(first, first + _TICKS + 5):
        at = zero + number * step
        if scale.low <= at <= scale.high:
            x = scale.at(at)
            anchor = "start" if x < 24 else "end" if x > WIDTH - 24 else "middle"  # noqa: PLR2004 - room for a label
            picture.line(x, 14, x, _BASE + 8, "grid")
            picture.text(x, _BASE + 22, f"{number * step:+g} s", "tick", anchor)


def timeline(event: dict[str, Any], faults: list[dict[str, Any]]) -> str:
    """Draw a client's requests over time: answered ones by latency, unanswered ones below, with faults and outages."""
    samples = event["samples"]
    if not samples:
        return ""
    asked = samples[0][0], samples[-1][0]
    spans = [span for span in fault_spans(faults, asked[1]) if span[1] > asked[0] and span[0] < asked[1]]
    outages = event["outages"]
    begin, end = _window(samples, spans, outages)
    scale = Scale(low=begin, high=end, begin=_MARGIN, end=WIDTH - _MARGIN, log=False)
    picture = Picture(_HEIGHT, _told(event, spans, outages), css="timeline")
    for since, until, name in spans:
        x = scale.at(since)
        picture.rect(x, 14, max(scale.at(until) - x, 1.5), _BASE - 6, css="fault")
        picture.text(x + 4, 11, name, "faultname")
    _axis(picture, scale, spans[0][0] if spans else begin)
    _requests(picture, scale, [sample for sample in samples if begin <= sample[0] <= end])
    for since, until in outages:
        if until < begin or since > end:
            continue
        x, x2 = scale.at(since), scale.at(until)
        picture.line(x, _BASE + 1, max(x2, x + 1.5), _BASE + 1, "outage")
        if until - since >= 0.05:  # noqa: PLR2004 - seconds; shorter ones have no room for a name
            middle = min(max((x + x2) / 2, 40), WIDTH - 40)
            picture.text(middle, _BASE - 10, _span(until - since), "outagename")
    return str(picture)


def _requests(picture: Picture, scale: Scale, shown: Sequence[Any]) -> None:
    every = max(1, len(shown) // _MOST_MARKS)
    for number, (t, took, _who) in enumerate(shown):
        x = scale.at(t)
        if took is None:
            picture.line(x, _BASE - 4, x, _BASE + 6, "lost")
        elif number % every == 0:
            y = _BASE - 8 - min(1.0, (took / 0.25) ** 0.5) * (_BASE - _TOP - 14)
            picture.circle(x, y, 1.6, "answer")


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
    """Return the time range to show: around the faults and outages."""
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
    """Draw the stages of a run as a bar, with widths in proportion to their durations; the page names them below it."""
    total = sum(seconds for _, seconds in rows) or 1
    picture, x = Picture(16, "Stages of the run", css="stages"), 0.0
    for number, (_, seconds) in enumerate(rows):
        width = seconds / total * WIDTH
        picture.rect(x, 0, width - 1, 16, css=f"stage{number % 4}")
        x += width
    return str(picture)


def budget(took: float, within: float, ceiling: float) -> str:
    """Draw a measured time, its budget and the ceiling; the square-root scale keeps short times visible."""

    def x(seconds: float) -> float:
        return min(1.0, math.sqrt(max(seconds, 0) / ceiling)) * 120

    picture = Picture(10, f"{took:.3g} s of {within:g} s, at most {ceiling:g} s", width=124, css="budget")
    picture.rect(0, 3, 120, 4, css="track")
    picture.rect(0, 3, x(took), 4, css="took" if took <= within else "over")
    picture.line(x(within), 0, x(within), 10, "within")
    return str(picture)
