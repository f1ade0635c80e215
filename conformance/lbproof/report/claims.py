"""Validation of a report against the specification and for consistency; each finding is one line."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from lbproof.report import jsonreport
from lbproof.spec import (
    ALIASES,
    BUDGETS,
    FEATURES,
    PROFILES,
    REQUIREMENTS,
    SPEC_VERSION,
    VERSIONS,
    Conclusion,
    Exit,
    Level,
    Scope,
    Untestable,
    Verdict,
    claims,
    conclude,
    is_reached,
    lacking,
    scope_of,
    worst,
)
from lbproof.spec.promises import PROMISES, WITNESSES
from lbproof.spec.requirements import family_shown, needs_of, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.spec.promises import Promise

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
LOOK = 5.0
"""Seconds that the last poll of a wait may exceed its budget."""
_BROKEN = {Exit.NO_ENVIRONMENT, Exit.BUG}
_NOT_JUDGED = "at_rest"
"""Budget of a wait after a check, which affects no verdict."""


def problems(told: jsonreport.Report) -> Iterator[str]:
    """Return the findings on a report by itself, whose specification must be known (see `unknown`)."""
    yield from _head(told)
    yield from _contents(told)
    yield from _conclusion(told)


def unknown(told: jsonreport.Report) -> Iterator[str]:
    """Report an unknown specification version or profile, which prevents any other validation."""
    if told.spec not in VERSIONS:
        known = " and ".join(VERSIONS)
        yield f"spec {told.spec!r} is not known; this lbproof knows {known}: use the lbproof of that version"
    elif told.profile not in PROFILES:
        yield f"profile {told.profile!r} is not in specification {told.spec}, which has {', '.join(PROFILES)}"


def _head(told: jsonreport.Report) -> Iterator[str]:
    for name in ("name", "version"):
        said = getattr(told.implementation, name)
        if not said.strip():
            yield f"implementation.{name}: is empty"
        elif not said.isprintable():
            yield f"implementation.{name}: {said!r} contains unprintable characters"
    claimed = told.implementation.claimed
    known = FEATURES.keys() | ALIASES
    yield from (f"implementation.claimed: {name} is not a feature" for name in claimed if name not in known)
    yield from (
        f"implementation.claimed: {name} is duplicated" for name, count in Counter(claimed).items() if count > 1
    )
    if not _is_time(told.at):
        yield f"at: {told.at!r} is not an RFC 3339 time in UTC"
    if told.seconds < 0:
        yield f"seconds: is {told.seconds:g}, which is negative"
    who = f"{told.implementation.name} {told.implementation.version}"
    for name, right in (("implementation", who), ("lbproof", told.suite)):
        if told.environment.get(name, right) != right:
            yield f"environment: {name} is {told.environment[name]}, but the run is one of {right}"
    yield from (f"witnesses: there is no {name}" for name in told.witnesses if name not in WITNESSES)
    for vantage, clock in told.clocks.items():
        if clock.uncertainty < 0:
            yield f"clocks: {vantage} has an uncertainty of {clock.uncertainty:g} s, which is negative"


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).utcoffset() == timedelta(0) and bool(_TIME.match(text))
    except ValueError:
        return False


def _contents(told: jsonreport.Report) -> Iterator[str]:
    twice = [name for name, count in Counter(row.id for row in told.requirements).items() if count > 1]
    yield from (f"{name}: is duplicated" for name in twice)
    is_whole = scope(told).whole
    for row in told.requirements:
        if row.id in REQUIREMENTS:
            yield from _requirement(row, told)
            yield from _outside(row, told.profile) if is_whole else ()
        else:
            yield f"{row.id}: not a requirement of the specification"
    order = [row.id for row in told.requirements if row.id in REQUIREMENTS]
    if not twice and order != [name for name in REQUIREMENTS if name in order]:
        yield "requirements: are not in the order of the specification"
    there = Counter(case.verdict for row in told.requirements for case in row.cases)
    for verdict in Verdict:
        if told.counts.get(verdict, 0) != there[verdict]:
            yield f"counts: {verdict} is {told.counts.get(verdict, 0)}, but the number of cases is {there[verdict]}"
    within: dict[str, set[float]] = {}
    for wait in (wait for row in told.requirements for case in row.cases for wait in case.waits):
        within.setdefault(wait.budget, set()).add(wait.within)
    for name, seconds in within.items():
        if len(seconds) > 1:
            yield f"budget {name}: is {' s and '.join(f'{one:g}' for one in sorted(seconds))} s in one run"


def _outside(row: jsonreport.Requirement, profile: str) -> Iterator[str]:
    """Report cases outside the profile of a run over all of it: only a selection by name judges such cases."""
    names = REQUIREMENTS[row.id].names
    features = PROFILES[profile].features
    outside = [case.name for case in row.cases if case.name in names and lacking(needs_of(case.name), features)]
    if outside:
        yield f"{', '.join(outside)}: not in profile {profile}, although the scope is the whole profile"


def _requirement(row: jsonreport.Requirement, told: jsonreport.Report) -> Iterator[str]:
    wanted = REQUIREMENTS[row.id].worded(told.spec)
    if not wanted.is_in(told.spec):
        yield f"{row.id}: not in specification {told.spec}, which it came after ({wanted.since})"
    if row.level is not wanted.level:
        yield f"{row.id}: is a {row.level}, but in the specification a {wanted.level}"
    earlier = [REQUIREMENTS[row.id].worded(version).text for version in _wordings(told.spec)]
    said = {
        "sentence": (row.sentence, row.sentence if row.sentence in earlier else wanted.text),
        "area": (row.area, wanted.area),
        "since": (row.since, wanted.since),
        "sources": ("; ".join(row.sources), "; ".join(wanted.sources)),
    }
    for name, (found, right) in said.items():
        if found != right:
            yield f"{row.id}: {name} is {found!r}, but in the specification {right!r}"
    if not row.cases and not row.standing:
        yield f"{row.id}: has no case"
    twice = Counter(case.name for case in row.cases)
    yield from (f"{name}: is duplicated" for name, count in twice.items() if count > 1)
    cases = wanted.names_in(told.spec) or wanted.names
    yield from (f"{case}: not a case of {row.id}" for case in sorted(twice.keys() - set(cases)))
    found = worst(jsonreport.verdicts(row))
    if found is not row.verdict:
        of = "its cases and of what witnesses saw" if row.standing else "its cases"
        yield f"{row.id}: is {row.verdict}, but the worst of {of} is {found}"
    yield from _standing(row, told)
    for case in row.cases:
        if case.name in wanted.names:
            yield from _case(case, told)
            yield from _measured(case, wanted.level)


def _wordings(spec: str) -> tuple[str, ...]:
    """Return the versions whose wording a report may have: of the present one also that before a wording changed."""
    return VERSIONS if spec == SPEC_VERSION else ()


def _case(case: jsonreport.Case, told: jsonreport.Report) -> Iterator[str]:
    family = family_shown(case.name, _claimed(told))
    if case.family != family:
        yield f"{case.name}: family is {case.family!r}, but by the specification and the claims {family!r}"
    right = sentence(case.name, told.spec)
    if case.sentence not in {right, *(sentence(case.name, version) for version in _wordings(told.spec))}:
        yield f"{case.name}: sentence is {case.sentence!r}, but in the specification {right!r}"
    missing = lacking(needs_of(case.name), _claimed(told))
    if missing and case.verdict is not Verdict.UNSUPPORTED:
        yield f"{case.name}: is {case.verdict}, but needs features that are not claimed: {', '.join(missing)}"
    elif not missing and case.verdict is Verdict.UNSUPPORTED:
        yield f"{case.name}: is unsupported, although every feature that it needs is claimed"
    yield from _reasons(case)
    if not 0 <= case.seconds <= told.seconds:
        yield f"{case.name}: took {case.seconds:g} s of a run of {told.seconds:g} s"
    for wait in case.waits:
        yield from wait_problems(case.name, wait)
        if wait.took > told.seconds:  # a watch may be older than its case, never than the run
            yield f"{case.name}: wait by {wait.budget}: took {wait.took:g} s of a run of {told.seconds:g} s"
        if case.verdict is Verdict.PASSED and not case.flaky and not wait.ok and wait.budget != _NOT_JUDGED:
            yield f"{case.name}: is passed, and a wait of it by {wait.budget} failed: {wait.what}"


def _measured(case: jsonreport.Case, level: Level) -> Iterator[str]:
    """Validate figures against the level: what is INFO is measured and never fails, nothing else has figures."""
    if level is not Level.INFO:
        if case.measured:
            yield f"{case.id}: has figures, but is a {level}"
    elif case.verdict is Verdict.FAILED:
        yield f"{case.id}: is failed, but is measured and not judged"
    elif case.verdict is Verdict.PASSED and not case.measured:
        yield f"{case.id}: is passed, but nothing was measured"


def _standing(row: jsonreport.Requirement, told: jsonreport.Report) -> Iterator[str]:
    """Validate what standing witnesses saw, as far as their observations tell."""
    cases = {case.name for other in told.requirements for case in other.cases}
    for one in row.standing:
        name = f"{row.id}: {one.promise} at {one.begin:g} s"
        promise = PROMISES.get(one.promise)
        if promise is None or row.id not in promise.requirements:
            yield f"{name}: no such promise of this requirement"
            continue
        if missing := lacking(REQUIREMENTS[row.id].needs, _claimed(told)):
            yield f"{name}: is judged, but needs features that are not claimed: {', '.join(missing)}"
        if one.during and one.during not in cases:
            yield f"{name}: {one.during}, which is said to have run, is no case of the run"
        if not 0 <= one.begin <= one.end <= told.seconds:
            yield f"{name}: from {one.begin:g} s to {one.end:g} s in a run of {told.seconds:g} s"
        if not _is_shown(promise, one):
            yield f"{name}: its observations do not show it"


def _is_shown(promise: Promise, one: jsonreport.Standing) -> bool:
    """Return whether the observations of a violation have the form of its witness and show it."""
    try:
        return promise.shown_by(one.observed)
    except (KeyError, TypeError, ValueError, IndexError):
        return False


def _reasons(case: jsonreport.Case) -> Iterator[str]:
    """Validate a verdict against its reason."""
    if case.verdict is Verdict.PASSED and not case.flaky and (case.reason or case.expected or case.observed):
        yield f"{case.name}: is passed, but has a reason why it is not"
    elif case.verdict is not Verdict.PASSED and not case.reason:
        yield f"{case.name}: is {case.verdict} without a reason"
    reasons = {reason.value for reason in Untestable}
    whole = {case.reason, *(case.reason[:at] for at, mark in enumerate(case.reason) if mark == ":")}
    if case.verdict is Verdict.UNTESTABLE and not whole & reasons:
        yield f"{case.name}: is untestable for a reason that is not in the closed list"
    if case.flaky and case.verdict is not Verdict.PASSED:
        yield f"{case.name}: is {case.verdict}, but only passed cases can be flaky"


class _Wait(Protocol):
    @property
    def budget(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def ok(self) -> bool: ...
    @property
    def took(self) -> float: ...
    @property
    def within(self) -> float: ...
    @property
    def ceiling(self) -> float: ...


def wait_problems(where: str, wait: _Wait) -> Iterator[str]:
    """Validate a wait against its budget's ceiling and its own times."""
    name = f"{where}: wait by {wait.budget}"
    if wait.budget not in BUDGETS:
        yield f"{name}: there is no such budget"
        return
    ceiling = BUDGETS[wait.budget].ceiling
    if wait.mode not in {"settles", "holds"}:
        yield f"{name}: mode {wait.mode!r} is neither settles nor holds"
    if wait.ceiling != ceiling:
        yield f"{name}: ceiling is {wait.ceiling:g} s, but in the specification {ceiling:g} s"
    if not 0 < wait.within <= ceiling:
        yield f"{name}: its budget is {wait.within:g} s, but at most {ceiling:g} s is allowed"
    if wait.took < 0:
        yield f"{name}: took {wait.took:g} s, which is negative"
    elif wait.mode == "settles" and wait.ok and wait.took > ceiling:
        yield f"{name}: took {wait.took:g} s, but at most {ceiling:g} s is allowed"
    elif wait.mode == "settles" and wait.ok and wait.took > wait.within + LOOK:
        yield f"{name}: took {wait.took:g} s of its budget of {wait.within:g} s, but is recorded as settled"
    elif wait.mode == "holds" and wait.ok and wait.took < wait.within:
        yield f"{name}: held for {wait.took:g} s of {wait.within:g} s, but is recorded as held"


