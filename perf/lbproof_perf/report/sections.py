"""What the page shows of each benchmark: plots with a table under each, marks, and where the raw values are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof_perf.report import names, plots, timeline
from lbproof_perf.report.figures import MAIN
from lbproof_perf.report.svg import tones
from lbproof_perf.stats import quantiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lbproof_perf.report.figures import Figures, Summary
    from lbproof_perf.results import ResultStore, Trial

_STAGES = {"assigned_seconds": "", "arp_seconds": "dashed", "http_seconds": "dotted"}
"""Stage of a new Service → how its curve is drawn."""
_GROWING = {"services": "Services", "nodes": "nodes"}
HOW: Mapping[str, str] = {
    "failover": "UDP each millisecond, a new connection with an HTTP request each 10 ms, an ARP request each 10 ms, "
    "on a schedule, whether or not the last was answered. An outage begins with the first probe that was lost from the "
    "fault on; the bracket beside it says how exactly the fault's moment is known. Nothing is dropped for being slow.",
    "moves": "The announcing speaker is stopped in an orderly way while a client asks every millisecond.",
    "hogs": "Nothing is wrong but that processes take all the CPU time there is.",
    "allocate": "Time runs from the moment that a Service's POST was sent. Nothing is discarded for being slow. What "
    "kube-proxy adds by its own batching shows in the first 200, not in the ARP answer.",
    "allocator": "The allocator alone, in its own process, without an API server.",
    "scale": "The slope says more than a value: what a thousand more cost.",
    "arp": "One request after the other. The kernel's own answer is the physical limit.",
    "load": "The same client, the tiers interleaved. Latency runs from the moment that a request was meant to leave.",
    "ruler": "The instrument against itself: two identical arms, and a server that stands still for a known time.",
}
"""Benchmark → how it was measured, in a sentence or two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A picture and what it is of."""

    caption: str
    svg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One case: its pictures, its figures, its trials."""

    case: str
    words: str
    plots: tuple[Plot, ...]
    main: tuple[Summary, ...]
    rest: tuple[Summary, ...]
    trials: tuple[tuple[Trial, str, float | None], ...]
    """Each trial with the name and the value of the figure that is shown of it."""
    warnings: tuple[str, ...]
    """`reference 3: the machine stalled for 120 ms`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One benchmark."""

    bench: str
    question: str
    how: str
    plots: tuple[Plot, ...]
    """Those over all cases."""
    blocks: tuple[Block, ...]


def of(store: ResultStore, figures: Figures) -> Iterator[Section]:
    """A section a benchmark that was run."""
    tone = tones(group.arm for group in figures.groups)
    for bench in figures.benches:
        yield Section(
            bench=bench,
            question=names.BENCHES.get(bench, bench),
            how=HOW.get(bench, ""),
            plots=tuple(_over_all(bench, figures, tone)),
            blocks=tuple(_block(store, figures, bench, case, tone) for case in figures.cases(bench)),
        )


def _block(store: ResultStore, figures: Figures, bench: str, case: str, tone: Mapping[str, str]) -> Block:
    found = figures.of(bench, case=case)
    wanted = [name for name in MAIN.get(bench, ()) if any(one.name == name for one in found)]
    main = [one for name in wanted for one in found if one.name == name] or found
    trials = [trial for group in figures.groups if (group.bench, group.case) == (bench, case) for trial in group.trials]
    first = (*MAIN.get(bench, ()), *(one.name for one in found))
    return Block(
        case=case,
        words=names.case_words(case),
        plots=tuple(_plots(store, found, trials, tone)) if found else (),
        main=tuple(main),
        rest=tuple(one for one in found if one not in main),
        trials=tuple((trial, *_shown(trial, first)) for trial in trials),
        warnings=tuple(
            f"{trial.id.arm} {trial.id.number}: {warning}" for trial in trials for warning in trial.warnings
        ),
    )


