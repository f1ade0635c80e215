"""`metrics.prom`: the figures as OpenMetrics 1.0 text, for a dashboard that follows runs over time.

A family is a figure of a benchmark, its labels arm, case and quantile. Absolute figures depend on the machine: an alarm
belongs on the families that end with `_to_control_ratio`, as in `lbproof compare`.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from lbproof_perf.report.objectives import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lbproof_perf.report.figures import Figures, Summary
    from lbproof_perf.report.objectives import Objective

PREFIX = "lbproof_bench"
_UNITS = {"seconds", "bytes", "cores"}
"""Units that OpenMetrics has a name for at the end of a family's; the others are part of the name alone."""


def of(figures: Figures, checked: Sequence[Objective], environment: Mapping[str, str]) -> str:
    """The text, from its first `# TYPE` to `# EOF`."""
    return (
        "\n".join([*_info(environment), *_figures(figures), *_trials(figures), *_objectives(checked), "# EOF"]) + "\n"
    )


def _family(name: str, help_: str, samples: Sequence[tuple[Mapping[str, str], float]], unit: str = "") -> Iterator[str]:
    yield f"# TYPE {name} gauge"
    if unit:
        yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {_escaped(help_)}"
    for labels, value in samples:
        yield f"{name}{_labels(labels)} {_number(value)}"


def _figures(figures: Figures) -> Iterator[str]:
    families: dict[tuple[str, str], list[Summary]] = defaultdict(list)
    for one in figures.summaries:
        families[one.bench, one.name].append(one)
    for (bench, name), found in families.items():
        family = _name(f"{PREFIX}_{bench}_{name}")
        metric = found[0].metric
        help_ = f"{figures.about(bench).question} {metric.text}; +Inf did not come about."
        samples = [
            ({"arm": one.arm, "case": one.case, "quantile": f"{q}"}, one.at(label))
            for one in found
            for label, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1))
            if label in one.quantiles
        ]
        yield from _family(family, help_, samples, metric.unit if metric.unit in _UNITS else "")
        ratios = [
            ({"arm": one.arm, "case": one.case, "control": ratio.to, "quantile": f"0.{label[1:]}".rstrip("0")}, ratio)
            for one in found
            for label, ratio in one.ratios.items()
        ]
        if ratios:
            help_ = f"{metric.text}, over that of the control arm of the same run."
            yield from _family(
                f"{family}_to_control_ratio", help_, [(labels, ratio.value.value) for labels, ratio in ratios], "ratio"
            )


def _trials(figures: Figures) -> Iterator[str]:
    groups = [({"bench": one.bench, "arm": one.arm, "case": one.case}, one) for one in figures.groups]
    yield from _family(f"{PREFIX}_trials", "Trials made.", [(labels, len(one.trials)) for labels, one in groups])
    with_warnings = [(labels, len({number for number, _ in one.warnings})) for labels, one in groups]
    yield from _family(f"{PREFIX}_marked_trials", "Trials to look at twice.", with_warnings)


def _objectives(checked: Sequence[Objective]) -> Iterator[str]:
    samples = [
        ({"aim": row.key}, float(row.outcome is Outcome.HELD))
        for row in checked
        if row.outcome is not Outcome.NOT_MEASURED
    ]
    yield from _family(f"{PREFIX}_aim_held", "1 where a threshold was held, 0 where it was lost.", samples)


def _info(environment: Mapping[str, str]) -> Iterator[str]:
    yield f"# TYPE {PREFIX} info"
    yield f"# HELP {PREFIX} Where the run was made."
    yield f"{PREFIX}_info{_labels({_name(name): str(value) for name, value in sorted(environment.items())})} 1"


def _labels(labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _name(text: str) -> str:
    made = re.sub(r"[^a-zA-Z0-9_]", "_", text)
    return f"_{made}" if made[:1].isdigit() else made


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
