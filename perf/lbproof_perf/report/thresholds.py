"""How much worse a figure may be, from a TOML file: a pattern of figures and what is allowed of them.

    "failover.*.power-cut.first_answer_seconds.p50" = {ratio = 1.2}
    "moves.reference.planned.lost.max" = {most = 0}

A pattern is `bench.arm.case.figure.quantile`, any part of it with the wildcards of a shell. `ratio` says how many times
worse the figure may become; `most` is the largest value that it may have, in the figure's own unit. What is written and
means nothing is an error: a gate that is not closed by a slip of the pen proves nothing.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from lbproof.options import BadOption
from lbproof.spec import UnknownName
from lbproof_perf.report.figures import QUANTILES
from lbproof_perf.report.names import BENCHES, VALUES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

KINDS = ("ratio", "most")
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

    def covers(self, key: str) -> bool:
        """Whether the pattern names the figure."""
        return fnmatchcase(key, self.pattern)


def read(path: Path) -> tuple[Threshold, ...]:
    """The thresholds of a file. Raises `BadOption` or `UnknownName` with one line."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadOption(f"thresholds file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadOption(f"thresholds file {path} is not TOML: {error}; a pattern with * stands in quotes") from None
    return parse(told, str(path))


def parse(told: Mapping[str, Any], where: str) -> tuple[Threshold, ...]:
    """The thresholds of a table, perhaps nested as TOML's dotted keys are. `where` names the file in an error."""
    return tuple(_threshold(pattern, allowed, where) for pattern, allowed in _flat(told, "", where))


def _flat(table: Mapping[str, Any], prefix: str, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in table.items():
        path = f"{prefix}.{key}" if prefix else key
        if not isinstance(value, dict):
            raise BadOption(f"{path} = {value!r} in {where}: it takes a table, {{ratio = 1.2}} or {{most = 0}}")
        if value and all(isinstance(inside, dict) for inside in value.values()):
            yield from _flat(value, path, where)
        else:
            yield path, value


def _threshold(pattern: str, allowed: Mapping[str, Any], where: str) -> Threshold:
    parts = pattern.split(".")
    if len(parts) != _PARTS:
        raise BadOption(f"{pattern!r} in {where} has {len(parts)} parts; it takes five: bench.arm.case.figure.quantile")
    bench, _, _, name, quantile = parts
    for kind, part, known in (
        ("benchmark", bench, BENCHES),
        ("figure", name, VALUES),
        ("quantile", quantile, QUANTILES),
    ):
        if not any(fnmatchcase(one, part) for one in known):
            raise UnknownName(kind, part, f"{pattern!r} in {where}", sorted(known), _SEE)
    for key, value in allowed.items():
        if key not in KINDS:
            raise UnknownName("threshold", key, f"{pattern!r} in {where}", KINDS, _SEE)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise BadOption(f"{pattern!r} in {where}: {key} = {value!r}; it takes a number from 0")
    if not allowed:
        raise BadOption(f"{pattern!r} in {where} allows nothing: it takes {{ratio = 1.2}} or {{most = 0}}")
    return Threshold(pattern=pattern, **allowed)
