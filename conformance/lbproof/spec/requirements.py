"""Requirements: one falsifiable sentence each, with a permanent ID, from the TOML files beside this module.

A file contains one area, a table one requirement. An ID is never positional and never reused; each lettered case has
its own verdict (`POOL-03c`).
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import TYPE_CHECKING

from lbproof.spec.features import check_features
from lbproof.spec.names import UnknownName
from lbproof.spec.words import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SPEC_VERSION = "1.1"
"""Version of the specification, raised when a requirement is added, or when its meaning or its needs change."""
VERSIONS = ("1.0", SPEC_VERSION)
"""Versions whose reports can be read."""
_FIRST_VERSION = "1.0"
"""Version of every requirement whose table has no `since`. It never changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Falsifiable sentence about an implementation, separate from the check that proves it."""

    id: str
    area: str
    text: str
    level: Level
    needs: frozenset[str]
    """Features that must be claimed, otherwise the verdict is `unsupported`; of an alias, one feature suffices."""
    sources: tuple[str, ...]
    """Source of the requirement: an API field, KEP, RFC, or agreement of several vendors."""
    since: str = _FIRST_VERSION
    """Version of the specification that has it for the first time."""
    cases: Mapping[str, str] = field(default_factory=dict)
    """Letter → statement of the case; empty for a requirement with a single verdict."""
    case_needs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Letter → additional features that this case needs."""
    case_since: Mapping[str, str] = field(default_factory=dict)
    """Letter → version of the specification that has this case for the first time, if not that of the requirement."""
    earlier: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Earlier version of the specification → its wording where it was another: `text`, or a letter."""

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Return the IDs with a verdict each: `POOL-03a`, …, or the requirement's own ID when it has no cases."""
        return tuple(f"{self.id}{letter}" for letter in self.cases) or (self.id,)

    def is_in(self, spec: str) -> bool:
        """Return whether a version of the specification has the requirement; an unknown version has every one."""
        return _is_in(self.since, spec)

    def cases_in(self, spec: str) -> tuple[str, ...]:
        """Return the IDs with a verdict each in a version of the specification; none before the requirement's own."""
        if not self.is_in(spec):
            return ()
        first = {f"{self.id}{letter}": version for letter, version in self.case_since.items()}
        return tuple(case for case in self.case_ids if _is_in(first.get(case, self.since), spec))

    def worded(self, spec: str) -> Requirement:
        """Return the requirement in the wording of a version of the specification."""
        was = self.earlier.get(spec, {})
        return replace(
            self,
            text=was.get("text", self.text),
            cases={letter: was.get(letter, text) for letter, text in self.cases.items()},
        )


def _is_in(since: str, spec: str) -> bool:
    return spec not in VERSIONS or VERSIONS.index(since) <= VERSIONS.index(spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """Group of requirements: the part of the ID before the dash."""

    name: str
    title: str
    text: str


def _read() -> tuple[dict[str, Area], dict[str, Requirement]]:
    areas: list[tuple[int, Area]] = []
    requirements: dict[str, Requirement] = {}
    for path in (files("lbproof.spec") / "requirements").iterdir():
        if not path.name.endswith(".toml"):
            continue
        data = tomllib.loads(path.read_text())
        head = data.pop("area")
        name = head["name"]
        areas.append((head["order"], Area(name=name, title=head["title"], text=head["text"])))
        for key, row in data.items():
            requirements[key] = Requirement(
                id=key,
                area=name,
                text=row["text"],
                level=Level(row["level"]),
                needs=_known_features(row.get("needs", ["core"]), key),
                sources=tuple(row["sources"]),
                since=row.get("since", _FIRST_VERSION),
                cases=row.get("cases", {}),
                case_needs={
                    letter: _known_features(needs, f"{key}{letter}")
                    for letter, needs in row.get("case_needs", {}).items()
                },
                case_since=row.get("case_since", {}),
                earlier=row.get("in", {}),
            )
    ordered = {area.name: area for _, area in sorted(areas, key=lambda pair: pair[0])}
    rank = list(ordered)
    return ordered, dict(sorted(requirements.items(), key=lambda item: (rank.index(item[1].area), item[0])))


def _known_features(names: Iterable[str], where: str) -> frozenset[str]:
    found = frozenset(names)
    check_features(sorted(found), where)
    return found


AREAS, REQUIREMENTS = _read()

_CASE = re.compile(r"(?P<requirement>[A-Z0-9]+-\d+)(?P<letter>[a-z])?")


def select(patterns: Iterable[str], where: str) -> list[str]:
    """Return the case IDs that match `patterns`, in the order of the specification.

    A pattern is an ID (`POOL-03`), one case of it (`POOL-03c`), or an area (`POOL`), in upper or lower case. Raises
    `UnknownName` for a pattern without a match.
    """
    wanted: set[str] = set()
    for pattern in patterns:
        folded = pattern.strip()
        upper = folded.upper()
        by_area = {i for r in REQUIREMENTS.values() if r.area == upper for i in r.case_ids}
        match = _CASE.fullmatch(upper[:-1] + upper[-1:].lower() if upper[-1:].isalpha() else upper)
        found = by_area
        if not found and match and match["requirement"] in REQUIREMENTS:
            ids = REQUIREMENTS[match["requirement"]].case_ids
            found = {i for i in ids if not match["letter"] or i == match.group()}
        if not found:
            raise UnknownName("requirement", pattern, where, [*AREAS, *REQUIREMENTS], "lbproof list")
        wanted |= found
    return [i for r in REQUIREMENTS.values() for i in r.case_ids if i in wanted]


def of_case(case_id: str) -> Requirement:
    """Return the requirement of a case ID. Raises `KeyError` for an ID that is not in the specification."""
    match = _CASE.fullmatch(case_id)
    if not match:
        raise KeyError(case_id)
    requirement = REQUIREMENTS[match["requirement"]]
    if case_id not in requirement.case_ids:
        raise KeyError(case_id)
    return requirement


def needs_of(case_id: str) -> frozenset[str]:
    """Return the features that must be claimed for this case to run."""
    requirement = of_case(case_id)
    return requirement.needs | requirement.case_needs.get(case_id[len(requirement.id) :], frozenset())


def sentence(case_id: str, spec: str = SPEC_VERSION) -> str:
    """Return the statement of a case as one sentence, in the wording of a version of the specification."""
    requirement = of_case(case_id).worded(spec)
    letter = case_id[len(requirement.id) :]
    return requirement.cases[letter] if letter else requirement.text
