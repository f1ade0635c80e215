"""Verification of a submitted report: consistency, specification, and the events and files beside it.

All derivable values of a report are derived again. Each finding is one line without control characters.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lbproof import __version__
from lbproof.files import not_plain
from lbproof.report import claims, folder, html, jsonreport, junit, model, signature, stream
from lbproof.spec import Conclusion
from lbproof.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WARRANTED = "the signer answers for it"
_LONGEST = 400
"""Maximum number of characters of a finding, which may quote long text of a report."""


def verify(what: Path, signers: Path | None = None) -> list[str]:
    """Return the findings on a run's folder or a `report.json`, one line each; empty when it is valid.

    `signers`: file of the signers of which one must have signed the folder (`lbproof.report.signature`).
    """
    lines = [printable(problem) for problem in _verify(what, signers)]
    return [line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in lines]


def summary(what: Path, signers: Path | None = None) -> list[str]:
    """Summarize a valid report and what it cannot prove. The report must have passed `verify` with these signers."""
    report = what / "report.json" if what.is_dir() else what
    told = jsonreport.Report.model_validate_json(report.read_bytes())
    scope = claims.scope(told)
    who = f"{told.implementation.name} {told.implementation.version}"
    lines = [f"valid: {who} is {told.conclusion}, profile {told.profile}, specification {told.spec}"]
    if scope.text:
        held = "; what was judged held" if told.conclusion is Conclusion.PARTIAL else ""
        lines.append(f"{scope.text}{held}")
    signed = signature.verify(what, signers)[1] if what.is_dir() else ""
    if signed:
        lines.append(signed)
    lines.append(f"not proven: that the run took place as recorded ({_WARRANTED if signed else 'nothing is signed'})")
    if not what.is_dir():
        lines.append("not proven: that its events agree (verify the run's folder instead)")
    elif not _are_ours(told):
        lines.append("not proven: that the pages agree with the events (another version of lbproof generated them)")
    return [printable(line) for line in lines]


def _verify(what: Path, signers: Path | None) -> list[str]:
    if not what.is_dir():
        if not what.is_file():
            return [f"{what}: neither a folder nor a regular file"]
        told, problems = _read(what)
        unsigned = [f"{what}: a signature covers the run's folder: verify that"] if signers else []
        return problems if told is None else [*unsigned, *_alone(told)]
    if not_read := not_plain(what):
        return [f"{line}; such a folder is not verified" for line in not_read]
    try:
        problems = [*folder.problems(what), *signature.verify(what, signers)[0]]
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
        told, twice = stream.once(text)
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


def _beside(run_folder: Path, told: jsonreport.Report) -> list[str]:
    cases = [case for row in told.requirements for case in row.cases]
    named = [(kept.path, case.name) for case in cases for kept in case.evidence]
    problems = [f"report.json: {path} of {case} does not exist" for path, case in named if not _holds(run_folder, path)]
    try:
        run = model.read(run_folder)
    except model.BadRun as error:
        return [*problems, str(error)]
    problems += [f"{model.EVENTS}, {problem}" for problem in stream.order((run_folder / model.EVENTS).read_bytes())]
    problems += stream.fields(run)
    again = jsonreport.of(run)
    names = set(jsonreport.Report.model_fields) - {"schema_version", "scope", "requirements", "counts"}
    other = [name for name in jsonreport.Report.model_fields if name in names]
    problems += [
        f"report.json: {name} differs from {model.EVENTS}"
        for name in other
        if getattr(told, name) != getattr(again, name)
    ]
    problems += _cases(told, again)
    return [*problems, *_pages(run_folder, run, told)]


def _cases(told: jsonreport.Report, again: jsonreport.Report) -> Iterator[str]:
    there = {case.name: case for row in told.requirements for case in row.cases}
    standing = {row.id: row.standing for row in told.requirements}
    for row in again.requirements:
        if standing.get(row.id, []) != row.standing:
            yield f"report.json: what standing witnesses saw of {row.id} differs from {model.EVENTS}"
    for judged in (case for row in again.requirements for case in row.cases):
        case = there.pop(judged.name, None)
        if case is None or case.verdict is not judged.verdict:
            verdict = "not there" if case is None else case.verdict
            yield f"report.json: {judged.name} is {verdict}, but {model.EVENTS} says {judged.verdict}"
            continue
        for name in jsonreport.Case.model_fields:
            if name != "sentence" and getattr(case, name) != getattr(judged, name):
                yield f"report.json: {name} of {judged.name} differs from {model.EVENTS}"
    yield from (f"report.json: {name} is not in {model.EVENTS}" for name in there)


def _are_ours(told: jsonreport.Report) -> bool:
    """Return whether this version of lbproof generated the files of a run, so that it can reproduce them."""
    return told.suite == __version__ and told.schema_version == jsonreport.SCHEMA


def _pages(run_folder: Path, run: model.Run, told: jsonreport.Report) -> Iterator[str]:
    """Compare the other generated files with the events, if this version of lbproof generated them."""
    made = {"environment.json": json.dumps(run.environment, indent=1) + "\n"}
    if _are_ours(told):
        made |= {"junit.xml": junit.of(run), "report.html": html.of(run)}
    for name, text in made.items():
        try:
            same = (run_folder / name).read_bytes() == text.encode(errors="replace")
        except OSError as error:
            yield f"{name}: {error.strerror}"
            continue
        if not same:
            yield f"{name}: differs from what {model.EVENTS} generates; lbproof report html generates it again"


def _holds(run_folder: Path, path: str) -> bool:
    """Return whether a path points into a folder."""
    try:
        found = (run_folder / path).resolve()
        return found.exists() and found.is_relative_to(run_folder.resolve())
    except (OSError, ValueError):  # too long, or no path at all
        return False
