"""What stands behind each requirement: its checks, the mutants that fail it, and who was seen to pass it, and where.

Nothing is claimed without a record: mutants are those of the committed matrix (`make mutants`), and who passed is read
from `lbproof/spec/seen.csv`, which `python tools/record_run.py RUN` writes from the folders of runs that are valid.
"""

from __future__ import annotations

import ast
import csv
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lbproof
from lbproof.spec import REQUIREMENTS, Verdict
from lbproof.spec.requirements import case_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.spec import Requirement

SUITE = Path(lbproof.__file__).parent
SEEN = SUITE / "spec" / "seen.csv"
"""Verdicts of recorded runs."""
_MATRIX = "mutants.csv"
_JUDGED = {Verdict.PASSED, Verdict.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Function that proves a case."""

    path: Path
    function: str

    @property
    def module(self) -> str:
        """Name of its module."""
        return ".".join(("lbproof", *self.path.relative_to(SUITE).with_suffix("").parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Verdict on a case in a recorded run."""

    implementation: str
    version: str
    lab: str
    """Provider of the lab."""
    name: str
    """Case, with its family where it was judged for a further one."""
    verdict: str
    day: str
    """Date of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What stands behind a requirement."""

    requirement: Requirement
    checks: tuple[str, ...]
    """Files below the suite's package."""
    mutants: dict[str, tuple[str, ...]]
    """Case → mutants that were seen to fail it."""
    labs: tuple[str, ...]
    """Providers of labs in which a recorded run judged it."""
    passes: tuple[str, ...]
    """Implementations that recorded runs saw pass, with version and lab, and how many of the cases if not all."""
    fails: tuple[str, ...]
    """Implementations that recorded runs saw fail, with version and lab."""

    def lines(self) -> list[tuple[str, str]]:
        """Return label and text of each part."""
        counts = [f"{case} {len(names)}" for case, names in self.mutants.items()]
        return [
            ("cases", f"{', '.join(self.requirement.case_ids)}; {self.families}"),
            ("check", ", ".join(self.checks) or "none"),
            ("mutants", ", ".join(counts)),
            ("labs", ", ".join(self.labs) or "no recorded run"),
            ("passes", "; ".join(self.passes) or "no recorded run"),
            *([("fails", "; ".join(self.fails))] if self.fails else []),
        ]

    def as_json(self) -> dict[str, Any]:
        """Return all of it for a program."""
        wanted = self.requirement
        return {
            "requirement": wanted.id,
            "level": wanted.level,
            "sentence": wanted.text,
            "families": {case: [family.label for family in wanted.families(case)] for case in wanted.case_ids},
            "checks": self.checks,
            "mutants": self.mutants,
            "labs": self.labs,
            "passes": self.passes,
            "fails": self.fails,
        }

    @property
    def families(self) -> str:
        """Families that its cases are judged for, in words."""
        told: dict[str, list[str]] = defaultdict(list)
        for case in self.requirement.case_ids:
            labels = [family.label for family in self.requirement.families(case)]
            told[" and ".join(labels) or "once"].append(case)
        if len(told) == 1:
            return next(iter(told))
        return "; ".join(f"{', '.join(cases)}: {what}" for what, cases in told.items())


@cache
def proofs() -> dict[str, Proof]:
    """Case → function of its check, read from the sources."""
    found: dict[str, Proof] = {}
    for path in sorted((SUITE / "checks").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                found |= dict.fromkeys(_proven(node), Proof(path=path, function=node.name))
    return found


def _proven(node: ast.FunctionDef) -> Iterator[str]:
    """Cases of the decorator `@proves("ID", "letters")`."""
    for mark in node.decorator_list:
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "proves":
            requirement, *letters = (ast.literal_eval(word) for word in mark.args)
            for letter in "".join(letters) or REQUIREMENTS[requirement].cases or [""]:
                yield f"{requirement}{letter}"


@cache
def killers() -> dict[str, tuple[str, ...]]:
    """Case → mutants that were seen to fail it, from the committed matrix."""
    shipped = files("lbproof.spec") / _MATRIX
    path = Path(str(shipped)) if shipped.is_file() else SUITE.parents[1] / "docs" / "findings" / _MATRIX
    found: dict[str, list[str]] = defaultdict(list)
    for row in _rows(path):
        if row["verdict"] == Verdict.FAILED:
            found[case_of(row["case"])].append(row["mutant"])
    return {case: tuple(names) for case, names in found.items()}


def seen(path: Path = SEEN) -> list[Seen]:
    """Read the verdicts of recorded runs."""
    return [Seen(**row) for row in _rows(path)]


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def coverage(requirement: Requirement, recorded: list[Seen]) -> Coverage:
    """Gather what stands behind a requirement; `recorded` are the verdicts of all recorded runs."""
    proven = [proofs()[case] for case in requirement.case_ids if case in proofs()]
    runs: dict[str, dict[str, str]] = defaultdict(dict)
    labs = set()
    for row in recorded:
        if row.name in requirement.names:
            runs[f"{row.implementation} {row.version} in {row.lab}"][row.name] = row.verdict
            labs |= {row.lab} if row.verdict in _JUDGED else set()
    return Coverage(
        requirement=requirement,
        checks=tuple(dict.fromkeys(str(one.path.relative_to(SUITE)) for one in proven)),
        mutants={case: killers().get(case, ()) for case in requirement.case_ids},
        labs=tuple(sorted(labs)),
        passes=tuple(told for who, verdicts in sorted(runs.items()) if (told := _passed(requirement, who, verdicts))),
        fails=tuple(who for who, verdicts in sorted(runs.items()) if Verdict.FAILED in verdicts.values()),
    )


def _passed(requirement: Requirement, who: str, verdicts: dict[str, str]) -> str:
    """Say that an implementation passes; empty if a case of it failed, or none passed."""
    passed = list(verdicts.values()).count(Verdict.PASSED)
    if Verdict.FAILED in verdicts.values() or not passed:
        return ""
    claimed = [name for name in {*requirement.case_ids, *verdicts} if verdicts.get(name) != Verdict.UNSUPPORTED]
    return who if passed == len(claimed) else f"{who} ({passed} of {len(claimed)} verdicts)"
