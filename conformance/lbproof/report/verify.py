"""Verification of a submitted report: consistency, specification, and the events and files beside it.

All derivable values of a report are derived again. Each finding is one line without control characters.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lbproof import __version__
from lbproof.report import claims, html, jsonreport, junit, model
from lbproof.report.text import printable
from lbproof.spec import BUDGETS, Conclusion, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

SUMS = "SHA256SUMS"
_SUM = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<path>.+)")
_LONGEST = 400
"""Maximum number of characters of a finding, which may quote long text of a report."""
_CHECKED = {Verdict.PASSED, Verdict.FAILED, Verdict.UNTESTABLE}
"""Verdicts that only an executed check can have."""


def verify(what: Path) -> list[str]:
    """Return the findings on a run's folder or a `report.json`, one line each; empty when it is valid."""
    lines = [printable(problem) for problem in _verify(what)]
    return [line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in lines]


def summary(what: Path) -> list[str]:
    """Summarize a valid report and what it cannot prove. The report must have passed `verify`."""
    report = what / "report.json" if what.is_dir() else what
    told = jsonreport.Report.model_validate_json(report.read_bytes())
    scope = claims.scope(told)
    who = f"{told.implementation.name} {told.implementation.version}"
    lines = [f"valid: {who} is {told.conclusion}, profile {told.profile}, specification {told.spec}"]
    if scope.text:
        held = "; what was judged held" if told.conclusion is Conclusion.PARTIAL else ""
        lines.append(f"{scope.text}{held}")
    lines.append("not proven: that the run took place as recorded (nothing is signed)")
    if not what.is_dir():
        lines.append("not proven: that its events agree (verify the run's folder instead)")
    elif not _are_ours(told):
        lines.append("not proven: that the pages agree with the events (another version of lbproof generated them)")
    return [printable(line) for line in lines]


