"""Check of somebody else's report: against itself, the specification, and the events and files beside it.

Everything that a report says and that can be worked out again is worked out again. Each finding is one line that holds
nothing that could steer a terminal.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError

from lbproof import __version__
from lbproof.report import html, jsonreport, junit, model
from lbproof.report.text import printable
from lbproof.spec import (
    BUDGETS,
    FEATURES,
    PROFILES,
    REQUIREMENTS,
    SPEC_VERSION,
    Conclusion,
    Exit,
    Scope,
    Untestable,
    Verdict,
    conclude,
    is_reached,
    scope_of,
    worst,
)
from lbproof.spec.requirements import needs_of, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

SUMS = "SHA256SUMS"
_SUM = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<path>.+)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
LOOK = 5.0
"""Seconds that the last look of a wait may take beyond its budget."""
_BROKEN = {Exit.NO_ENVIRONMENT, Exit.BUG}
_NOT_JUDGED = "at_rest"
"""The budget of a wait after a check, which judges nothing."""
_CHECKED = {Verdict.PASSED, Verdict.FAILED, Verdict.UNTESTABLE}
"""Verdicts that only a check can give."""


_LONGEST = 400
"""Characters of a finding: what a report says may be of any length."""


def verify(what: Path) -> list[str]:
    """What is wrong with a run's folder or a `report.json`, a line each; empty when it is in order."""
    lines = [printable(problem) for problem in _verify(what)]
    return [line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in lines]


def summary(what: Path) -> list[str]:
    """What a report that is in order says, and what nobody can prove from it. Raises as `verify` does not."""
    report = what / "report.json" if what.is_dir() else what
    told = jsonreport.Report.model_validate_json(report.read_bytes())
    scope = _scope(told)
    who = f"{told.implementation.name} {told.implementation.version}"
    lines = [f"in order: {who} is {told.conclusion}, profile {told.profile}, specification {told.spec}"]
    if scope.text:
        held = "; what was judged held" if told.conclusion is Conclusion.PARTIAL else ""
        lines.append(f"{scope.text}{held}")
    lines.append("cannot prove: that the run took place, and as its events say (nothing is signed)")
    if not what.is_dir():
        lines.append("cannot prove: that its events say the same (verify the run's folder instead)")
    elif not _are_ours(told):
        lines.append("cannot prove: that the pages show what its events say (another version of lbproof made them)")
    return [printable(line) for line in lines]