def _shown(trial: Trial, wanted: Iterable[str]) -> tuple[str, float | None]:
    name = next((name for name in wanted if name in trial.values), "")
    return name, trial.values.get(name)


def _plots(
    store: ResultStore, found: Sequence[Summary], trials: Sequence[Trial], tone: Mapping[str, str]
) -> Iterator[Plot]:
    bench, case = found[0].bench, found[0].case
    words = names.case_words(case)
    if bench == "allocate" and case != "rest":
        yield from _stages(found, words, tone)
    elif bench == "arp":
        yield from _curve(found, "answered_seconds", words, tone)
    elif bench == "load":
        yield from _latency(store, trials, words, tone)
    elif bench != "scale":
        yield from _strips(found, MAIN.get(bench, ())[:1], words, tone)
    if bench == "failover" and case == "power-cut":
        yield from _curve(found, "first_answer_seconds", words, tone)
        yield from _parts(found, words)
    if bench in {"failover", "moves"}:
        yield from _timelines(store, case, trials)


def _strips(found: Sequence[Summary], wanted: Sequence[str], words: str, tone: Mapping[str, str]) -> Iterator[Plot]:
    for name in wanted:
        lanes = [
            plots.Lane(name=one.arm, tone=tone[one.arm], values=one.values, middle=one.quantiles.get("p50"))
            for one in found
            if one.name == name
        ]
        if any(len(lane.values) > 1 for lane in lanes) and any(any(lane.values) for lane in lanes):
            told = f"{words}: {names.words(name)}"
            caption = f"{told}. A dot a run; the bar is the median of five runs or more, with its 95 % interval."
            yield Plot(caption=caption, svg=plots.strips(lanes, name=name, title=told))


def _curve(found: Sequence[Summary], name: str, words: str, tone: Mapping[str, str]) -> Iterator[Plot]:
    lines = [
        plots.Line(name=one.arm, tone=tone[one.arm], points=plots.percentile_points(one.values))
        for one in found
        if one.name == name and one.count > 1
    ]
    if lines:
        told = f"{words}: {names.words(name)} by percentile"
        caption = f"{told}. A curve ends where its number of values ends."
        yield Plot(caption=caption, svg=plots.percentiles(lines, name=name, title=told))


def _stages(found: Sequence[Summary], words: str, tone: Mapping[str, str]) -> Iterator[Plot]:
    lanes = [
        plots.Lane(name=one.arm, tone=f"{tone[one.arm]} {css}".strip(), values=one.values)
        for name, css in reversed(_STAGES.items())
        for one in reversed(found)
        if one.name == name
    ]
    if lanes:
        told = f"{words}: share of Services against time since their POST"
        caption = f"{told}. Solid: address in the status; dashed: first ARP answer; dotted: first 200."
        yield Plot(caption=caption, svg=plots.shares(lanes, name="seconds", title=told))


def _latency(store: ResultStore, trials: Sequence[Trial], words: str, tone: Mapping[str, str]) -> Iterator[Plot]:
    """Latency by percentile of each arm, over all trials of a case: histograms of one set of bounds add up."""
    lines = []
    for arm in dict.fromkeys(trial.id.arm for trial in trials):
        counted: dict[float, float] = {}
        for trial in (one for one in trials if one.id.arm == arm):
            arrays = store.arrays(trial)
            if {"histogram_seconds", "histogram_count"} <= arrays.keys():
                for bound, count in zip(arrays["histogram_seconds"], arrays["histogram_count"], strict=True):
                    if count:
                        counted[float(bound)] = counted.get(float(bound), 0.0) + float(count)
        bounds = sorted(counted)
        if points := plots.histogram_points(bounds, [counted[bound] for bound in bounds]):
            lines.append(plots.Line(name=arm, tone=tone[arm], points=points))
    if lines:
        told = f"{words}: latency by percentile"
        yield Plot(caption=f"{told}.", svg=plots.percentiles(lines, name="seconds", title=told))


