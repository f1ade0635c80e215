"""Forgeries of a run's folder, for tests: a field, an event or a line is changed, and the sums fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lbproof.report import bundle
from lbproof.report.folder import SUMS, checksums

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

"""A function that changes JSON in place."""


Edit = Any
"""A function that changes JSON in place."""


def remake_sums(folder: Path) -> None:
    """Write the sums of what is there, as a forger would."""
    (folder / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in checksums(folder).items()))


def forge(folder: Path, edit: Edit) -> Path:
    """Change `report.json`, and make the sums fit."""
    path = folder / "report.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    edit(told)
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    remake_sums(folder)
    return folder


def forge_events(folder: Path, edit: Edit, *, event: str) -> Path:
    """Change the first event of a kind, and make every report of it again."""
    path = folder / "events.ndjson"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    edit(next(row for row in rows if row["event"] == event))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    bundle.write(folder)
    return folder


def case(told: Any, name: str) -> Any:  # noqa: ANN401 - it is JSON
    """A case of a report."""
    return next(c for row in told["requirements"] for c in row["cases"] if c["id"] == name)


def wait(told: Any) -> Any:  # noqa: ANN401 - it is JSON
    """The wait of POOL-01, by the budget `serves` (10 s, at most 60 s)."""
    return case(told, "POOL-01")["waits"][0]


def keep_one(told: Any) -> None:  # noqa: ANN401 - it is JSON
    """Leave one requirement in a report that is called conformant."""
    told["requirements"] = told["requirements"][:1]
    told["counts"] = {"passed": 1}


def rewrite(folder: Path, edit: Callable[[list[str]], list[str]]) -> Path:
    """Change the lines of the events, and make every report of them again."""
    path = folder / "events.ndjson"
    path.write_text("\n".join(edit(path.read_text(encoding="utf-8").splitlines())) + "\n", encoding="utf-8")
    bundle.write(folder)
    return folder
