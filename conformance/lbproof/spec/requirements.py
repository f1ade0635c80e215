"""Requirements: one falsifiable sentence each, with a permanent ID, from the TOML files beside this module.

A file contains one area, a table one requirement. An ID is never positional and never reused; each lettered case has
its own verdict (`POOL-03c`), and one for each address family that the implementation claims, unless the requirement
says otherwise.

The name of a verdict is the ID of its case. A case that is judged for each family has a second verdict, whose name has
the family too: `POOL-03c-IPv6`. So what an implementation of IPv4 alone is judged by has its ID as ever.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, TypeAlias

from lbproof.spec.families import Family
from lbproof.spec.features import IPV6, check_features
from lbproof.spec.names import UnknownName
from lbproof.spec.words import Level

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

SPEC_VERSION = "1.1"
"""Version of the specification, raised when a requirement is added, or when its meaning or its needs change."""
VERSIONS = ("1.0", SPEC_VERSION)
"""Versions whose reports can be read."""
_FIRST_VERSION = "1.0"
"""Version of every requirement whose table has no `since`. It never changes."""
FamilyShown: TypeAlias = Literal["", "IPv4", "IPv6"]
_FAMILIES = {family.label: family for family in Family}


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
    once: str = ""
    """Why its cases are judged once, and not for each address family; empty when they are judged for each.

    By default that of its area."""
    case_once: Mapping[str, str] = field(default_factory=dict)
    """Letter → why this case is judged once."""
    family: Family | None = None
    """The only family that it is about; None when it is about each."""
    case_family: Mapping[str, Family] = field(default_factory=dict)
    """Letter → the only family that this case is about."""
    earlier: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Earlier version of the specification → its wording where it was another: `text`, or a letter."""

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Return the IDs with a verdict each: `POOL-03a`, …, or the requirement's own ID when it has no cases."""
        return tuple(f"{self.id}{letter}" for letter in self.cases) or (self.id,)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all its verdicts, those of one case together: `POOL-03a`, `POOL-03a-IPv6`, …."""
        return tuple(name for case in self.case_ids for name in self._names(case))

    def families(self, case: str) -> tuple[Family, ...]:
        """Return the families that one of its cases is judged for, one after the other; none for one judged once."""
        letter = case[len(self.id) :]
        if one := self.case_family.get(letter, self.family):
            return (one,)
        return () if self.why_once(case) else tuple(Family)

    def why_once(self, case: str) -> str:
        """Return why one of its cases is judged once; empty when it is judged for each family."""
        return self.case_once.get(case[len(self.id) :], self.once)

    def _names(self, case: str) -> tuple[str, ...]:
        return (case, *(f"{case}-{family.label}" for family in self.families(case)[1:]))

    def is_in(self, spec: str) -> bool:
        """Return whether a version of the specification has the requirement; an unknown version has every one."""
        return _is_in(self.since, spec)

    def cases_in(self, spec: str) -> tuple[str, ...]:
        """Return the IDs with a verdict each in a version of the specification; none before the requirement's own."""
        if not self.is_in(spec):
            return ()
        first = {f"{self.id}{letter}": version for letter, version in self.case_since.items()}
        return tuple(case for case in self.case_ids if _is_in(first.get(case, self.since), spec))

    def names_in(self, spec: str) -> tuple[str, ...]:
        """Return the names of its verdicts in a version of the specification."""
        return tuple(name for case in self.cases_in(spec) for name in self._names(case))

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
                once=row.get("once", head.get("once", "")),
                case_once=row.get("case_once", {}),
                family=_FAMILIES[row["family"]] if "family" in row else None,
                case_family={letter: _FAMILIES[label] for letter, label in row.get("case_family", {}).items()},
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

_CASE = re.compile(r"(?P<case>(?P<requirement>[A-Z0-9]+-\d+)[a-z]?)(?:-(?P<family>IPv[46]))?")
_PATTERN = re.compile(r"(?P<head>[A-Z0-9]+(?:-\d+)?)(?P<letter>[A-Z])?(?:-(?P<family>IPV[46]))?")