def checksums(run: Path) -> dict[str, str]:
    """SHA-256 of every file of a run's folder but the sums themselves, by its path in the folder."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and path != run / SUMS)
    return {path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _verify(what: Path) -> list[str]:
    if not what.is_dir():
        if not what.is_file():
            return [f"{what}: neither a folder nor a regular file"]
        told, problems = _read(what)
        return problems if told is None else _alone(told)
    if not_read := [*_links(what), *_specials(what)]:
        return [f"{path}; such a folder is not read" for path in not_read]
    try:
        problems = _folder(what)
    except OSError as error:
        return [f"{error.filename}: {error.strerror}"]
    told, unreadable = _read(what / "report.json")
    if told is None:
        return [*problems, *unreadable]
    return [*problems, *_alone(told), *_beside(what, told)]


def _alone(told: jsonreport.Report) -> list[str]:
    return [*_head(told), *_contents(told), *_conclusion(told)]


def _read(report: Path) -> tuple[jsonreport.Report | None, list[str]]:
    """A report, or None and why it cannot be judged."""
    try:
        text = report.read_bytes()
        if unreadable := _unreadable(text):
            return None, [f"{report.name}: {unreadable}"]
        told = jsonreport.Report.model_validate_json(text)
    except OSError as error:
        return None, [f"{report}: {error.strerror}"]
    except ValidationError as error:
        where = [(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        return None, [f"{report.name}: {place or 'the file'}: {message}" for place, message in where]
    unknown = [f"{report.name}: {line}" for line in _unknown(told)]
    return (None if unknown else told), unknown


def _unreadable(text: bytes) -> str:
    """Why a report cannot be judged at all: a later version made it, or it says a thing twice. Empty when it can."""
    told: Any
    try:
        told, twice = _once(text)
    except (ValueError, RecursionError):
        return ""
    if twice:
        return f"the field {twice} is there twice in one object"
    version = told.get("schema_version") if isinstance(told, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        return "schema_version is missing, or not a whole number"
    if version > jsonreport.SCHEMA:
        return f"schema_version {version} is newer than this lbproof reads ({jsonreport.SCHEMA}): update lbproof"
    return "" if version >= 1 else f"schema_version {version}: there is none below 1"


def _links(run: Path) -> Iterator[str]:
    """Symbolic links of a folder that lead out of it."""
    root = run.resolve()
    for folder, folders, files in os.walk(run):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not _is_below(path, root):
                yield f"{path.relative_to(run).as_posix()}: a symbolic link that leads out of the run's folder"


def _specials(run: Path) -> Iterator[str]:
    """What is neither a folder nor a regular file, as a FIFO, which would be read for ever."""
    for path in sorted(run.rglob("*")):
        if not (path.is_file() or path.is_dir()):
            yield f"{path.relative_to(run).as_posix()}: neither a folder nor a regular file"


def _is_below(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a loop
        return False


def _folder(run: Path) -> list[str]:
    sums = run / SUMS
    if not sums.exists():
        return [f"{SUMS} is missing: lbproof report html {run} makes it again"]
    lines = sums.read_text(encoding="utf-8", errors="replace").splitlines()
    read = [match for line in lines if (match := _SUM.fullmatch(line))]
    written = {match["path"]: match["digest"] for match in read}
    odd = [f"{SUMS}: a line of it is not a SHA-256 in hexadecimal, two blanks and a path"]
    now = checksums(run)
    return [
        *(odd if len(read) != len(lines) else []),
        *([f"{SUMS}: names a file twice"] if len(written) != len(read) else []),
        *(f"{name}: missing" for name in sorted(written.keys() - now.keys())),
        *(f"{name}: not in {SUMS}" for name in sorted(now.keys() - written.keys())),
        *(
            f"{name}: changed since {SUMS} was written"
            for name in sorted(now)
            if written.get(name, now[name]) != now[name]
        ),
    ]


# --- the report against the specification and against itself


def _unknown(told: jsonreport.Report) -> Iterator[str]:
    """What has to be known before anything else can be judged."""
    if told.spec != SPEC_VERSION:
        yield f"spec {told.spec!r} is not known; this lbproof knows {SPEC_VERSION}: use the lbproof of that version"
    elif told.profile not in PROFILES:
        yield f"profile {told.profile!r} is not in specification {told.spec}, which has {', '.join(PROFILES)}"


def _head(told: jsonreport.Report) -> Iterator[str]:
    for name in ("name", "version"):
        said = getattr(told.implementation, name)
        if not said.strip():
            yield f"implementation.{name}: is empty"
        elif not said.isprintable():
            yield f"implementation.{name}: {said!r} holds what cannot be printed"
    claimed = told.implementation.claimed
    yield from (f"implementation.claimed: {name} is no feature" for name in claimed if name not in FEATURES)
    yield from (
        f"implementation.claimed: {name} is there twice" for name, count in Counter(claimed).items() if count > 1
    )
    if not _is_time(told.at):
        yield f"at: {told.at!r} is not a time as in RFC 3339, in UTC"
    if told.seconds < 0:
        yield f"seconds: is {told.seconds:g}, below 0"


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).utcoffset() == timedelta(0) and bool(_TIME.match(text))
    except ValueError:
        return False


def _contents(told: jsonreport.Report) -> Iterator[str]:
    twice = [name for name, count in Counter(row.id for row in told.requirements).items() if count > 1]
    yield from (f"{name}: is there twice" for name in twice)
    for row in told.requirements:
        if row.id in REQUIREMENTS:
            yield from _requirement(row, told)
            yield from _outside(row, told)
        else:
            yield f"{row.id}: not a requirement of the specification"
    order = [row.id for row in told.requirements if row.id in REQUIREMENTS]
    if not twice and order != [name for name in REQUIREMENTS if name in order]:
        yield "requirements: are not in the order of the specification"
    there = Counter(case.verdict for row in told.requirements for case in row.cases)
    for verdict in Verdict:
        if told.counts.get(verdict, 0) != there[verdict]:
            yield f"counts: {verdict} is {told.counts.get(verdict, 0)}, and there are {there[verdict]}"
    within: dict[str, set[float]] = {}
    for wait in (wait for row in told.requirements for case in row.cases for wait in case.waits):
        within.setdefault(wait.budget, set()).add(wait.within)
    for name, seconds in within.items():
        if len(seconds) > 1:
            yield f"budget {name}: is {' s and '.join(f'{one:g}' for one in sorted(seconds))} s in one run"


def _outside(row: jsonreport.Requirement, told: jsonreport.Report) -> Iterator[str]:
    """Cases that are no part of the profile: only a run that selects requirements by name judges them."""
    scope = _scope(told)
    features = PROFILES[told.profile].features
    outside = [case.id for case in row.cases if case.id in REQUIREMENTS[row.id].case_ids]
    outside = [name for name in outside if not needs_of(name) <= features]
    if scope.whole and outside:
        yield f"{', '.join(outside)}: no part of profile {told.profile}, which is said to be judged whole"


def _requirement(row: jsonreport.Requirement, told: jsonreport.Report) -> Iterator[str]:
    wanted = REQUIREMENTS[row.id]
    if row.level is not wanted.level:
        yield f"{row.id}: is a {row.level}, and in the specification a {wanted.level}"
    said = {
        "sentence": (row.sentence, wanted.text),
        "area": (row.area, wanted.area),
        "since": (row.since, wanted.since),
        "sources": ("; ".join(row.sources), "; ".join(wanted.sources)),
    }
    for name, (found, right) in said.items():
        if found != right:
            yield f"{row.id}: {name} is {found!r}, and in the specification {right!r}"
    if not row.cases:
        yield f"{row.id}: has no case"
    twice = Counter(case.id for case in row.cases)
    yield from (f"{name}: is there twice" for name, count in twice.items() if count > 1)
    yield from (f"{case}: not a case of {row.id}" for case in sorted(twice.keys() - set(wanted.case_ids)))
    found = worst(case.verdict for case in row.cases)
    if found is not row.verdict:
        yield f"{row.id}: is {row.verdict}, and the worst of its cases is {found}"
    for case in row.cases:
        if case.id in wanted.case_ids:
            yield from _case(case, told)


def _case(case: jsonreport.Case, told: jsonreport.Report) -> Iterator[str]:
    if case.sentence != sentence(case.id):
        yield f"{case.id}: sentence is {case.sentence!r}, and in the specification {sentence(case.id)!r}"
    missing = sorted(needs_of(case.id) - set(told.implementation.claimed))
    if missing and case.verdict is not Verdict.UNSUPPORTED:
        yield f"{case.id}: is {case.verdict}, and needs features that are not claimed: {', '.join(missing)}"
    elif not missing and case.verdict is Verdict.UNSUPPORTED:
        yield f"{case.id}: is unsupported, and every feature that it needs is claimed"
    yield from _reasons(case)
    if not 0 <= case.seconds <= told.seconds:
        yield f"{case.id}: took {case.seconds:g} s of a run of {told.seconds:g} s"
    for wait in case.waits:
        yield from _wait(case.id, wait)
        if wait.took > told.seconds:  # a watch may be older than its case, never than the run
            yield f"{case.id}: wait by {wait.budget}: took {wait.took:g} s of a run of {told.seconds:g} s"
        if case.verdict is Verdict.PASSED and not wait.ok and wait.budget != _NOT_JUDGED:
            yield f"{case.id}: is passed, and a wait of it by {wait.budget} failed: {wait.what}"


def _reasons(case: jsonreport.Case) -> Iterator[str]:
    """A verdict against what is said about it."""
    if case.verdict is Verdict.PASSED and not case.flaky and (case.reason or case.expected or case.observed):
        yield f"{case.id}: is passed, and says why it is not"
    elif case.verdict is not Verdict.PASSED and not case.reason:
        yield f"{case.id}: is {case.verdict}, and does not say why"
    reasons = {reason.value for reason in Untestable}
    whole = {case.reason, *(case.reason[:at] for at, mark in enumerate(case.reason) if mark == ":")}
    if case.verdict is Verdict.UNTESTABLE and not whole & reasons:
        yield f"{case.id}: is untestable for a reason that is not in the closed list"
    if case.flaky and case.verdict is not Verdict.PASSED:
        yield f"{case.id}: is {case.verdict}, and only what passed can be flaky"


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


def _wait(where: str, wait: _Wait) -> Iterator[str]:
    """A wait against its budget's ceiling and its own times."""
    name = f"{where}: wait by {wait.budget}"
    if wait.budget not in BUDGETS:
        yield f"{name}: there is no such budget"
        return
    ceiling = BUDGETS[wait.budget].ceiling
    if wait.mode not in {"settles", "holds"}:
        yield f"{name}: mode {wait.mode!r} is neither settles nor holds"
    if wait.ceiling != ceiling:
        yield f"{name}: ceiling is {wait.ceiling:g} s, and in the specification {ceiling:g} s"
    if not 0 < wait.within <= ceiling:
        yield f"{name}: its budget is {wait.within:g} s, and at most {ceiling:g} s is allowed"
    if wait.took < 0:
        yield f"{name}: took {wait.took:g} s, below 0"
    elif wait.mode == "settles" and wait.ok and wait.took > ceiling:
        yield f"{name}: took {wait.took:g} s, and at most {ceiling:g} s is allowed"
    elif wait.mode == "settles" and wait.ok and wait.took > wait.within + LOOK:
        yield f"{name}: took {wait.took:g} s of its budget of {wait.within:g} s, and is said to have settled"
    elif wait.mode == "holds" and wait.ok and wait.took < wait.within:
        yield f"{name}: held for {wait.took:g} s of {wait.within:g} s, and is said to have held"


