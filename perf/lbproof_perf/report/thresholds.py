"""Thresholds of figures, from a TOML file: a pattern of figures and what is allowed of them.

    "failover.*.power-cut.first_answer_seconds.p50" = {ratio = 1.2}
    "moves.reference.planned.lost.max" = {most = 0, trials = 20}
    "allocate.reference.burst-100.arp_seconds.p99" = {times = 1, of = "metallb"}

A pattern is `bench.arm.case.figure.quantile`, any part of it with the wildcards of a shell. Within one run: `most` and
`least` bound the value in the figure's own unit; `times` bounds its ratio to the figure that `of` names, which is
another arm of the same case or a whole key; `trials` is the number of trials that it takes at least. Between two runs,
or two arms: `ratio` says how many times worse the figure may become. `text` describes the threshold for a reader. A key
that is unknown is an error.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from lbproof.spec import BadOption, UnknownName
from lbproof_perf.report.figures import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lbproof_perf.report.spec import BenchmarkReport

NUMBERS = ("ratio", "most", "times", "trials")
KEYS = (*NUMBERS, "least", "of", "text")
FILE = "thresholds.toml"
"""Its name in a run's folder."""
_PARTS = 5
_SEE = "docs/figures.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """What is allowed of the figures that a pattern names."""

    pattern: str
    """`failover.*.power-cut.first_answer_seconds.p50`."""
    ratio: float | None = None
    """How many times worse; 1.2 allows a fifth."""
    most: float | None = None
    """The largest value."""
    least: float | None = None
    """The smallest value."""
    times: float | None = None
    """The largest ratio to `of`."""
    of: str = ""
    """An arm, or a key of five parts."""
    trials: int = 1
    text: str = ""

    @property
    def bench(self) -> str:
        """The benchmark, perhaps with wildcards."""
        return self.pattern.partition(".")[0]

    @property
    def absolute(self) -> bool:
        """Whether it can be checked within one run."""
        return any(bound is not None for bound in (self.most, self.least, self.times))

    def covers(self, key: str) -> bool:
        """Whether the pattern names the figure."""
        return fnmatchcase(key, self.pattern)


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
    for key, value in allowed.items():
        if key not in KEYS:
            raise UnknownName("threshold", key, f"{pattern!r} in {where}", KEYS, _SEE)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if key in {"of", "text"}:
            if not isinstance(value, str):
                raise BadOption(f"{pattern!r} in {where}: {key} = {value!r}; it takes a text")
        elif not number or (key in NUMBERS and value < 0):
            raise BadOption(f"{pattern!r} in {where}: {key} = {value!r}; it takes a number from 0")
    found = Threshold(pattern=pattern, **allowed)
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