def _parts(found: Sequence[Summary], words: str) -> Iterator[Plot]:
    rows = []
    for arm in dict.fromkeys(one.arm for one in found):
        medians = [
            next(
                (
                    one.at("p50")
                    for one in found
                    if (one.arm, one.name) == (arm, f"{part}_seconds") and "p50" in one.quantiles
                ),
                None,
            )
            for part in plots.PARTS
        ]
        known = [value for value in medians if value is not None and value < float("inf")]
        if len(known) == len(plots.PARTS):
            rows.append((arm, known))
    if rows:
        told = f"{words}: what the outage is made of"
        caption = f"{told}. Medians of each part, as shares of their sum."
        yield Plot(caption=caption, svg=plots.parts(rows, title=told))


def _timelines(store: ResultStore, case: str, trials: Sequence[Trial]) -> Iterator[Plot]:
    """One outage of each arm: of those that kept their probes, the one next to the median. Only of a power cut each."""
    for arm in dict.fromkeys(trial.id.arm for trial in trials):
        there = [trial for trial in trials if trial.id.arm == arm and trial.raw]
        if not there or (case != "power-cut" and arm != "reference"):
            continue
        typical = _typical(there)
        if svg := timeline.outage(typical, store.arrays(typical)):
            away = typical.values.get("first_answer_seconds")
            told = "nothing was lost" if away == 0 else f"first answer after {names.value_text(away, 'seconds')}"
            caption = f"{arm}, run {typical.id.number}: {told}. Of the runs with raw data, the one in the middle."
            yield Plot(caption=caption, svg=svg)


def _typical(trials: Sequence[Trial]) -> Trial:
    values = quantiles.array([trial.values.get("first_answer_seconds") for trial in trials])
    middle = quantiles.quantile(values, 0.5)
    return next(trial for trial, value in zip(trials, values, strict=True) if value == middle)


def _over_all(bench: str, figures: Figures, tone: Mapping[str, str]) -> Iterator[Plot]:
    if bench == "scale":
        for kind, across in _GROWING.items():
            for name in dict.fromkeys(one.name for one in figures.of(bench) if one.case.startswith(f"{kind}-")):
                yield from _slope(figures, bench, name, prefix=f"{kind}-", across=across, tone=tone)
    elif bench == "allocator":
        for name in ("seconds_per_address", "worst_seconds"):
            yield from _slope(figures, bench, name, prefix="", across="addresses", tone=tone)
    elif bench == "load":
        yield from _rates(figures, tone)


def _slope(
    figures: Figures, bench: str, name: str, *, prefix: str, across: str, tone: Mapping[str, str]
) -> Iterator[Plot]:
    lines = []
    for arm in figures.arms(bench):
        points = [
            (float(count), one.at("p50"))
            for one in figures.of(bench, arm=arm, name=name)
            if one.case.startswith(prefix) and (count := one.case.removeprefix(prefix)).isdigit()
        ]
        if len(points) > 1:
            lines.append(plots.Line(name=arm, tone=tone[arm], points=sorted(points)))
    if lines:
        per = 1.0 if across == "nodes" else 1000.0
        told = f"{names.words(name)} against {across}"
        yield Plot(caption=f"{told}.", svg=plots.slopes(lines, across=across, per=per, name=name, title=told))


def _rates(figures: Figures, tone: Mapping[str, str]) -> Iterator[Plot]:
    """Requests a second of every tier, a picture a user."""
    found = figures.of("load", name="requests_per_second")
    for user in dict.fromkeys(one.case.partition("-")[2] for one in found if "-" in one.case):
        lanes = [
            plots.Lane(
                name=f"{one.case.partition('-')[0]}, {one.arm}",
                tone=tone[one.arm],
                values=one.values,
                middle=one.quantiles.get("p50"),
            )
            for one in found
            if one.case.partition("-")[2] == user
        ]
        told = f"{user}: requests a second of each tier"
        yield Plot(caption=f"{told}.", svg=plots.strips(lanes, name="requests_per_second", title=told))
