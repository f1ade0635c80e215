"""Matrix of mutants and cases: what each mutant was seen to fail, at which line, and on which sources.

It is a committed file with a line for each mutant and case, so that CI judges it whole and runs only a part again.
`make mutants` writes all of it, `python -m tests.mutants --update NAME…` the rows of some mutants.
"""

from __future__ import annotations

import ast
import csv
import fcntl
import io
import os
import random
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tests.mutants import fingerprints
from tests.mutants.catalogue import CAUGHT, NOT_BROKEN

from lbproof.spec import REQUIREMENTS, Level
from lbproof.spec.requirements import case_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.mutants.mutant import Mutant

FILE = Path(__file__).parents[2] / "docs" / "findings" / "mutants.csv"
FAILED = "failed"
DRAWN = 6
"""Mutants with up-to-date rows that CI runs again, drawn for each commit."""
MOST = 16
"""Mutants that CI runs at most: about seven minutes on two cores."""
FURTHER = 32
"""Verdicts for IPv6 as a further family that CI finds on the unbroken reference, drawn for each commit."""
_COMMENT = re.compile(r"\s{2}# .*")
_LONGEST = 200
"""Maximum number of characters of a statement."""
UNSEEN = 0
"""Mutants whose rows may be missing or out of date beyond those that CI runs. It may only be lowered."""
_WHERE = re.compile(r"(?P<file>[^:]+):(?P<number>\d+): (?P<text>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one mutant did to one case."""

    mutant: str
    case: str
    verdict: str
    """`failed` where the case detects the mutant."""
    line: str
    """Statement of the check that failed, by its text: numbers of lines change with every comment."""
    fault: str
    """Fingerprint of the fault that was run."""
    check: str
    """Fingerprint of the check that judged it."""


Rows: TypeAlias = "dict[tuple[str, str], Row]"
"""Mutant and case → row."""


def read(path: Path = FILE) -> Rows:
    """Read the matrix; an absent one is empty."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = [Row(**row) for row in csv.DictReader(file)]
    return {(row.mutant, row.case): row for row in rows}


def update(mutant: Mutant, verdicts: Mapping[str, str], lines: Mapping[str, str], path: Path = FILE) -> None:
    """Write the rows of a mutant that was run; remove those of mutants and cases that are no more.

    `verdicts`: case → verdict; `lines`: case → line of the check that failed. Several processes may write.
    """
    with _alone(path.parent):
        kept = {key: row for key, row in read(path).items() if key[0] != mutant.name and _is_named(row)}
        for case in mutant.cases:
            kept[mutant.name, case] = Row(
                mutant=mutant.name,
                case=case,
                verdict=verdicts.get(case, "not judged"),
                line=line_of(case, lines.get(case, "")),
                fault=fingerprints.of_fault(mutant.apply),
                check=fingerprints.of_check(case),
            )
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(kept[key]) for key in sorted(kept))
        path.write_text(text.getvalue(), encoding="utf-8")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other threads and processes from writing in a folder."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def line_of(case: str, where: str) -> str:
    """Return a line of the check by its file and its statement, and by its rank where the file has that several times.

    Of a statement that contains others, the head counts. A statement of several lines is told in one.
    """
    found = _WHERE.fullmatch(where)
    if found is None:
        return where
    area = fingerprints.file_of(case).parent
    folder = area if (area / found["file"]).exists() else area.parent  # what areas share begins with one's name
    text = (folder / found["file"]).read_text(encoding="utf-8")
    lines = text.splitlines()
    statements = [
        (node.lineno, " ".join(_COMMENT.sub("", line).strip() for line in lines[node.lineno - 1 : _end(node)]))
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.stmt)
    ]
    number = int(found["number"])
    begin, told = max((one for one in statements if one[0] <= number), default=(number, found["text"]))
    same = sorted(at for at, one in statements if one == told)
    rank = f" (statement {same.index(begin) + 1} of {len(same)} such)" if len(same) > 1 else ""
    shown = told if len(told) <= _LONGEST else told[:_LONGEST].rpartition(" ")[0]
    return f"{found['file']}: {shown}{rank}"


def _end(node: ast.stmt) -> int:
    """Last line of a statement, or of its head."""
    inner = [one.lineno for one in ast.walk(node) if isinstance(one, ast.stmt) and one is not node]
    return min(inner) - 1 if inner else node.end_lineno or node.lineno


def _is_named(row: Row) -> bool:
    return row.mutant in CAUGHT and row.case in CAUGHT[row.mutant].cases


def problems(rows: Rows) -> Iterator[str]:
    """Judge a matrix by itself: every mandatory case fails with a mutant, every mutant fails its cases.

    A mutant that has never been run is taken at its word; how many of them there may be is limited by `UNSEEN`.
    """
    ran = {name for name, _ in rows}
    failed = {case_of(row.case) for row in rows.values() if row.verdict == FAILED}
    failed |= {case_of(case) for mutant in CAUGHT.values() if mutant.name not in ran for case in mutant.cases}
    for requirement in REQUIREMENTS.values():
        for case in requirement.case_ids:
            if requirement.level in {Level.MUST, Level.MAY} and case not in failed and case not in NOT_BROKEN:
                yield f"{case}: no mutant was seen to fail it, and NOT_BROKEN has no reason why none can"
    for mutant in CAUGHT.values():
        seen = [rows[mutant.name, case] for case in mutant.cases if (mutant.name, case) in rows]
        if seen and not any(row.verdict == FAILED for row in seen):
            yield f"{mutant.name}: fails nothing"
        yield from (
            f"{mutant.name}: {row.case} does not fail, it is {row.verdict}" for row in seen if row.verdict != FAILED
        )
    yield from (
        f"{row.mutant}: {row.case} is not named for it (any more)" for row in rows.values() if not _is_named(row)
    )


def is_current(row: Row, mutant: Mutant) -> bool:
    """Return whether a row was seen on the sources of now."""
    return (row.fault, row.check) == (fingerprints.of_fault(mutant.apply), fingerprints.of_check(row.case))


def is_due(mutant: Mutant, rows: Rows) -> bool:
    """Return whether a row of a mutant is missing or out of date."""
    found = [rows.get((mutant.name, case)) for case in mutant.cases]
    return not all(row and is_current(row, mutant) for row in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Mutants that CI runs."""

    due: tuple[str, ...]
    """Those with a row that is missing or out of date."""
    drawn: tuple[str, ...]
    """Some of the others."""
    left: tuple[str, ...]
    """Those that are due and too many."""


def choose(
    rows: Rows, seed: str, mutants: Mapping[str, Mutant] = CAUGHT, *, drawn: int = DRAWN, most: int = MOST
) -> Choice:
    """Choose the mutants to run: those that are due, and some others that are drawn from a seed; at most `most`.

    Of those that are due, the ones that were seen to be caught come first: a check that changed may have lost them.
    """
    draw = random.Random(seed)  # noqa: S311 - no secret
    due = [name for name in sorted(mutants) if is_due(mutants[name], rows)]
    others = [name for name in sorted(mutants) if name not in due]
    draw.shuffle(due)
    due.sort(key=lambda name: not any((name, case) in rows for case in mutants[name].cases))
    kept, left = due[:most], due[most:]
    more = draw.sample(others, min(drawn, len(others), most - len(kept)))
    return Choice(due=tuple(sorted(kept)), drawn=tuple(sorted(more)), left=tuple(sorted(left)))


def not_drawn(seed: str, drawn: int = FURTHER) -> list[str]:
    """Return the verdicts for IPv6 as a further family that CI leaves out: all but some that are drawn from a seed."""
    further = [name for requirement in REQUIREMENTS.values() for name in requirement.names if name != case_of(name)]
    draw = random.Random(seed)  # noqa: S311 - no secret
    return sorted({*further} - {*draw.sample(further, min(drawn, len(further)))})


def differences(mutant: Mutant, lines: Mapping[str, str], rows: Rows) -> Iterator[str]:
    """Name the cases that failed at another line than an up-to-date row says."""
    if is_due(mutant, rows):
        return
    for case, where in lines.items():
        now, row = line_of(case, where), rows.get((mutant.name, case))
        if row is not None and row.line != now:
            yield f"{mutant.name}: {case} fails at {now}; the matrix says {row.line or row.verdict}"