def _scope(told: jsonreport.Report) -> Scope:
    cases = [case for row in told.requirements for case in row.cases]
    reached = {case.id: case.verdict for case in cases if is_reached(case.verdict, case.reason)}
    return scope_of(told.profile, told.implementation.claimed, reached)


def _conclusion(told: jsonreport.Report) -> Iterator[str]:
    """Scope, conclusion and exit, worked out again from the verdicts."""
    scope = _scope(told)
    right = jsonreport.scope(scope)
    if told.scope is not None:
        for name in jsonreport.Scope.model_fields:
            if getattr(told.scope, name) != getattr(right, name):
                found = getattr(told.scope, name)
                yield f"scope: {name} is {found}, and the verdicts say {getattr(right, name)}"
    elif told.schema_version > 1:
        yield "scope: is missing"
    by_verdicts = conclude(
        (
            (REQUIREMENTS[row.id].level, case.verdict)
            for row in told.requirements
            if row.id in REQUIREMENTS
            for case in row.cases
        ),
        whole=scope.whole,
        not_claimed=scope.not_claimed,
    )
    killed = bool(told.note) and told.conclusion is Conclusion.INCONCLUSIVE
    held = {Conclusion.CONFORMANT, Conclusion.PARTIAL}
    if told.conclusion is not by_verdicts and not (killed and by_verdicts in held):
        why = f" ({scope.text})" if scope.text else ""
        yield f"conclusion: is {told.conclusion}, and the verdicts say {by_verdicts}{why}"
    broken = told.conclusion is Conclusion.INCONCLUSIVE and told.exit in _BROKEN
    if told.exit != Exit.of(told.conclusion) and not broken:
        yield f"exit: is {told.exit}, and the conclusion is {told.conclusion}"


