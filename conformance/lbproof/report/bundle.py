"""The folder of a run: every report made from its events, the sums of its files, and the check of somebody else's."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lbproof.files import write_whole
from lbproof.report import html, jsonreport, junit, model
from lbproof.spec import REQUIREMENTS, Conclusion, Exit, Verdict, conclude, worst

if TYPE_CHECKING:
    from pathlib import Path

SUMS = "SHA256SUMS"


def write(run: Path) -> None:
    """Make every report of a run's folder from its events. The same events give the same files.

    Raises `BadRun`, and `OSError` when a file cannot be written; no file is left in part.
    """
    told = model.read(run)
    write_whole(run / "environment.json", json.dumps(told.environment, indent=1) + "\n")
    write_whole(run / "report.json", jsonreport.of(told).model_dump_json(indent=1) + "\n")
    write_whole(run / "junit.xml", junit.of(told))
    write_whole(run / "report.html", html.of(told))
    write_whole(run / SUMS, "".join(f"{digest}  {name}\n" for name, digest in _sums(run).items()))


def _sums(run: Path) -> dict[str, str]:
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.name != SUMS)
    return {path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def verify(what: Path) -> list[str]:
    """What is wrong with a run's folder or a `report.json`, a line each; empty when it is in order."""
    problems = _folder(what) if what.is_dir() else []
    report = what / "report.json" if what.is_dir() else what
    try:
        text = report.read_bytes()
        if newer := _newer(text):
            return [*problems, f"{report.name}: {newer}"]
        told = jsonreport.Report.model_validate_json(text)
    except OSError as error:
        return [*problems, f"{report}: {error.strerror}"]
    except ValidationError as error:
        where = [(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        return [*problems, *(f"{report.name}: {place or 'the file'}: {message}" for place, message in where)]
    problems += _contents(told)
    return [*problems, *_beside(what, told)] if what.is_dir() else problems


def _newer(text: bytes) -> str:
    """That a later version made a report: nothing else of it can be judged. Empty when that is not so."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    version = told.get("schema_version") if isinstance(told, dict) else None
    if not isinstance(version, int) or version <= jsonreport.SCHEMA:
        return ""
    return f"schema_version {version} is newer than this lbproof reads ({jsonreport.SCHEMA}): update lbproof"


def _folder(run: Path) -> list[str]:
    sums = run / SUMS
    if not sums.exists():
        return [f"{SUMS} is missing: lbproof report html {run} makes it again"]
    lines = sums.read_text(encoding="utf-8", errors="replace").splitlines()
    written = {line[66:]: line[:64] for line in lines if line[64:66] == "  "}
    now = _sums(run)
    return [
        *(f"{name}: missing" for name in sorted(written.keys() - now.keys())),
        *(f"{name}: not in {SUMS}" for name in sorted(now.keys() - written.keys())),
        *(
            f"{name}: changed since {SUMS} was written"
            for name in sorted(now)
            if written.get(name, now[name]) != now[name]
        ),
    ]


def _contents(told: jsonreport.Report) -> list[str]:
    """What a report says against the specification or against itself."""
    twice = [name for name, count in Counter(row.id for row in told.requirements).items() if count > 1]
    problems = [f"{name}: is there twice" for name in twice]
    for row in told.requirements:
        if row.id not in REQUIREMENTS:
            problems.append(f"{row.id}: not a requirement of the specification")
            continue
        unknown = {case.id for case in row.cases} - set(REQUIREMENTS[row.id].case_ids)
        problems += [f"{case}: not a case of {row.id}" for case in sorted(unknown)]
        if row.level is not REQUIREMENTS[row.id].level:
            problems.append(f"{row.id}: is a {row.level}, and in the specification a {REQUIREMENTS[row.id].level}")
        found = worst(case.verdict for case in row.cases)
        if found is not row.verdict:
            problems.append(f"{row.id}: is {row.verdict}, and the worst of its cases is {found}")
    there = Counter(case.verdict for row in told.requirements for case in row.cases)
    for verdict in Verdict:
        if told.counts.get(verdict, 0) != there[verdict]:
            problems.append(f"counts: {verdict} is {told.counts.get(verdict, 0)}, and there are {there[verdict]}")
    by_verdicts = conclude((row.level, row.verdict) for row in told.requirements)
    if told.conclusion is not by_verdicts and not (told.note and told.conclusion is Conclusion.INCONCLUSIVE):
        problems.append(f"conclusion: is {told.conclusion}, and the verdicts say {by_verdicts}")
    if told.exit == Exit.CONFORMANT and told.conclusion is not Conclusion.CONFORMANT:
        problems.append(f"exit: is {told.exit}, and the conclusion is {told.conclusion}")
    return problems


def _beside(folder: Path, told: jsonreport.Report) -> list[str]:
    """What a report says against the events and the evidence that it stands beside."""
    cases = [case for row in told.requirements for case in row.cases]
    named = [(kept.path, case.id) for case in cases for kept in case.evidence]
    problems = [f"report.json: {path} of {case} is not there" for path, case in named if not _holds(folder, path)]
    try:
        run = model.read(folder)
    except model.BadRun as error:
        return [*problems, str(error)]
    again = jsonreport.of(run)
    names = ("spec", "suite", "at", "implementation", "profile", "exit", "note")
    other = [name for name in names if getattr(told, name) != getattr(again, name)]
    problems += [f"report.json: {name} is not what {model.EVENTS} says" for name in other]
    there = {case.id: case.verdict.value for case in cases}
    for judged in run.cases:
        verdict = there.pop(judged.id, "not there")
        if verdict != judged.verdict:
            problems.append(f"report.json: {judged.id} is {verdict}, and {model.EVENTS} says {judged.verdict}")
    return [*problems, *(f"report.json: {name} is not in {model.EVENTS}" for name in there)]


def _holds(folder: Path, path: str) -> bool:
    """Whether a path leads to something below a folder."""
    try:
        found = (folder / path).resolve()
        return found.exists() and found.is_relative_to(folder.resolve())
    except (OSError, ValueError):  # too long, or no path at all
        return False


def badge(run: model.Run) -> dict[str, Any]:
    """The endpoint JSON of a badge with the numbers (shields.io's schema 1)."""
    colours = {
        Conclusion.CONFORMANT: "brightgreen",
        Conclusion.NOT_CONFORMANT: "red",
        Conclusion.INCONCLUSIVE: "yellow",
    }
    numbers = " · ".join(f"{level} {good}/{of}" for level, (good, of) in run.levels().items() if of)
    return {
        "schemaVersion": 1,
        "label": f"lbproof {run.started['spec']}",
        "message": numbers or "nothing judged",
        "color": colours[run.conclusion],
    }
