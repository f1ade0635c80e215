"""`report.html`: one file, no network, no script; light and dark, on paper and on a phone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lbproof_perf.report import answers, formatting, views
from lbproof_perf.report.thresholds import Outcome, of_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.witnesses.clock import Clock
    from lbproof_perf.report.figures import Figures, Summary
    from lbproof_perf.report.thresholds import Objective
    from lbproof_perf.report.views import Plot
    from lbproof_perf.results import ResultStore, Trial

GLYPHS = {Outcome.HELD: "✓", Outcome.LOST: "✗", Outcome.NOT_MEASURED: "?"}
CLASSES = {Outcome.HELD: "passed", Outcome.LOST: "failed", Outcome.NOT_MEASURED: "skipped"}


def of(store: ResultStore, figures: Figures, checked: Sequence[Objective]) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("lbproof_perf.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    asked, left = of_run(checked, figures)
    counts = {outcome: sum(row.outcome is outcome for row in asked) for outcome in Outcome}
    facts = dict(store.environment)
    facts.pop("format", None)
    return environment.get_template("bench.html.j2").render(
        answers=answers.answers_of(figures),
        objectives=asked,
        left=left,
        counts=counts,
        glyphs=GLYPHS,
        classes=CLASSES,
        benchmarks=views.of(store, figures),
        arms=views.tones(group.arm for group in figures.groups),
        trials=len(store.trials),
        with_warnings=sum(bool(trial.warnings) for trial in store.trials),
        left_out=sum(group.left_out for group in figures.groups),
        command=facts.pop("command", ""),
        facts=facts | {f"clock of {vantage}": _clock(clock) for vantage, clock in store.clocks.items()},
        cell=_cell,
        ratio=_ratio,
        value=formatting.value_text,
        drawn=_drawn,
        raw=lambda trial: _raw(store, trial),
        beside=lambda path: f"./{quote(path)}",
    )


def _cell(one: Summary, label: str) -> str:
    """A quantile with its interval: `144 ms`, `139 ms … 150 ms` below; a dash where there are too few values for it."""
    if label not in one.quantiles:
        return "-"
    if label == "max" and "p50" not in one.quantiles:
        return one.text("p50")
    found = one.quantiles[label]
    text = formatting.value_text(found.value, one.name)
    shape = "<b>{}</b>" if label == "p50" else "{}"
    if found.low == found.high:
        return Markup(shape).format(text)  # noqa: S704 - a fixed shape; `format` escapes what is put in
    told = formatting.range_text(found.low, found.high, one.name)
    return Markup(shape + "<i>{}</i>").format(text, told)  # noqa: S704 - likewise


def _ratio(one: Summary) -> str:
    """The ratio of the medians and to what; empty where none is defined."""
    ratio = one.median_ratio
    if ratio is None:
        return ""
    low, value, high = (
        formatting.ratio_text(number) for number in (ratio.value.low, ratio.value.value, ratio.value.high)
    )
    told = f"{low.removesuffix('x')} to {high}" if low != high else ""
    return Markup("{} of {}<i>{}</i>").format(value, ratio.to, told)


def _drawn(plot: Plot) -> Markup:
    return Markup(plot.svg)  # noqa: S704 - our own SVG, its texts escaped


def _clock(clock: Clock) -> str:
    """How a vantage's clock relates to that of the benchmark's process."""
    if not clock.offset and not clock.uncertainty:
        return "that of the benchmark"
    return f"{clock.offset:+.6f} s ± {clock.uncertainty:.6f} s to that of the benchmark"


def _raw(store: ResultStore, trial: Trial) -> str:
    """The first digits of the SHA-256 of a trial's raw file; empty where the file is gone."""
    path = store.folder / "raw" / trial.raw
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else ""
