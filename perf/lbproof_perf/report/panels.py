"""Plots of one case, or over all cases, of a benchmark: a benchmark names which of them the report shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof_perf.report import formatting, plots, timeline
from lbproof_perf.report.views import Plot
from lbproof_perf.stats import quantiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lbproof_perf.report.figures import Summary
    from lbproof_perf.report.views import BenchmarkView, CaseView

_STAGES = {"assigned_seconds": "", "arp_seconds": "dashed", "http_seconds": "dotted"}
"""Metric of a stage of a new Service, in order → CSS class of its curve."""


def only(case: str, plot: Callable[[CaseView], Iterator[Plot]]) -> Callable[[CaseView], Iterator[Plot]]:
    """The same plot for one case alone."""
    return lambda view: plot(view) if view.case == case else iter(())


def strips(view: CaseView) -> Iterator[Plot]:
    """Every value of the main metric as a dot, a lane an arm."""
    main = view.about.main[0] if view.about.main else ""
    found = view.named(main)
    lanes = [_lane(one, one.arm, view.tones) for one in found]
    if any(len(lane.values) > 1 for lane in lanes) and any(any(lane.values) for lane in lanes):
        title = f"{view.text}: {found[0].metric.text}"
        caption = f"{title}. A dot a run; the bar is the median of five runs or more, with its 95 % interval."
        yield Plot(caption=caption, svg=plots.strips(lanes, name=main, title=title))


def percentile_curve(metric: str) -> Callable[[CaseView], Iterator[Plot]]:
    """A metric by percentile, a curve an arm."""

    def draw(view: CaseView) -> Iterator[Plot]:
        found = [one for one in view.named(metric) if one.count > 1]
        lines = [
            plots.Line(name=one.arm, tone=view.tones[one.arm], points=plots.percentile_points(one.values))
            for one in found
        ]
        if lines:
            title = f"{view.text}: {found[0].metric.text} by percentile"
            caption = f"{title}. A curve ends where its number of values ends."
            yield Plot(caption=caption, svg=plots.percentiles(lines, name=metric, title=title))

    return draw


def service_stages(view: CaseView) -> Iterator[Plot]:
    """Share of Services that have their address, an ARP answer and a 200, against time."""
    lanes = [
        plots.Lane(name=one.arm, tone=f"{view.tones[one.arm]} {css}".strip(), values=one.values)
        for name, css in reversed(_STAGES.items())
        for one in reversed(view.named(name))
    ]
    if lanes:
        title = f"{view.text}: share of Services against time since their POST"
        caption = f"{title}. Solid: address in the status; dashed: first ARP answer; dotted: first 200."
        yield Plot(caption=caption, svg=plots.shares(lanes, name="seconds", title=title))


def latency_histogram(view: CaseView) -> Iterator[Plot]:
    """Latency by percentile of each arm, over all trials of a case: histograms of one set of bounds add up."""
    lines = []
    for arm in view.arms:
        counted: dict[float, float] = {}
        for trial in (one for one in view.trials if one.id.arm == arm):
            arrays = view.store.arrays(trial)
            if {"histogram_seconds", "histogram_count"} <= arrays.keys():
                for bound, count in zip(arrays["histogram_seconds"], arrays["histogram_count"], strict=True):
                    if count:
                        counted[float(bound)] = counted.get(float(bound), 0.0) + float(count)
        bounds = sorted(counted)
        if points := plots.histogram_points(bounds, [counted[bound] for bound in bounds]):
            lines.append(plots.Line(name=arm, tone=view.tones[arm], points=points))
    if lines:
        title = f"{view.text}: latency by percentile"
        yield Plot(caption=f"{title}.", svg=plots.percentiles(lines, name="seconds", title=title))


def outage_parts(view: CaseView) -> Iterator[Plot]:
    """What outages consist of: the medians of their parts."""
    rows = []
    for arm in view.arms:
        medians = {one.name: one.at("p50") for one in view.summaries if one.arm == arm and "p50" in one.quantiles}
        parts = [medians.get(f"{part}_seconds", float("inf")) for part in plots.PARTS]
        if max(parts) < float("inf"):
            rows.append((arm, parts))
    if rows:
        title = f"{view.text}: what the outage is made of"
        caption = f"{title}. Medians of each part, as shares of their sum."
        yield Plot(caption=caption, svg=plots.parts(rows, title=title))


def timelines(view: CaseView) -> Iterator[Plot]:
    """One outage of each arm (but for power cuts, of the reference alone): the median one of those with raw data."""
    for arm in view.arms:
        kept = [trial for trial in view.trials if trial.id.arm == arm and trial.raw]
        if not kept or (view.case != "power-cut" and arm != "reference"):
            continue
        values = quantiles.array([trial.values.get("first_answer_seconds") for trial in kept])
        middle = quantiles.quantile(values, 0.5)
        typical = next(trial for trial, value in zip(kept, values, strict=True) if value == middle)
        if svg := timeline.outage(typical, view.store.arrays(typical), view.text):
            away = typical.values.get("first_answer_seconds")
            text = "nothing was lost" if away == 0 else f"first answer after {formatting.value_text(away, 'seconds')}"
            caption = f"{arm}, run {typical.id.number}: {text}. Of the runs with raw data, the one in the middle."
            yield Plot(caption=caption, svg=svg)


def slopes(prefix: str, across: str, *, metrics: Sequence[str] = ()) -> Callable[[BenchmarkView], Iterator[Plot]]:
    """Medians against the number at the end of a case's name, with a straight line; all metrics if none is named.

    A case with too few values for a median has its worst one.
    """

    def draw(view: BenchmarkView) -> Iterator[Plot]:
        found = [one for one in view.figures.of(view.about.name) if one.case.removeprefix(prefix).isdigit()]
        found = [one for one in found if one.case.startswith(prefix)]
        per = 1.0 if across == "nodes" else 1000.0
        for name in metrics or dict.fromkeys(one.name for one in found):
            lines = []
            for arm in view.figures.arms(view.about.name):
                mine = [one for one in found if (one.arm, one.name) == (arm, name)]
                points = sorted((float(one.case.removeprefix(prefix)), one.value("p50")) for one in mine)
                if len(points) > 1:
                    lines.append(plots.Line(name=arm, tone=view.tones[arm], points=points))
            if lines:
                title = f"{view.about.metric(name).text} against {across}"
                svg = plots.slopes(lines, across=across, per=per, name=name, title=title)
                yield Plot(caption=f"{title}.", svg=svg)

    return draw


def tier_rates(view: BenchmarkView) -> Iterator[Plot]:
    """Requests a second of every tier, a picture a user."""
    found = view.figures.of(view.about.name, name="requests_per_second")
    for user in dict.fromkeys(one.case.partition("-")[2] for one in found if "-" in one.case):
        lanes = [
            _lane(one, f"{one.case.partition('-')[0]}, {one.arm}", view.tones)
            for one in found
            if one.case.partition("-")[2] == user
        ]
        title = f"{user}: requests a second of each tier"
        yield Plot(caption=f"{title}.", svg=plots.strips(lanes, name="requests_per_second", title=title))


def _lane(one: Summary, name: str, tones: Mapping[str, str]) -> plots.Lane:
    return plots.Lane(name=name, tone=tones[one.arm], values=one.values, middle=one.quantiles.get("p50"))