def checksums(run: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a run's folder except `SHA256SUMS`, by path in the folder."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and path != run / SUMS)
    return {path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _verify(what: Path) -> list[str]:
    if not what.is_dir():
        if not what.is_file():
            return [f"{what}: neither a folder nor a regular file"]
        told, problems = _read(what)
        return problems if told is None else _alone(told)
    if not_read := [*_links(what), *_specials(what)]:
        return [f"{path}; such a folder is not verified" for path in not_read]
    try:
        problems = _folder(what)
    except OSError as error:
        return [f"{error.filename}: {error.strerror}"]
    told, unreadable = _read(what / "report.json")
    if told is None:
        return [*problems, *unreadable]
    return [*problems, *_alone(told), *_beside(what, told)]


def _alone(told: jsonreport.Report) -> list[str]:
    return list(claims.problems(told))


def _read(report: Path) -> tuple[jsonreport.Report | None, list[str]]:
    """Read a report; return None and the reason when it cannot be verified."""
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
    unknown = [f"{report.name}: {line}" for line in claims.unknown(told)]
    return (None if unknown else told), unknown


def _unreadable(text: bytes) -> str:
    """Return why a report cannot be verified: later version or duplicate fields. Empty when it can."""
    told: Any
    try:
        told, twice = _once(text)
    except (ValueError, RecursionError):
        return ""
    if twice:
        return f"the field {twice} is duplicated in an object"
    version = told.get("schema_version") if isinstance(told, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        return "schema_version is missing, or not a whole number"
    if version > jsonreport.SCHEMA:
        return f"schema_version {version} is newer than this lbproof reads ({jsonreport.SCHEMA}): update lbproof"
    return "" if version >= 1 else f"schema_version {version} is below 1"


def _links(run: Path) -> Iterator[str]:
    """Return symbolic links of a folder that point outside of it."""
    root = run.resolve()
    for folder, folders, files in os.walk(run):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and not _is_below(path, root):
                yield f"{path.relative_to(run).as_posix()}: a symbolic link to a target outside the run's folder"


def _specials(run: Path) -> Iterator[str]:
    """Return paths that are neither a folder nor a regular file, such as a FIFO, which would block a reader."""
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
        return [f"{SUMS} is missing: generate it with lbproof report html {run}"]
    lines = sums.read_text(encoding="utf-8", errors="replace").splitlines()
    read = [match for line in lines if (match := _SUM.fullmatch(line))]
    written = {match["path"]: match["digest"] for match in read}
    odd = [f"{SUMS}: a line of it is not a SHA-256 in hexadecimal, two blanks and a path"]
    now = checksums(run)
    return [
        *(odd if len(read) != len(lines) else []),
        *([f"{SUMS}: names a file more than once"] if len(written) != len(read) else []),
        *(f"{name}: missing" for name in sorted(written.keys() - now.keys())),
        *(f"{name}: not in {SUMS}" for name in sorted(now.keys() - written.keys())),
        *(
            f"{name}: changed since {SUMS} was written"
            for name in sorted(now)
            if written.get(name, now[name]) != now[name]
        ),
    ]


def _beside(folder: Path, told: jsonreport.Report) -> list[str]:
    cases = [case for row in told.requirements for case in row.cases]
    named = [(kept.path, case.id) for case in cases for kept in case.evidence]
    problems = [f"report.json: {path} of {case} does not exist" for path, case in named if not _holds(folder, path)]
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
        f"report.json: {name} differs from {model.EVENTS}"
        for name in other
        if getattr(told, name) != getattr(again, name)
    ]
    problems += _cases(told, again)
    return [*problems, *_pages(folder, run, told)]


def _stream(text: bytes) -> Iterator[str]:
    """Validate the order of the events: one run from start to end, and each verdict after the start of its check."""
    lines = text.split(b"\n")
    began: set[str] = set()
    judged: dict[str, str] = {}
    ended = 0
    for number, line in enumerate(lines, 1):
        if ended and line:
            yield f"line {number}: event after run.finished"
            return
        if not line or number == len(lines):  # the last line of a run that was killed may be cut
            continue
        event, twice = _once(line)
        if twice:
            yield f"line {number}: the field {twice} is duplicated in an object"
        match event["event"]:
            case "run.started" if number > 1:
                yield f"line {number}: second run.started"
            case "run.finished":
                ended = number
            case "check.started":
                began.add(event["case"])
            case "check.finished":
                yield from (f"line {number}: {problem}" for problem in _verdict(event, began, judged))


def _verdict(event: model.Event, began: set[str], judged: dict[str, str]) -> Iterator[str]:
    """Validate a verdict against the earlier events of its case."""
    name, verdict = event["case"], event["verdict"]
    if name in judged and name not in began:
        yield f"{name} is {verdict}, was {judged[name]}, but no check of it started in between"
    elif judged.get(name) == Verdict.FAILED and verdict == Verdict.PASSED and not event.get("flaky"):
        yield f"{name} is passed, was failed, but is not marked flaky"
    began.discard(name)
    judged[name] = verdict


def _once(line: bytes) -> tuple[Any, str]:
    """Parse a JSON text; also return a duplicate field of an object, empty when there is none."""
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
            yield f"report.json: {judged.id} is {verdict}, but {model.EVENTS} says {judged.verdict}"
            continue
        for name in jsonreport.Case.model_fields:
            if name != "sentence" and getattr(case, name) != getattr(judged, name):
                yield f"report.json: {name} of {judged.id} differs from {model.EVENTS}"
    yield from (f"report.json: {name} is not in {model.EVENTS}" for name in there)


def _events(run: model.Run) -> Iterator[str]:
    """Validate the events against the specification, for fields that the report does not contain."""
    for name, seconds in run.started["budgets"].items():
        if name not in BUDGETS:
            yield f"{model.EVENTS}: there is no budget {name}"
        elif not 0 < seconds <= BUDGETS[name].ceiling:
            yield f"{model.EVENTS}: budget {name} is {seconds:g} s, but at most {BUDGETS[name].ceiling:g} s is allowed"
    for case in run.cases:
        yield from _judged(case, run)
    for wait in run.lab_waits:
        read = jsonreport.Wait(**{name: wait[name] for name in jsonreport.Wait.model_fields})
        yield from claims.wait_problems(model.EVENTS, read)
    finished = run.finished
    if finished is None or run.started["format"] < 2:  # noqa: PLR2004 - what `FORMAT` says of 2
        return
    if finished["conclusion"] != run.conclusion:
        yield f"{model.EVENTS}: conclusion is {finished['conclusion']}, but the verdicts give {run.conclusion}"
    if finished["exit"] != run.exit:
        yield f"{model.EVENTS}: exit is {finished['exit']}, but the conclusion is {run.conclusion}"


def _judged(case: model.Case, run: model.Run) -> Iterator[str]:
    """Validate the events of one case."""
    started = run.started
    for wait in case.waits:
        in_force = started["budgets"].get(wait["budget"], wait["within"])
        if wait["within"] != in_force:
            yield (
                f"{model.EVENTS}: {case.id} waited by {wait['budget']} for {wait['within']:g} s, "
                f"but its budget was {in_force:g} s"
            )
    if case.verdict in _CHECKED and not (case.began and case.node):
        yield f"{model.EVENTS}: {case.id} is {case.verdict}, but no check of it started"
    if case.verdict in _CHECKED and case.id not in started["selected"]:
        yield f"{model.EVENTS}: {case.id} is {case.verdict}, but was not selected"
    if case.verdict is Verdict.SKIPPED and case.id not in started["left_out"]:
        yield f"{model.EVENTS}: {case.id} is skipped, but was not excluded"


def _are_ours(told: jsonreport.Report) -> bool:
    """Return whether this version of lbproof generated the files of a run, so that it can reproduce them."""
    return told.suite == __version__ and told.schema_version == jsonreport.SCHEMA


def _pages(folder: Path, run: model.Run, told: jsonreport.Report) -> Iterator[str]:
    """Compare the other generated files with the events, if this version of lbproof generated them."""
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
            yield f"{name}: differs from what {model.EVENTS} generates; lbproof report html generates it again"


def _holds(folder: Path, path: str) -> bool:
    """Return whether a path points into a folder."""
    try:
        found = (folder / path).resolve()
        return found.exists() and found.is_relative_to(folder.resolve())
    except (OSError, ValueError):  # too long, or no path at all
        return False
