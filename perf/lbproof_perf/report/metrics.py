"""`metrics.prom`: the figures as OpenMetrics 1.0 text, for a dashboard that follows runs over time.

A family is a figure of a benchmark, its labels arm, case and quantile. Absolute figures depend on the machine: an alarm
belongs on the families that end with `_to_control_ratio`, as in `lbproof compare`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, Info
from prometheus_client.openmetrics.exposition import generate_latest

from lbproof_perf.report.figures import QUANTILES
from lbproof_perf.report.thresholds import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof_perf.report.figures import Figures, Summary
    from lbproof_perf.report.thresholds import Objective

PREFIX = "lbproof_bench"
_UNITS = {"seconds", "bytes", "cores"}
"""Units that OpenMetrics has a name for at the end of a family's; the others are part of the name alone."""


def of(figures: Figures, checked: Sequence[Objective], environment: Mapping[str, str]) -> str:
    """The text, from the first family to `# EOF`."""
    registry = CollectorRegistry()
    facts = {name: str(value) for name, value in environment.items()}
    Info(PREFIX, "Where the run was made.", registry=registry).info(facts)
    _add_figures(figures, registry)
    group_labels = ("bench", "arm", "case")
    trials = Gauge(f"{PREFIX}_trials", "Trials made.", group_labels, registry=registry)
    marked = Gauge(f"{PREFIX}_marked_trials", "Trials to look at twice.", group_labels, registry=registry)
    left_out = Gauge(f"{PREFIX}_left_out_trials", "Trials that no figure has.", group_labels, registry=registry)
    for group in figures.groups:
        trials.labels(group.bench, group.arm, group.case).set(len(group.trials))
        marked.labels(group.bench, group.arm, group.case).set(len({trial.id.number for trial, _ in group.warnings}))
        left_out.labels(group.bench, group.arm, group.case).set(group.left_out)
    held = Gauge(f"{PREFIX}_aim_held", "1 where a threshold was held, 0 where it was lost.", ["aim"], registry=registry)
    for row in checked:
        if row.outcome is not Outcome.NOT_MEASURED:
            held.labels(row.key).set(row.outcome is Outcome.HELD)
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text.decode()


def _add_figures(figures: Figures, registry: CollectorRegistry) -> None:
    families: dict[tuple[str, str], list[Summary]] = defaultdict(list)
    for one in figures.summaries:
        families[one.bench, one.name].append(one)
    for (bench, name), found in families.items():
        metric, family = found[0].metric, f"{PREFIX}_{bench}_{name}"
        help_ = f"{figures.about(bench).question} {metric.text}; +Inf did not come about."
        unit = metric.unit if metric.unit in _UNITS else ""
        values = Gauge(family, help_, ("arm", "case", "quantile"), unit=unit, registry=registry)
        for one in found:
            for label, interval in one.quantiles.items():
                values.labels(one.arm, one.case, f"{QUANTILES[label]:g}").set(interval.value)
        if any(one.ratios for one in found):
            help_ = f"{metric.text}, over that of the control arm of the same run."
            labels = ("arm", "case", "control", "quantile")
            ratios = Gauge(f"{family}_to_control_ratio", help_, labels, unit="ratio", registry=registry)
            for one in found:
                for label, ratio in one.ratios.items():
                    ratios.labels(one.arm, one.case, ratio.to, f"{QUANTILES[label]:g}").set(ratio.value.value)
