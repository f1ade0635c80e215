"""Suite's side of a probe: its process, the requests to it, and its records.

The program is `lbproof.probe`, whose docstring has the protocol. A probe that dies, does not answer, or loses records
raises `ProbeError` from everything that waits for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, Self

from lbproof.probe import protocol
from lbproof.witnesses.clock import Clock, measured
from lbproof.witnesses.stream import ProbeError, Stream, TaskResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START = 30.0
"""Timeout in seconds for the first line of a probe."""
WRITE = 10.0
"""Timeout in seconds for a probe to read a request."""
_GONE = 5.0
"""Timeout in seconds for the end of a process whose pipes are closed."""
_CLOSED = 1.0
"""Timeout in seconds for a probe to end by itself when it is closed."""
_EXCHANGES = 8
"""Number of clock exchanges."""
ALIVE = 5.0
"""Timeout in seconds for any answer of a probe that has not answered a request in time."""
SYNCHRONIZED = 30.0
"""Seconds after which the offset of a clock is measured again before the next request, since clocks drift apart."""
_FOLDER = Path(protocol.__file__).parents[2]
ARGV = (
    sys.executable,
    "-I",
    "-S",
    "-c",
    f"import os, sys; sys.path.insert(0, {str(_FOLDER)!r}); from lbproof.probe.server import main; os._exit(main())",
)
"""Command line of a probe on this machine: as `-m lbproof.probe`, without the search for modules that it does not need,
which takes longer than the rest of its start."""


class StartProcess(Protocol):
    """Starts a program at a vantage, with pipes. Raises `OSError`."""

    def __call__(
        self, argv: Sequence[str], *, stdin: int, stdout: int, stderr: IO[bytes] | int
    ) -> subprocess.Popen[bytes]:
        """Start it; the arguments are those of `subprocess.Popen`."""
        ...


class Probe:
    """Probe at one vantage. Its methods may be called from several threads."""

    def __init__(
        self, vantage: str, start: StartProcess, *, argv: Sequence[str] = ARGV, code: bytes = b"", within: float = START
    ) -> None:
        """Start the process and shake hands; `code` is written before the first request.

        Raises `ProbeError` when it does not start within `within` seconds, or speaks another version.
        """
        self.vantage: str = vantage
        self.clock: Clock = Clock()
        self._measured: float | None = None
        """Moment at which the clock was measured; None when it is the suite's own."""
        self._measuring = threading.Lock()
        self.pid: int = 0
        """PID of the probe at the vantage."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the probe
        try:
            self.process: subprocess.Popen[bytes] = start(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
            )
        except OSError as error:
            self._errors.close()
            raise ProbeError(f"probe at {vantage}: it cannot be started: {error}") from error
        self._closing = False
        self._death: ProbeError | None = None
        self._changed = threading.Condition()
        self._streams: dict[int, Stream] = {}
        self._last = 0
        self._hello: dict[str, Any] | None = None
        self._clocks: dict[int, float] = {}
        self._writing = threading.Lock()
        assert self.process.stdin is not None  # noqa: S101 - it was asked for
        os.set_blocking(self.process.stdin.fileno(), False)
        self._reader = threading.Thread(target=self._read, name=f"probe at {vantage}", daemon=True)
        self._reader.start()
        try:
            self._shake_hands(code, within)
        except BaseException:
            self.close()
            raise

    # --- requests

    def request(self, task: str, *, each: Callable[[Any], object] | None = None, **arguments: Any) -> Stream:  # noqa: ANN401
        """Start a task; its arguments are in its module of `lbproof.probe.tasks`. `each` is called with each record."""
        if self._measured is not None and time.monotonic() - self._measured >= SYNCHRONIZED:
            self.synchronize()
        with self._changed:
            self._raise()
            self._last += 1
            stream = Stream(self._last, f"task {task} at {self.vantage}", self._write, each, self._require_answer)
            self._streams[stream.number] = stream
        self._write({"id": stream.number, "task": task, **arguments})
        return stream

    def call(self, task: str, *, within: float, **arguments: Any) -> TaskResult:  # noqa: ANN401
        """Run a task to its end. `within`: seconds that it takes by its arguments."""
        return self.request(task, **arguments).result(within)

    @property
    def alive(self) -> bool:
        """Return whether the process runs."""
        return self._death is None

    @property
    def death(self) -> ProbeError | None:
        """Return why it has died; None while it runs."""
        return self._death

    def require_alive(self) -> None:
        """Raise `ProbeError` when the process has died."""
        with self._changed:
            self._raise()

    def _raise(self) -> None:
        if self._death:
            raise self._death

    def _write(self, message: dict[str, Any]) -> None:
        self._write_bytes(protocol.line(message))

    def _write_bytes(self, data: bytes) -> None:
        assert self.process.stdin is not None  # noqa: S101 - it was asked for
        rest, until = memoryview(data), time.monotonic() + WRITE
        try:
            with self._writing:
                while rest:
                    room = select.poll()
                    room.register(self.process.stdin, select.POLLOUT)
                    if not room.poll(max(0.0, until - time.monotonic()) * 1000):
                        self._die(f"it has not read its input for {WRITE:g} s")
                        self._raise()
                    with contextlib.suppress(BlockingIOError):  # less room than a short write takes as a whole
                        rest = rest[os.write(self.process.stdin.fileno(), rest) :]
        except (BrokenPipeError, ValueError):  # it has ended, or was closed
            if threading.current_thread() is not self._reader:
                self._reader.join(_GONE)  # which knows more
            self._die("it has closed its input")
            self._raise()

    # --- handshake

    def _shake_hands(self, code: bytes, within: float) -> None:
        if code:
            self._write_bytes(code)
        with self._changed:
            self._changed.wait_for(lambda: self._hello is not None or self._death is not None, within)
        if self._hello is None and self._death is None:
            self._die(f"it has not said hello within {within:g} s")
        self._raise()
        assert self._hello is not None  # noqa: S101 - otherwise it has died
        if self._hello.get("version") != protocol.VERSION:
            self._die(f"it speaks version {self._hello.get('version')} of the protocol, expected {protocol.VERSION}")
            self._raise()
        self.pid = self._hello["pid"]
        own = (protocol.boot_id(), protocol.time_namespace())
        if (self._hello["boot_id"], self._hello["time_namespace"]) != own or not own[0]:
            self.synchronize()

    def synchronize(self, within: float = START) -> None:
        """Measure the offset of the vantage's clock.

        Done at the start, when it is not the suite's clock, and before a request when that was `SYNCHRONIZED` seconds
        ago.
        """
        with self._measuring:
            self._synchronize(within)

    def _synchronize(self, within: float) -> None:
        exchanges = [self._exchange(number, within) for number in range(_EXCHANGES)]
        self.clock, self._measured = measured(exchanges), time.monotonic()

    def _exchange(self, number: int, within: float) -> tuple[float, float, float]:
        """Ask for the vantage's clock; return the moments of the question, at the vantage, and of the answer."""
        self._clocks.pop(number, None)
        before = time.monotonic()
        self._write({"clock": number})
        with self._changed:
            found = self._changed.wait_for(lambda: number in self._clocks or self._death is not None, within)
            after = time.monotonic()
        if not found:
            self._die(f"it has not answered a clock exchange within {within:g} s")
        self._raise()
        return before, self._clocks[number], after

    def _require_answer(self) -> None:
        """End a probe that answers nothing, so that its vantage gets another one. Raises `ProbeError` then."""
        with self._measuring:
            self._exchange(_EXCHANGES, ALIVE)

    # --- the thread that reads

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - it was asked for
        for line in self.process.stdout:
            try:
                self.take(line)
            except ValueError:
                self._die(f"not a line of the protocol: {line[:80]!r}")
                break
        how = self._end_process()
        self._die("it was closed" if self._closing else how)

    def take(self, line: bytes) -> None:
        """Take one line of the probe. Raises `ValueError` when it is not one of the protocol."""
        if not line.endswith(b"\n"):
            raise ValueError(line)
        message = json.loads(line)
        match message:
            case {"hello": {"version": _, "pid": int(), "boot_id": str(), "time_namespace": str()} as hello}:
                with self._changed:
                    self._hello = hello
                    self._changed.notify_all()
            case {"clock": int(number), "t": float(moment)}:
                with self._changed:
                    self._clocks[number] = moment
                    self._changed.notify_all()
            case {"id": int(number), **answer}:
                with self._changed:
                    stream = self._streams.get(number)
                if stream is None:
                    raise ValueError(line)
                if stream.take(answer):
                    with self._changed:
                        self._streams.pop(number, None)
            case _:
                raise ValueError(line)

    def _end_process(self) -> str:
        """Wait for the end of the process whose output has ended, kill it when it goes on; return how it ended."""
        for _ in range(2):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return f"it ended with {self.process.wait(_GONE)}"
            self.process.kill()
        return "it has closed its output, and does not end when it is killed"

    def _die(self, why: str) -> None:
        """Fail every stream, now and in the future, and end the process; the first reason counts."""
        with self._changed:
            if self._death is None:
                said = self._last_error_line()
                self._death = ProbeError(f"probe at {self.vantage}: {why}{': ' + said if said else ''}")
            streams = list(self._streams.values())
            self._streams.clear()
            self._changed.notify_all()
        self.process.kill()
        for stream in streams:
            stream.fail(ProbeError(f"{stream.what}: {self._death}"))

    def _last_error_line(self) -> str:
        """Return the last line of the standard error."""
        if self._errors.closed:
            return ""
        size = os.fstat(self._errors.fileno()).st_size
        lines = os.pread(self._errors.fileno(), 4096, max(0, size - 4096)).decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    # --- end

    def close(self) -> None:
        """End the process, and everything that it is doing.

        Raises `ProbeError` when its output stays open although it was killed.
        """
        self._closing = True
        assert self.process.stdin is not None  # noqa: S101 - it was asked for
        with self._writing:
            self.process.stdin.close()  # it ends with its input
        self._reader.join(_CLOSED)
        if self._reader.is_alive():
            self.process.kill()
            self._reader.join(_GONE)
        if self._reader.is_alive():
            raise ProbeError(f"probe at {self.vantage}: it does not end, {_GONE:g} s after it was killed")
        if self.process.stdout:
            self.process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        """Return the probe."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
