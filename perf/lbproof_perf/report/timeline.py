"""One outage over time, from the arrays of its trial: the fault shaded, who answers ARP, what was lost, and its parts.

The number of columns is fixed, however long the outage was. A column shows the worst of its probes, so that a single
lost probe stays visible.
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from lbproof.report.svg import WIDTH, Picture, Scale
from lbproof_perf.report import formatting
from lbproof_perf.report.plots import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from lbproof_perf.results import Trial

_LEFT, _TOP, _STEP, _TALL = 128, 20, 24, 15
_NOBODY, _SEVERAL, _NODES = 1000, 2000, 4
_UNDER_WAY = 0.002
"""Seconds before a fault from which on a lost probe is part of its outage: two of their periods."""
_CEILING = 60.0
"""Seconds after the fault that are shown at most."""


def outage(trial: Trial, arrays: Mapping[str, NDArray[Any]], case: str) -> str:
    """Draw it; empty for a trial without probes or moment of its fault. `case`: what was done, for a reader."""
    if not {"udp_due", "udp_answered", "fault_at"} <= arrays.keys() or not arrays["udp_due"].size:
        return ""
    fault = _begin(arrays)
    due = arrays["udp_due"] - fault
    lost = np.isnan(arrays["udp_answered"])
    scale = _window(trial, due, lost)
    census = "census_due" in arrays and arrays["census_due"].size > 0
    tcp = "tcp_due" in arrays and arrays["tcp_due"].size > 0
    bottom = _TOP + _STEP * (2 + census + tcp)
    picture = Picture(bottom + 42, f"{trial.id.arm}: {case}", _describe(trial, lost))
    end = trial.values.get("steady_seconds")
    until = scale.at(end or scale.high)
    picture.rect(scale.at(0), _TOP - 6, max(until - scale.at(0), 1.5), bottom - _TOP + 6, css="fault")
    bracket = trial.values.get("fault_bracket_seconds")
    within = "" if bracket is None else f" (within {formatting.seconds_text(bracket)})"
    picture.text(scale.at(0) + 3, _TOP - 9, f"fault: {case}{within}", "faultname")
    picture.across(scale, _moment, _TOP - 6, bottom)
    y = _TOP
    if census:
        _answerers(picture, scale, arrays, fault, y)
        y += _STEP
    _probes(picture, y, "UDP, each 1 ms", columns(scale, due, lost))
    if tcp:
        y += _STEP
        requests = columns(scale, arrays["tcp_due"] - fault, np.isnan(arrays["tcp_answered"]))
        _probes(picture, y, "HTTP, each 10 ms", requests)
    _split(picture, scale, trial, y + _STEP)
    _key(picture, bottom + 32, census=census)
    return str(picture)


def _begin(arrays: Mapping[str, NDArray[Any]]) -> float:
    """Return when the outage began, as `outage_probe.outage` does; the moment of the fault if only one was measured."""
    if "fault_before" not in arrays:
        return float(arrays["fault_at"].ravel()[0])
    earliest = float(arrays["fault_before"].ravel()[0])
    due = arrays["udp_due"]
    lost = due[np.isnan(arrays["udp_answered"]) & (due >= earliest - _UNDER_WAY)]
    return max(earliest, float(lost[0])) if lost.size and due[0] < earliest else earliest


def columns(scale: Scale, at: NDArray[Any], states: NDArray[Any]) -> list[tuple[float, float, int]]:
    """Runs of one state: `(from, to, state)` in the picture's units. Where several share a column, the highest wins."""
    inside = (at >= scale.low) & (at <= scale.high)
    units = np.floor((at[inside] - scale.low) / (scale.high - scale.low) * (scale.end - scale.begin) * 2).astype(int)
    if not units.size:
        return []
    whole = int((scale.end - scale.begin) * 2) if at.max() >= scale.high else int(units.max()) + 1
    worst = np.full(max(whole, int(units.max()) + 1), -1)
    np.maximum.at(worst, units, states[inside].astype(int))
    first = worst[worst >= 0][0]
    for empty in np.flatnonzero(worst < 0):
        worst[empty] = worst[empty - 1] if empty else first
    runs, begin = [], 0
    for state, same in groupby(worst.tolist()):
        end = begin + len(list(same))
        runs.append((scale.begin + begin / 2, scale.begin + end / 2, state))
        begin = end
    return runs


