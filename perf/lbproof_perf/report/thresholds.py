"""Thresholds of figures, from a TOML file, and what one run says of each: held, lost or not measured.

docs/figures.md describes the file. Too few trials are no success: what holds so far but was measured too seldom is
`not measured`, and says how often. So is what only marked trials say. A key that is unknown is an error.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lbproof.spec import BadOption, UnknownName
from lbproof_perf.report.figures import QUANTILES
from lbproof_perf.report.formatting import range_text, ratio_text, value_text
from lbproof_perf.stats import quantiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from lbproof_perf.report.figures import Figures, Summary
    from lbproof_perf.report.spec import BenchmarkReport

FILE = "thresholds.toml"
"""Its name in a run's folder."""
_PARTS = 5
_SEE = "docs/figures.md"
_Positive = Annotated[float, Field(ge=0)]
_FEWEST = 2
"""Trials that a threshold takes at least: no success is that of one trial."""


class Threshold(BaseModel):
    """What is allowed of the figures that a pattern names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    pattern: str
    """`failover.*.power-cut.first_answer_seconds.p50`."""
    ratio: _Positive | None = None
    """How many times worse; 1.2 allows a fifth."""
    most: _Positive | None = None
    """The largest value."""
    least: float | None = None
    """The smallest value."""
    times: _Positive | None = None
    """The largest ratio to `of`."""
    of: str = ""
    """An arm, or a key of five parts."""
    trials: Annotated[float, Field(ge=_FEWEST)] = quantiles.FEWEST
    text: str = ""

    @property
    def absolute(self) -> bool:
        """Whether it can be checked within one run."""
        return any(bound is not None for bound in (self.most, self.least, self.times))

    def covers(self, key: str) -> bool:
        """Whether the pattern names the figure."""
        return fnmatchcase(key, self.pattern)

    def limit(self, name: str) -> str:
        """The bounds for a reader, in the unit of the figure `name`: `at most 150 ms, 20 trials`."""
        parts = []
        if self.least is not None:
            parts.append(f"at least {value_text(self.least, name)}")
        if self.most is not None:
            parts.append(f"at most {value_text(self.most, name)}")
        if self.times is not None:
            parts.append(f"at most {ratio_text(self.times)} of {self.of}")
        parts.append(f"{self.trials:g} trials")
        return ", ".join(parts)


class Outcome(StrEnum):
    """Result of a threshold."""

    HELD = "held"
    LOST = "lost"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A threshold and one figure that it covers."""

    bench: str
    key: str
    """Of the figure; the threshold's pattern where no figure is covered."""
    text: str
    limit: str
    """`at most 150 ms`."""
    seen: str
    outcome: Outcome


def read(path: Path, known: Mapping[str, BenchmarkReport]) -> tuple[Threshold, ...]:
    """Read a file. `known`: the benchmarks. Raises `BadOption` or `UnknownName` with one line."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadOption(f"thresholds file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadOption(f"thresholds file {path} is not TOML: {error}; a pattern with * stands in quotes") from None
    return parse(table, str(path), known)


def parse(table: Mapping[str, Any], where: str, known: Mapping[str, BenchmarkReport]) -> tuple[Threshold, ...]:
    """The thresholds of a table, perhaps nested as TOML's dotted keys are. `where` names the file in an error."""
    return tuple(_threshold(pattern, allowed, where, known) for pattern, allowed in _flat(table, "", where))