# --- the report against what it stands beside


def _beside(folder: Path, told: jsonreport.Report) -> list[str]:
    cases = [case for row in told.requirements for case in row.cases]
    named = [(kept.path, case.id) for case in cases for kept in case.evidence]
    problems = [f"report.json: {path} of {case} is not there" for path, case in named if not _holds(folder, path)]
    try:
        run = model.read(folder)
    except model.BadRun as error:
        return [*problems, str(error)]
    problems += [f"{model.EVENTS}, {problem}" for problem in _stream((folder / model.EVENTS).read_bytes())]
    problems += _events(run)
    again = jsonreport.of(run)
    names = set(jsonreport.Report.model_fields) - {"schema_version", "scope", "requirements", "counts"}
    other = [name for name in jsonreport.Report.model_fields if name in names]
    problems += [
        f"report.json: {name} is not what {model.EVENTS} says"
        for name in other
        if getattr(told, name) != getattr(again, name)
    ]
    problems += _cases(told, again)
    return [*problems, *_pages(folder, run, told)]


def _stream(text: bytes) -> Iterator[str]:
    """The order of the events, line by line: one run, from its begin to its end, and each verdict after its check."""
    lines = text.split(b"\n")
    began: set[str] = set()
    judged: dict[str, str] = {}
    ended = 0
    for number, line in enumerate(lines, 1):
        if ended and line:
            yield f"line {number}: comes after run.finished"
            return
        if not line or number == len(lines):  # the last line of a run that was killed may be cut
            continue
        event, twice = _once(line)
        if twice:
            yield f"line {number}: the field {twice} is there twice in one object"
        match event["event"]:
            case "run.started" if number > 1:
                yield f"line {number}: the run starts again"
            case "run.finished":
                ended = number
            case "check.started":
                began.add(event["case"])
            case "check.finished":
                yield from (f"line {number}: {problem}" for problem in _verdict(event, began, judged))


def _verdict(event: model.Event, began: set[str], judged: dict[str, str]) -> Iterator[str]:
    """A verdict against what the stream said of its case before."""
    name, verdict = event["case"], event["verdict"]
    if name in judged and name not in began:
        yield f"{name} is {verdict}, was {judged[name]}, and no check of it began in between"
    elif judged.get(name) == Verdict.FAILED and verdict == Verdict.PASSED and not event.get("flaky"):
        yield f"{name} is passed, was failed, and is not called flaky"
    began.discard(name)
    judged[name] = verdict


