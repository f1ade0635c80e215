"""Writer of `events.ndjson`: appends one event per line and flushes it, so that a crash loses nothing.

Thread-safe, since probes run in threads. Readers are in `lbproof.report`; the format is in `lbproof.spec.events`.
"""

from __future__ import annotations

import json
import os
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Journal:
    """Events of one run, written to a file and passed to listeners (the terminal)."""

    def __init__(self, path: Path | None) -> None:
        """Append to `path`; with None, pass events only to the listeners (unit tests)."""
        self.began = time.monotonic()
        self.case: str | None = None
        """Current case, the default of the field `case` in events that have it."""
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        self.lost: OSError | None = None
        """Error that stopped writing; later events are not in the file."""
        self._lock = threading.Lock()
        self._path = path
        self._file = path.open("ab", buffering=0) if path else None

    def t(self, monotonic: float | None = None) -> float:
        """Convert a `time.monotonic()` value, by default now, to seconds since the run began."""
        return round((time.monotonic() if monotonic is None else monotonic) - self.began, 6)

    def write(self, event: str, /, *, t: float | None = None, **fields: Any) -> None:  # noqa: ANN401 - it is JSON
        """Append an event; `t` is in seconds since the run began, by default now."""
        row = {
            "event": event,
            "t": self.t() if t is None else t,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **fields,
        }
        if "case" not in row and event in {"saw", "measured", "waited", "fault", "timeline", "exchange", "evidence"}:
            row["case"] = self.case
        self.relay(row)

    def relay(self, row: dict[str, Any]) -> None:
        """Append an unchanged event of another process that uses the same clock."""
        line = json.dumps(row, separators=(",", ":"), default=str)
        with self._lock:
            self._append(f"{line}\n".encode())
        for listener in self.listeners:
            listener(row)

    def _append(self, line: bytes) -> None:
        """Append a complete line or nothing; after the first failure, such as a full disk, write no more."""
        if not self._file or self._file.closed or self.lost:
            return
        size = self._file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._file.truncate(size)
            self.lost = OSError(error.errno, error.strerror, str(self._path))

    def close(self) -> None:
        """Close the file; later events are not written."""
        if self._file:
            self._file.close()

    def __enter__(self) -> Self:
        """Return the journal."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()
