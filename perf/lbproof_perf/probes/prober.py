"""A program of this package in a process of its own, as its starter holds it.

What it measures shares no interpreter with the threads of the benchmark. It writes findings to its standard output,
and may be told what to do, line by line, on its standard input.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from contextlib import nullcontext
from typing import IO, TYPE_CHECKING, Any, Self

from lbproof.lab.base import LabError
from lbproof.lab.common.commands import killed_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

_END = 5.0
"""Seconds that a process may take to end."""


class Prober:
    """Context manager that runs a module of ours; the kernel kills it with the thread that entered."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        read: Callable[[IO[bytes]], None] | None = None,
        *,
        name: str = "",
        descriptors: Sequence[int] = (),
        inside: AbstractContextManager[None] | None = None,
    ) -> None:
        """Start nothing yet.

        `read` is given the standard output, in a thread; without it, `hear` reads line by line. The process inherits
        `descriptors` and the namespace of the block `inside`. `name` is what errors call it, the module's by default.
        """
        self.name = name or module.rpartition(".")[2]
        self._argv = killed_with_parent([sys.executable, "-P", "-m", module, *arguments])
        self._read, self._descriptors, self._inside = read, descriptors, inside or nullcontext()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start it."""
        with self._inside:
            self.process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=self._descriptors,
                start_new_session=True,  # Ctrl-C is for its starter, which ends it
            )
        self._thread = threading.Thread(target=self._follow, name=f"reader of {self.name}", daemon=True)
        self._thread.start()
        return self

    def _follow(self) -> None:
        if self._read and self.process.stdout:
            self._read(self.process.stdout)

    def say(self, line: str) -> None:
        """Write a line to its standard input. Raises `LabError` when it has ended."""
        assert self.process.stdin is not None  # noqa: S101 - it was asked for
        try:
            with self._lock:
                self.process.stdin.write(f"{line}\n".encode())
                self.process.stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise self._ended() from error

    def hear(self) -> dict[str, Any]:
        """Wait for its next row, a JSON object. Raises `LabError` when it has ended."""
        assert self.process.stdout is not None  # noqa: S101 - it was asked for
        line = self.process.stdout.readline()
        if not line:
            raise self._ended()
        found: dict[str, Any] = json.loads(line)
        return found

    def _ended(self) -> LabError:
        return LabError(f"the prober {self.name} ended by itself with {self.process.wait(_END)}")

    def __exit__(self, *_: object) -> None:
        """Terminate it, and wait for what it still has to say."""
        self.process.terminate()
        try:
            self.process.wait(_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._thread.join(_END)
        assert self.process.stdin is not None  # noqa: S101 - it was asked for
        assert self.process.stdout is not None  # noqa: S101 - likewise
        with contextlib.suppress(BrokenPipeError):  # it ended before it read what was said last
            self.process.stdin.close()
        self.process.stdout.close()


def each_row(told: Callable[[list[Any]], None]) -> Callable[[IO[bytes]], None]:
    """Reader of a standard output of JSON rows, one a line."""

    def read(out: IO[bytes]) -> None:
        for line in out:
            told(json.loads(line))

    return read