def _window(trial: Trial, due: NDArray[Any], lost: NDArray[Any]) -> Scale:
    """From a little before the fault until a little after all was well, or as far as probes were sent."""
    end = trial.values.get("steady_seconds") or trial.values.get("first_answer_seconds")
    if end is None:
        end = float(due[lost].max()) if lost.any() else 0.2
    low = max(float(due.min()), -max(0.02, end * 0.12))
    high = min(float(due.max()), max(0.08, end * 1.18), _CEILING)
    return Scale(low=low, high=max(high, low + 0.05), begin=_LEFT, end=WIDTH - 10, log=False)


def _answerers(picture: Picture, scale: Scale, arrays: Mapping[str, NDArray[Any]], fault: float, y: float) -> None:
    who = arrays["census_who"].astype(int)
    states = np.where(who < 0, _NOBODY, who % _NODES)
    if "census_count" in arrays:
        states = np.where(arrays["census_count"] > 1, _SEVERAL, states)
    picture.text(_LEFT - 10, y + 12, "ARP, who answers", "name", "end")
    for begin, end, state in columns(scale, arrays["census_due"] - fault, states):
        css = "nobody" if state == _NOBODY else "several" if state == _SEVERAL else f"node{state}"
        picture.rect(begin, y, end - begin, _TALL, css=css)


def _probes(picture: Picture, y: float, name: str, runs: list[tuple[float, float, int]]) -> None:
    picture.text(_LEFT - 10, y + 12, name, "name", "end")
    for begin, end, state in runs:
        if state:
            picture.rect(begin, y, end - begin, _TALL, css="lostprobe")
        else:
            picture.rect(begin, y + 5, end - begin, _TALL - 10, css="answered")


def _split(picture: Picture, scale: Scale, trial: Trial, y: float) -> None:
    picture.text(_LEFT - 10, y + 12, "its parts", "name", "end")
    at = 0.0
    for number, part in enumerate(PARTS):
        seconds = trial.values.get(f"{part}_seconds")
        if seconds is None or not math.isfinite(seconds) or seconds <= 0:
            continue
        begin, end = scale.at(at), scale.at(at + seconds)
        told = f"{part} {formatting.seconds_text(seconds)}"
        picture.rect(begin, y, end - begin, _TALL, css=f"part{number}", title=told)
        if end - begin > len(told) * 6:
            picture.text((begin + end) / 2, y + 11.5, told, "on", "middle")
        at += seconds


def _key(picture: Picture, y: float, *, census: bool) -> None:
    rows = {"answered": "answered", "lost": "lostprobe"}
    if census:
        rows |= {"one node": "node0", "another": "node1", "nobody": "nobody", "several at once": "several"}
    rows |= {part: f"part{number}" for number, part in enumerate(PARTS)}
    x = float(_LEFT)
    for words, css in rows.items():
        picture.rect(x, y - 8, 10, 8, css=css)
        picture.text(x + 14, y, words)
        x += 26 + len(words) * 6


def _moment(seconds: float) -> str:
    return "0" if abs(seconds) < 1e-9 else f"{'+' if seconds > 0 else '-'}{formatting.seconds_text(abs(seconds))}"  # noqa: PLR2004 - rounding


def _describe(trial: Trial, lost: NDArray[Any]) -> str:
    first = formatting.value_text(trial.values.get("first_answer_seconds"), "first_answer_seconds")
    parts = ", ".join(
        f"{part} {formatting.value_text(trial.values.get(f'{part}_seconds'), 'seconds')}" for part in PARTS
    )
    return f"trial {trial.id.number}: first answer after {first}, {int(lost.sum())} UDP probes lost; {parts}"