def _flat(table: Mapping[str, Any], prefix: str, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in table.items():
        path = f"{prefix}.{key}" if prefix else key
        if not isinstance(value, dict):
            raise BadOption(f"{path} = {value!r} in {where}: it takes a table, {{ratio = 1.2}} or {{most = 0}}")
        if value and all(isinstance(inside, dict) for inside in value.values()):
            yield from _flat(value, path, where)
        else:
            yield path, value


def _threshold(pattern: str, allowed: Mapping[str, Any], where: str, known: Mapping[str, BenchmarkReport]) -> Threshold:
    _check_pattern(pattern, repr(pattern), where, known)
    try:
        found = Threshold.model_validate({"pattern": pattern, **allowed})
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        fields = Threshold.model_fields.keys() - {"pattern"}
        if key not in fields:
            raise UnknownName("threshold", key, f"{pattern!r} in {where}", sorted(fields), _SEE) from None
        kind = "a text" if key in {"of", "text"} else f"a number from {_FEWEST if key == 'trials' else 0}"
        raise BadOption(f"{pattern!r} in {where}: {key} = {allowed[key]!r}; it takes {kind}") from None
    if not found.absolute and found.ratio is None:
        raise BadOption(f"{pattern!r} in {where} allows nothing: it takes {{ratio = 1.2}} or {{most = 0}}")
    if (found.times is None) is not (found.of == ""):
        raise BadOption(f"{pattern!r} in {where}: `times` and `of` stand together")
    if "." in found.of:
        _check_pattern(found.of, f"of = {found.of!r} of {pattern!r}", where, known)
    return found


def _check_pattern(pattern: str, what: str, where: str, known: Mapping[str, BenchmarkReport]) -> None:
    parts = pattern.split(".")
    if len(parts) != _PARTS:
        raise BadOption(f"{what} in {where} has {len(parts)} parts; it takes five: bench.arm.case.figure.quantile")
    bench, _, _, name, quantile = parts
    metrics = {metric.name for about in known.values() for metric in about.metrics}
    for kind, part, names in (
        ("benchmark", bench, known),
        ("figure", name, metrics),
        ("quantile", quantile, QUANTILES),
    ):
        if not any(fnmatchcase(one, part) for one in names):
            raise UnknownName(kind, part, f"{what} in {where}", sorted(names), _SEE)


def check(figures: Figures, thresholds: Sequence[Threshold]) -> list[Objective]:
    """Every threshold that can be checked within one run, for each figure that it covers."""
    return [one for threshold in thresholds if threshold.absolute for one in _check(figures, threshold)]


def of_run(objectives: Sequence[Objective], figures: Figures) -> tuple[list[Objective], str]:
    """Those of the benchmarks that were run, and a sentence about those of others (empty for none)."""
    asked = [one for one in objectives if one.bench in figures.benches or any(c in one.bench for c in "*?[")]
    left = dict.fromkeys(one.bench for one in objectives if one not in asked)
    return asked, f"Not run, so their thresholds are open: {', '.join(left)}." if left else ""


def _check(figures: Figures, threshold: Threshold) -> Iterator[Objective]:
    def objective(figure: Sequence[str], seen: str, outcome: Outcome) -> Objective:
        bench, arm, case, name, label = figure
        about = figures.about(bench)
        text = threshold.text or f"{about.case_text(case)}: {about.metric(name).text}, {label}"
        return Objective(
            bench=bench,
            key=".".join(figure),
            text=f"{arm}: {text}",
            limit=threshold.limit(name),
            seen=seen,
            outcome=outcome,
        )

    covered = [
        (one, label) for one in figures.summaries for label in QUANTILES if threshold.covers(f"{one.key}.{label}")
    ]
    if not covered:
        yield objective(threshold.pattern.split("."), "", Outcome.NOT_MEASURED)
    for one, label in covered:
        seen, held = _judge(figures, threshold, one, label)
        outcome = Outcome.NOT_MEASURED if held is None else Outcome.HELD if held else Outcome.LOST
        other, _ = _reference(figures, threshold, one, label) if threshold.of else (None, "")
        if held is not None and (why := too_little(figures, threshold, one, other, held=held)):
            outcome, seen = Outcome.NOT_MEASURED, f"{seen}: {why}"
        yield objective((one.bench, one.arm, one.case, one.name, label), seen, outcome)


def _judge(figures: Figures, threshold: Threshold, one: Summary, label: str) -> tuple[str, bool | None]:
    """What was seen, and whether it is within the threshold; None where too little was measured."""
    seen = _interval_text(one, label)
    known = label in one.quantiles
    value = one.at(label)
    bounds = [] if threshold.most is None else [value <= threshold.most]
    bounds += [] if threshold.least is None else [value >= threshold.least]
    if threshold.times is not None:
        other, its = _reference(figures, threshold, one, label)
        if other is None or its not in other.quantiles or not known:
            beside = f"{threshold.of} not measured" if other is None else _interval_text(other, its)
            return f"{seen}; {beside}", None
        base = other.at(its)
        bounds.append(math.isfinite(value) and value <= threshold.times * base)
        seen = f"{ratio_text(value / base) if base else 'undefined'}: {seen}; {_interval_text(other, its)}"
    return seen, all(bounds) if known else None


def _reference(figures: Figures, threshold: Threshold, one: Summary, label: str) -> tuple[Summary | None, str]:
    """The figure that `of` names, and its quantile."""
    if "." not in threshold.of:
        return figures.find(one.bench, threshold.of, one.case, one.name), label
    key, _, its = threshold.of.rpartition(".")
    return next((other for other in figures.summaries if other.key == key), None), its


def too_little(figures: Figures, threshold: Threshold, *used: Summary | None, held: bool) -> str:
    """Why figures do not decide a threshold: too few trials to hold it, or only marked ones. Empty if they do."""
    there = [one for one in used if one is not None]
    trials = min(one.trials for one in there)
    if held and trials < threshold.trials:
        return f"{trials} of at least {threshold.trials:g} trials"
    mark = next(filter(None, (figures.mark(one) for one in there)), "")
    return f"every trial is marked ({mark})" if mark else ""


def _interval_text(one: Summary, label: str) -> str:
    """A quantile with its interval; of too few values for it, the worst of them."""
    text, found = one.text(label), one.quantiles.get(label)
    if label == "max":
        return f"max of {one.count}: {text}"
    if found is None or found.low == found.high:
        return text
    return f"{text} ({range_text(found.low, found.high, one.name)})"