def select(patterns: Iterable[str], where: str) -> list[str]:
    """Return the names of the verdicts that match `patterns`, in the order of the specification.

    A pattern is an ID (`POOL-03`), one case of it (`POOL-03c`), or an area (`POOL`), each also of one family alone
    (`POOL-03c-IPv6`), in upper or lower case. Raises `UnknownName` for a pattern without a match.
    """
    wanted: set[str] = set()
    for pattern in patterns:
        found = _matches(pattern.strip().upper())
        if not found:
            raise UnknownName("requirement", pattern, where, [*AREAS, *REQUIREMENTS], "lbproof list")
        wanted |= found
    return [name for r in REQUIREMENTS.values() for name in r.names if name in wanted]


def _matches(pattern: str) -> set[str]:
    by_area, _, label = pattern.partition("-IPV")
    found = {name for r in REQUIREMENTS.values() if r.area == by_area for name in r.names}
    match = _PATTERN.fullmatch(pattern)
    if not found and match and match["head"] in REQUIREMENTS:
        case = f"{match['head']}{(match['letter'] or '').lower()}"
        found = {name for name in REQUIREMENTS[match["head"]].names if not match["letter"] or case_of(name) == case}
    return {name for name in found if not label or f"IPv{label}" in {one.label for one in families_of(name)}}


@cache
def of_case(name: str) -> Requirement:
    """Return the requirement of a case or of a verdict. Raises `KeyError` for one not in the specification."""
    match = _CASE.fullmatch(name)
    if not match:
        raise KeyError(name)
    requirement = REQUIREMENTS[match["requirement"]]
    if name not in requirement.names:
        raise KeyError(name)
    return requirement


def is_name(name: str) -> bool:
    """Return whether the specification has a verdict of that name."""
    match = _CASE.fullmatch(name)
    return bool(match and match["requirement"] in REQUIREMENTS and name in REQUIREMENTS[match["requirement"]].names)


@cache
def case_of(name: str) -> str:
    """Return the case of a verdict: `POOL-03c` of `POOL-03c-IPv6`."""
    match = _CASE.fullmatch(name)
    return match["case"] if match else name


@cache
def families_of(name: str) -> tuple[Family, ...]:
    """Return the family that a verdict is about; none where the case is judged once. Raises `KeyError` as `of_case`."""
    requirement, case = of_case(name), case_of(name)
    families = requirement.families(case)
    return families[:1] if name == case else families[1:]


def family_shown(name: str, claimed: Collection[str]) -> FamilyShown:
    """Return the family of a verdict as reports name it; empty where it is judged once, and without another family."""
    families = families_of(name)
    if not families or IPV6 not in claimed:
        return ""
    return "IPv6" if families[0] is Family.IPV6 else "IPv4"


def exactly(name: str) -> str:
    """Return the pattern that selects one verdict alone: `POOL-03c-IPv4` where the case is judged for each family."""
    several = len(of_case(name).families(case_of(name))) > 1
    return f"{case_of(name)}-{families_of(name)[0].label}" if several else name


@cache
def needs_of(name: str) -> frozenset[str]:
    """Return the features that must be claimed for this case or verdict."""
    requirement = of_case(name)
    case = case_of(name)
    return (
        requirement.needs
        | requirement.case_needs.get(case[len(requirement.id) :], frozenset())
        | ({IPV6} if Family.IPV6 in families_of(name) else frozenset())
    )


def sentence(name: str, spec: str = SPEC_VERSION) -> str:
    """Return the statement of a case as one sentence, in the wording of a version of the specification."""
    requirement = of_case(name).worded(spec)
    letter = case_of(name)[len(requirement.id) :]
    return requirement.cases[letter] if letter else requirement.text


def is_of_family_not_claimed(name: str, claimed: Collection[str]) -> bool:
    """Return whether a verdict is a further one of its case, for a family that is not claimed: there is none then."""
    return name != case_of(name) and IPV6 not in claimed
