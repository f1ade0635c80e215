"""The specification holds together: IDs, features, selection, and a check for every case."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lbproof.checks
import lbproof.spec
from lbproof.spec import (
    ALIASES,
    AREAS,
    BUDGETS,
    FEATURES,
    PROFILES,
    REQUIREMENTS,
    SPEC_VERSION,
    Level,
    UnknownName,
    select,
)
from lbproof.spec.families import Family
from lbproof.spec.requirements import case_of, exactly, families_of, needs_of, of_case, sentence

CASES = [case for r in REQUIREMENTS.values() for case in r.case_ids]
NAMES = [name for r in REQUIREMENTS.values() for name in r.names]
CHECKS = Path(lbproof.checks.__file__).parent


def proven() -> dict[str, list[str]]:
    """Case → the functions that prove it, read from the source of the checks without running them."""
    found: dict[str, list[str]] = {}
    for path in CHECKS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for decorator in getattr(node, "decorator_list", []):
                if not (isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "proves"):
                    continue
                words = [ast.literal_eval(argument) for argument in decorator.args]
                letters = words[1] if len(words) > 1 else "".join(REQUIREMENTS[words[0]].cases)
                for case in [f"{words[0]}{letter}" for letter in letters] or [words[0]]:
                    found.setdefault(case, []).append(f"{path.name}::{getattr(node, 'name', '')}")
    return found


def test_every_case_has_one_check_and_every_check_a_case() -> None:
    """No sentence of the specification is without proof, and none is proven twice."""
    checks = proven()

    assert sorted(checks) == sorted(CASES)
    assert {case: names for case, names in checks.items() if len(names) > 1} == {}


def test_a_new_version_of_the_specification_changes_no_older_requirement() -> None:
    """A requirement is of version 1.0 unless its table says `since`, and none is later than the specification."""
    tables = [
        (key, row)
        for path in (Path(lbproof.spec.__file__).parent / "requirements").glob("*.toml")
        for key, row in tomllib.loads(path.read_text()).items()
        if key != "area"
    ]

    assert {key: REQUIREMENTS[key].since for key, _ in tables} == {key: row.get("since", "1.0") for key, row in tables}
    assert max(_version(r.since) for r in REQUIREMENTS.values()) <= _version(SPEC_VERSION)


def test_a_case_that_came_later_is_not_of_an_earlier_specification() -> None:
    """A report of that time is whole without it; a requirement that came later has no case then."""
    assert REQUIREMENTS["RECL-02"].cases_in("1.0") == ("RECL-02a", "RECL-02b")
    assert REQUIREMENTS["RECL-02"].cases_in("1.1") == ("RECL-02a", "RECL-02b", "RECL-02c")
    assert REQUIREMENTS["POOL-07"].cases_in("1.0") == ()
    for one in REQUIREMENTS.values():
        assert one.cases_in(SPEC_VERSION) == one.case_ids
        assert set(one.case_since) <= set(one.cases)


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def test_ids_are_of_their_area_and_texts_are_sentences() -> None:
    """An ID begins with its area, and what a reader sees is a sentence."""
    for requirement in REQUIREMENTS.values():
        assert re.fullmatch(rf"{requirement.area}-\d\d", requirement.id)
        assert requirement.sources
        for case in requirement.case_ids:
            assert sentence(case).endswith("."), case


def test_what_a_may_needs_is_a_claimed_feature() -> None:
    """A MAY binds by a feature beyond the core: else nobody could decline it."""
    mays = [case for r in REQUIREMENTS.values() if r.level is Level.MAY for case in r.case_ids]

    assert [case for case in mays if needs_of(case) <= {"core", "pool", "l2"}] == []


def test_profiles_and_budgets_are_sound() -> None:
    """A profile names features that exist, and no budget is above its ceiling."""
    for profile in PROFILES.values():
        assert profile.features <= set(FEATURES)
    for budget in BUDGETS.values():
        assert 0 < budget.default <= budget.ceiling


@pytest.mark.parametrize("pattern", ["POOL-03c", "pool-03C", "Pool-03c"])
def test_a_case_is_found_in_any_spelling(pattern: str) -> None:
    """Letters may be of either case."""
    assert select([pattern], "--requirement") == ["POOL-03c", "POOL-03c-IPv6"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("POOL-03c-IPv6", ["POOL-03c-IPv6"]),
        ("pool-03C-ipv4", ["POOL-03c"]),
        ("L2-01-IPv6", ["L2-01-IPv6"]),
        ("POOL-03e", ["POOL-03e"]),
        ("POOL-03e-IPv4", ["POOL-03e"]),
        ("CLASS-01b", ["CLASS-01b"]),
    ],
)
def test_a_case_is_named_for_one_family(pattern: str, names: list[str]) -> None:
    """A pattern may end in a family; a case that is judged once, or about one family, has one verdict."""
    assert select([pattern], "x") == names


@pytest.mark.parametrize("pattern", ["POOL-03e-IPv6", "CLASS-01b-IPv4", "ARTICLE-IPv6", "POOL-03-IPv5"])
def test_no_case_is_found_for_a_family_that_it_is_not_judged_for(pattern: str) -> None:
    """What is judged once is of no family."""
    with pytest.raises(UnknownName):
        select([pattern], "x")


def test_names_of_verdicts_are_read_back() -> None:
    """Case, family and the features that are needed follow from the name; the first family has the ID of the case."""
    assert [name for name in NAMES if case_of(name) == "POOL-03c"] == ["POOL-03c", "POOL-03c-IPv6"]
    assert families_of("POOL-03c") == (Family.IPV4,)
    assert families_of("POOL-03c-IPv6") == (Family.IPV6,)
    assert families_of("CLASS-01b") == ()
    assert needs_of("POOL-03c-IPv6") == needs_of("POOL-03c") | {"ipv6"}
    assert sentence("POOL-03c-IPv6") == sentence("POOL-03c")
    assert [exactly(name) for name in ("POOL-03c", "POOL-03c-IPv6", "POOL-03e")] == [
        "POOL-03c-IPv4", "POOL-03c-IPv6", "POOL-03e",
    ]  # fmt: skip
    assert [select([exactly(name)], "x") for name in NAMES] == [[name] for name in NAMES]
    assert set(CASES) <= set(NAMES)


def test_what_is_judged_once_says_why() -> None:
    """A reason is a sentence without its point, and stands with cases that exist."""
    for requirement in REQUIREMENTS.values():
        assert set(requirement.case_once) | set(requirement.case_family) <= set(requirement.cases)
        assert not (requirement.case_once.keys() & requirement.case_family.keys())
        for case in requirement.case_ids:
            assert bool(requirement.why_once(case)) == (not requirement.families(case)), case
            assert not requirement.why_once(case).endswith("."), case


def test_an_area_and_a_requirement_name_all_that_they_hold() -> None:
    """`POOL` is every case of the area, `POOL-02` every case of the requirement."""
    assert select(["pool-02"], "x") == ["POOL-02a", "POOL-02a-IPv6", "POOL-02b", "POOL-02c"]
    assert set(select(["pool"], "x")) == {name for name in NAMES if name.startswith("POOL-")}
    assert select(["l2-ipv6"], "x") == [
        name for name in NAMES if name.startswith("L2-") and families_of(name) == (Family.IPV6,)
    ]
    assert select(list(AREAS), "x") == NAMES


@pytest.mark.parametrize(
    ("pattern", "guess"), [("POL-03", "POOL-03"), ("L2-99", "L2-"), ("CRD-1", "CRD-01"), ("POOL-03z", "POOL-0")]
)
def test_an_unknown_name_says_which_was_meant(pattern: str, guess: str) -> None:
    """One line: what, where, the nearest valid name, and where all of them are listed."""
    with pytest.raises(UnknownName) as caught:
        select([pattern], "--requirement")

    message = str(caught.value)
    assert f"unknown requirement {pattern!r} in --requirement; did you mean '{guess}" in message
    assert "lbproof list" in message
    assert "\n" not in message


@given(st.text(max_size=12))
def test_selection_never_breaks_on_what_people_type(text: str) -> None:
    """Any text either names cases or is refused by name."""
    try:
        found = select([text], "--requirement")
    except UnknownName:
        return

    assert found
    assert set(found) <= set(NAMES)


def test_needs_of_a_case_hold_those_of_its_requirement() -> None:
    """A case adds features, it never takes one away."""
    for case in CASES:
        assert of_case(case).needs <= needs_of(case) <= FEATURES.keys() | ALIASES


DECLINABLE = {
    "REQ-04c": "strict-requests",
    "REQ-04d": "strict-requests",
    "L2-04c": "advertised",
    "POOL-03e": "include-edges",
    "POOL-07": "without-endpoints",
    "EVT-02a": "announcer-status",
    "L2-06": "garp",
    "L2-07": "garp",
    "L2-10": "withdraw-no-endpoints",
    "SHARE-05": "sharing",
    "TIER-07b": "mixed-protocols",
    "TIER-08a": "nodeportless",
    "TIER-09a": "source-ranges",
    "ETP-03a": "etp-local",
    **{case: "article" for case in CASES if case.startswith("ARTICLE-")},
}
"""Case → feature: rules of one vendor, or of some, that nobody else has to follow."""
NEEDLESS = {
    "refusal-reason": {"PEND-03", "PEND-04", "UPGR-02", "REQ-02", "REQ-03", "REQ-04", "L2-04"},
    "garp": {"FAIL-01", "FAIL-02", "FAIL-04", "FAIL-05"},
}
"""Feature → requirements that are judged without it too."""


def test_rules_of_some_vendors_can_be_declined() -> None:
    """Who does not claim the feature is judged without the case, and may be conformant to `core` and `layer2`."""
    assert {case: feature for case, feature in DECLINABLE.items() if feature not in needs_of(case)} == {}
    assert set(DECLINABLE.values()).isdisjoint(PROFILES["layer2"].requires | PROFILES["core"].requires)


def test_what_has_no_events_or_announcements_is_judged_by_the_rest() -> None:
    """No case of these requirements needs the feature."""
    for feature, requirements in NEEDLESS.items():
        cases = [case for one in requirements for case in REQUIREMENTS[one].case_ids]

        assert [case for case in cases if feature in needs_of(case)] == []
