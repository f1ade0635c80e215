"""The writer of `events.ndjson`: appends one event a line and flushes it, so that a crash loses nothing.

Thread-safe, since probes run in threads. Readers are in `lbproof.report`; the format is in `lbproof.spec.events`.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Journal:
    """The events of one run, in a file and to whoever listens (the terminal)."""

    def __init__(self, path: Path | None) -> None:
        """Append to `path`; with None events go to the listeners alone (unit tests)."""
        self.began = time.monotonic()
        self.case: str | None = None
        """The case that is being judged, put into every event that has the field and does not set it."""
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8") if path else None

    def t(self, monotonic: float | None = None) -> float:
        """Seconds since the run began, of now or of a `time.monotonic()` value."""
        return round((time.monotonic() if monotonic is None else monotonic) - self.began, 6)

    def write(self, event: str, /, *, t: float | None = None, **fields: Any) -> None:  # noqa: ANN401 - it is JSON
        """Append an event; `t` is in seconds since the run began and is now by default."""
        row = {
            "event": event,
            "t": self.t() if t is None else t,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **fields,
        }
        if "case" not in row and event in {"saw", "waited", "fault", "timeline", "exchange", "evidence"}:
            row["case"] = self.case
        line = json.dumps(row, separators=(",", ":"), default=str)
        with self._lock:
            if self._file and not self._file.closed:
                self._file.write(line + "\n")
                self._file.flush()
        for listener in self.listeners:
            listener(row)

    def close(self) -> None:
        """No more events go to the file."""
        if self._file:
            self._file.close()

    def __enter__(self) -> Self:
        """The journal itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()
