"""Logs of a lab: the end of one, for an error message or an export."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_EXPORTED = 256 * 1024
"""Bytes of a log's end that are exported."""
_SHOWN = 16 * 1024
"""Bytes of a log's end that are searched for its last lines."""
_LINE = 300


def tail(log: Path, lines: int = 8) -> str:
    """Return the last lines of a log, indented for an error message."""
    if not log.exists():
        return "    (no log)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _SHOWN))
        last = file.read().decode(errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line[:_LINE]}" for line in last) or "    (its log is empty)"


def export(log: Path, copy: Path) -> None:
    """Copy the end of a log; copy nothing when the log was removed in the meantime."""
    with suppress(FileNotFoundError), log.open("rb") as source, copy.open("wb") as sink:
        source.seek(max(0, log.stat().st_size - _EXPORTED))
        shutil.copyfileobj(source, sink)
