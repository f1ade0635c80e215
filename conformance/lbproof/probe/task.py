"""A running task: its request, its records, and what it is told."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FLUSH = 0.01
"""Seconds that a record waits for others while its task has other work."""


class HasFileno(Protocol):
    """Socket or other file that can be waited for."""

    def fileno(self) -> int:
        """Return the file descriptor."""
        ...


class Task:
    """What a task is given: arguments, an outlet for records, an inbox, and a request to stop.

    All methods but `tell` and `cancel` are for the task's own thread.
    """

    def __init__(self, number: int, arguments: Mapping[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
        """`send` writes a message to the suite."""
        self.arguments = arguments
        self.stopping = False
        """Whether the task has been asked to end."""
        self.dropped = 0
        """Number of frames that the kernel dropped before the task read them; reported at the end."""
        self._number, self._send = number, send
        self._buffer: list[Any] = []
        self._count = 0
        self._flushed = 0.0
        self._inbox: deque[Any] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()

    # --- output

    def ready(self, token: int = 0) -> None:
        """Send all records so far, and report that everything from now on is observed.

        Also the answer to a message that came with a token.
        """
        self.flush()
        self._send({"id": self._number, "ready": time.monotonic(), "token": token})

    def emit(self, *records: Any) -> None:  # noqa: ANN401 - JSON
        """Send records, in batches: at the latest when the task waits, and at most every `FLUSH` seconds before."""
        self._buffer += records
        if time.monotonic() - self._flushed >= FLUSH:
            self.flush()

    def flush(self) -> None:
        """Send the records of which some still wait for others."""
        if self._buffer:
            batch, self._buffer = self._buffer, []
            self._send({"id": self._number, "n": self._count, "records": batch})
            self._count += len(batch)
        self._flushed = time.monotonic()

    def end(self, result: Mapping[str, Any]) -> None:
        """Send the remaining records and the end. Called by the server when the task has returned."""
        self.flush()
        self._send({"id": self._number, "end": {"records": self._count, "dropped": self.dropped, **result}})

    # --- input

    def wait(self, seconds: float | None, *files: HasFileno) -> set[HasFileno]:
        """Wait until a file can be read, or the task is told something or cancelled; return the readable files.

        `seconds`: at most so long, None for ever. Returns at once while something is in the inbox.
        """
        polled = select.poll()
        for descriptor in (self._wake, *(file.fileno() for file in files)):
            polled.register(descriptor, select.POLLIN)
        found = polled.poll(0)
        if not found:
            self.flush()
            found = polled.poll(None if seconds is None else max(0.0, seconds) * 1000)
        ready = {descriptor for descriptor, _ in found}
        return {file for file in files if file.fileno() in ready}

    def fileno(self) -> int:
        """Return a descriptor that is readable while something is in the inbox or the task is cancelled.

        For a task with its own epoll.
        """
        return self._wake

    def messages(self) -> list[Any]:
        """Empty the inbox and return its messages, oldest first."""
        with self._lock:
            messages = list(self._inbox)
            self._inbox.clear()
            if not self.stopping and messages:
                os.eventfd_read(self._wake)
        return messages

    # --- for the server's thread

    def tell(self, message: Any) -> None:  # noqa: ANN401 - JSON
        """Put a message into the inbox."""
        with self._lock:
            self._inbox.append(message)
            os.eventfd_write(self._wake, 1)

    def cancel(self) -> None:
        """Ask the task to end."""
        with self._lock:
            self.stopping = True
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Release the inbox, after the last `tell` or `cancel`."""
        os.close(self._wake)
