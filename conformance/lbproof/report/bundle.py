"""The folder of a run: every report made from its events, the sums of its files, and the check of somebody else's."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lbproof.report import html, jsonreport, junit, model
from lbproof.spec import REQUIREMENTS, Conclusion, conclude, worst

if TYPE_CHECKING:
    from pathlib import Path

SUMS = "SHA256SUMS"


def write(run: Path) -> None:
    """Make every report of a run's folder from its events. The same events give the same files. Raises `BadRun`."""
    told = model.read(run)
    (run / "environment.json").write_text(json.dumps(told.environment, indent=1) + "\n", encoding="utf-8")
    (run / "report.json").write_text(jsonreport.of(told).model_dump_json(indent=1) + "\n", encoding="utf-8")
    (run / "junit.xml").write_text(junit.of(told), encoding="utf-8")
    (run / "report.html").write_text(html.of(told), encoding="utf-8")
    (run / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in _sums(run).items()), encoding="utf-8")


def _sums(run: Path) -> dict[str, str]:
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.name != SUMS)
    return {path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def verify(what: Path) -> list[str]:
    """What is wrong with a run's folder or a `report.json`, a line each; empty when it is in order."""
    problems = _folder(what) if what.is_dir() else []
    report = what / "report.json" if what.is_dir() else what
    try:
        told = jsonreport.Report.model_validate_json(report.read_text(encoding="utf-8"))
    except OSError as error:
        return [*problems, f"{report}: {error.strerror}"]
    except ValidationError as error:
        where = [(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        return [*problems, *(f"{report.name}: {place or 'the file'}: {message}" for place, message in where)]
    return [*problems, *_contents(told)]


def _folder(run: Path) -> list[str]:
    sums = run / SUMS
    if not sums.exists():
        return [f"{SUMS} is missing: lbproof report html {run} makes it again"]
    written = {line[66:]: line[:64] for line in sums.read_text(encoding="utf-8").splitlines()}
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
    problems = []
    for row in told.requirements:
        if row.id not in REQUIREMENTS:
            problems.append(f"{row.id}: not a requirement of the specification")
            continue
        unknown = {case.id for case in row.cases} - set(REQUIREMENTS[row.id].case_ids)
        problems += [f"{case}: not a case of {row.id}" for case in sorted(unknown)]
        found = worst(case.verdict for case in row.cases)
        if found is not row.verdict:
            problems.append(f"{row.id}: is {row.verdict}, and the worst of its cases is {found}")
    by_verdicts = conclude((row.level, row.verdict) for row in told.requirements)
    if told.conclusion is not by_verdicts and not (told.note and told.conclusion is Conclusion.INCONCLUSIVE):
        problems.append(f"conclusion: is {told.conclusion}, and the verdicts say {by_verdicts}")
    return problems


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
        "message": numbers,
        "color": colours[run.conclusion],
    }
