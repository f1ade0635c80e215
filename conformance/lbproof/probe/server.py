"""The probe's loop: it reads requests, runs each task in a thread of its own, and writes their answers."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import threading
import time
from typing import IO, Any

from lbproof.probe import protocol, tasks
from lbproof.probe.task import Task

PIPE = 1 << 20
"""Bytes that the standard output holds while the suite does not read: records of ten seconds of the fastest task."""


class BadRequest(ValueError):  # noqa: N818 - what it is
    """A line that is not a request; its message says why."""


class Server:
    """Runs the tasks of one probe."""

    def __init__(self, out: int) -> None:
        """Answers are written to the descriptor `out`."""
        self._out = out
        self._writing = threading.Lock()
        self._changing = threading.Lock()
        self._tasks: dict[int, Task] = {}

    def serve(self, lines: IO[bytes]) -> None:
        """Say hello, and do what the lines ask for, until they end. Raises `BadRequest`."""
        self._send(
            {
                "hello": {
                    "version": protocol.VERSION,
                    "pid": os.getpid(),
                    "boot_id": protocol.boot_id(),
                    "time_namespace": protocol.time_namespace(),
                }
            }
        )
        for line in lines:
            self.handle(line)

    def handle(self, line: bytes) -> None:
        """Act on one line. Raises `BadRequest`."""
        try:
            message = json.loads(line)
        except ValueError as error:
            raise BadRequest(f"not JSON: {line[:80]!r}") from error
        match message:
            case {"clock": int(number)}:
                self._send({"clock": number, "t": time.monotonic()})
            case {"id": int(number), "task": str(name), **arguments}:
                self._start(number, name, arguments)
            case {"id": int(number), "tell": content}:
                with self._changing:
                    if number in self._tasks:
                        self._tasks[number].tell(content)
            case {"id": int(number), "cancel": True}:
                with self._changing:
                    if number in self._tasks:
                        self._tasks[number].cancel()
            case _:
                raise BadRequest(f"not a request: {line[:80]!r}")

    def _start(self, number: int, name: str, arguments: dict[Any, Any]) -> None:
        if number in self._tasks:
            raise BadRequest(f"task {number} is running already")
        task = Task(number, arguments, self._send)
        with self._changing:
            self._tasks[number] = task
        threading.Thread(target=self._run, args=(number, name, task), name=f"{name} {number}", daemon=True).start()

    def _run(self, number: int, name: str, task: Task) -> None:
        try:
            task.end(tasks.find(name)(task) or {})
        except Exception as error:  # noqa: BLE001 - whatever it is, the suite is told
            import traceback  # noqa: PLC0415 - it would be noticed at the start

            traceback.print_exc()
            code = error.errno if isinstance(error, OSError) else None
            self._send({"id": number, "error": _text(error), "errno": code})
        finally:
            with self._changing:
                del self._tasks[number]
                task.close()

    def _send(self, message: dict[str, Any]) -> None:
        """Write a line. Ends the process when nobody reads any more."""
        rest = memoryview(protocol.line(message))
        with self._writing:
            try:
                while rest:
                    rest = rest[os.write(self._out, rest) :]
            except BrokenPipeError:
                os._exit(os.EX_IOERR)


def _text(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"


def main() -> int:
    """Serve standard input and output. What a task prints goes to standard error."""
    out = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with contextlib.suppress(OSError):  # no pipe, or the user's pipes are large already
        fcntl.fcntl(out, fcntl.F_SETPIPE_SZ, PIPE)
    try:
        Server(out).serve(sys.stdin.buffer)
    except BadRequest as error:
        print(error, file=sys.stderr)  # noqa: T201 - the suite shows the last line
        return os.EX_PROTOCOL
    return os.EX_OK