def scope(told: jsonreport.Report) -> Scope:
    """Derive the scope of a report from its verdicts."""
    cases = [case for row in told.requirements for case in row.cases]
    reached = {case.name: case.verdict for case in cases if is_reached(case.verdict, case.reason)}
    return scope_of(told.profile, _claimed(told), reached, told.spec)


def _claimed(told: jsonreport.Report) -> frozenset[str]:
    return claims(told.implementation.claimed, told.spec)


def _conclusion(told: jsonreport.Report) -> Iterator[str]:
    """Validate scope, conclusion and exit by deriving them from the verdicts."""
    judged = scope(told)
    right = jsonreport.scope(judged)
    if told.scope is not None:
        for name in jsonreport.Scope.model_fields:
            found = getattr(told.scope, name)
            if name == "not_claimed" and told.spec != SPEC_VERSION:  # by the names of its version
                found = sorted(claims(found, told.spec))
            if found != getattr(right, name):
                yield f"scope: {name} is {found}, but the verdicts give {getattr(right, name)}"
    elif told.schema_version > 1:
        yield "scope: is missing"
    broken = [(Level.MUST, Verdict.ERROR) for one in told.witnesses.values() if one.state == "broken"]
    verdicts = [
        (REQUIREMENTS[row.id].level, verdict)
        for row in told.requirements
        if row.id in REQUIREMENTS
        for verdict in jsonreport.verdicts(row)
    ]
    by_verdicts = conclude(
        [*broken, *verdicts],
        whole=judged.whole,
        not_claimed=judged.not_claimed,
        flaky=[row.level for row in told.requirements for case in row.cases if case.flaky],
    )
    killed = bool(told.note) and told.conclusion is Conclusion.INCONCLUSIVE
    held = {Conclusion.CONFORMANT, Conclusion.PARTIAL}
    if told.conclusion is not by_verdicts and not (killed and by_verdicts in held):
        why = f" ({judged.text})" if judged.text else ""
        yield f"conclusion: is {told.conclusion}, but the verdicts give {by_verdicts}{why}"
    ended = told.conclusion is Conclusion.INCONCLUSIVE and told.exit in _BROKEN
    if told.exit != Exit.of(told.conclusion) and not ended:
        yield f"exit: is {told.exit}, but the conclusion is {told.conclusion}"