def _once(line: bytes) -> tuple[Any, str]:
    """What a JSON text holds, and a field that it says twice in one object; empty when there is none."""
    twice: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(name for name, count in Counter(name for name, _ in found).items() if count > 1)
        return dict(found)

    held = json.loads(line, object_pairs_hook=pairs)
    return held, (twice or [""])[0]


def _cases(told: jsonreport.Report, again: jsonreport.Report) -> Iterator[str]:
    there = {case.id: case for row in told.requirements for case in row.cases}
    for judged in (case for row in again.requirements for case in row.cases):
        case = there.pop(judged.id, None)
        if case is None or case.verdict is not judged.verdict:
            verdict = "not there" if case is None else case.verdict
            yield f"report.json: {judged.id} is {verdict}, and {model.EVENTS} says {judged.verdict}"
            continue
        for name in jsonreport.Case.model_fields:
            if name != "sentence" and getattr(case, name) != getattr(judged, name):
                yield f"report.json: {name} of {judged.id} is not what {model.EVENTS} says"
    yield from (f"report.json: {name} is not in {model.EVENTS}" for name in there)


def _events(run: model.Run) -> Iterator[str]:
    """The events against the specification, for what the report does not hold."""
    for name, seconds in run.started["budgets"].items():
        if name not in BUDGETS:
            yield f"{model.EVENTS}: there is no budget {name}"
        elif not 0 < seconds <= BUDGETS[name].ceiling:
            yield f"{model.EVENTS}: budget {name} is {seconds:g} s, and at most {BUDGETS[name].ceiling:g} s is allowed"
    for case in run.cases:
        yield from _judged(case, run)
    for wait in run.lab_waits:
        yield from _wait(model.EVENTS, jsonreport.Wait(**{name: wait[name] for name in jsonreport.Wait.model_fields}))
    finished = run.finished
    if finished is None or run.started["format"] < 2:  # noqa: PLR2004 - what `FORMAT` says of 2
        return
    if finished["conclusion"] != run.conclusion:
        yield f"{model.EVENTS}: conclusion is {finished['conclusion']}, and the verdicts say {run.conclusion}"
    if finished["exit"] != run.exit:
        yield f"{model.EVENTS}: exit is {finished['exit']}, and the conclusion is {run.conclusion}"


def _judged(case: model.Case, run: model.Run) -> Iterator[str]:
    """What the events say of one case."""
    started = run.started
    for wait in case.waits:
        in_force = started["budgets"].get(wait["budget"], wait["within"])
        if wait["within"] != in_force:
            yield (
                f"{model.EVENTS}: {case.id} waited by {wait['budget']} for {wait['within']:g} s, "
                f"and {in_force:g} s were in force"
            )
    if case.verdict in _CHECKED and not (case.began and case.node):
        yield f"{model.EVENTS}: {case.id} is {case.verdict}, and no check of it began"
    if case.verdict in _CHECKED and case.id not in started["selected"]:
        yield f"{model.EVENTS}: {case.id} is {case.verdict}, and was not selected"
    if case.verdict is Verdict.SKIPPED and case.id not in started["left_out"]:
        yield f"{model.EVENTS}: {case.id} is skipped, and nobody left it out"


def _are_ours(told: jsonreport.Report) -> bool:
    """Whether this version of lbproof made the pages of a run, so that it can make them again."""
    return told.suite == __version__ and told.schema_version == jsonreport.SCHEMA


def _pages(folder: Path, run: model.Run, told: jsonreport.Report) -> Iterator[str]:
    """The other files that are made from the events, when this version of lbproof made them."""
    made = {"environment.json": json.dumps(run.environment, indent=1) + "\n"}
    if _are_ours(told):
        made |= {"junit.xml": junit.of(run), "report.html": html.of(run)}
    for name, text in made.items():
        try:
            same = (folder / name).read_bytes() == text.encode(errors="replace")
        except OSError as error:
            yield f"{name}: {error.strerror}"
            continue
        if not same:
            yield f"{name}: is not what {model.EVENTS} makes; lbproof report html makes it again"


def _holds(folder: Path, path: str) -> bool:
    """Whether a path leads to something below a folder."""
    try:
        found = (folder / path).resolve()
        return found.exists() and found.is_relative_to(folder.resolve())
    except (OSError, ValueError):  # too long, or no path at all
        return False
