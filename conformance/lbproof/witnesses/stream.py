"""Records of one request to a probe, as they arrive."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

END = 10.0
"""Timeout in seconds for the end of a request after its own time is over, or after it was cancelled."""


class ProbeError(RuntimeError):
    """A probe died, did not answer, or lost records: what it observed cannot be judged. One line."""

    def __init__(self, message: str, code: int | None = None) -> None:
        """`code` is the `errno` at the vantage, if it was an `OSError` there."""
        super().__init__(message)
        self.errno = code


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """Records of a request that has ended."""

    records: Sequence[Any]
    dropped: int
    """Number of frames that the kernel of the vantage dropped."""
    end: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the end, as the task gives them."""


class Stream:
    """Running request. As a context manager it is cancelled at the end of the block.

    All methods raise `ProbeError` when the request failed, also between two records: nothing ends unnoticed.
    """

    def __init__(
        self,
        number: int,
        what: str,
        write: Callable[[dict[str, Any]], None],
        each: Callable[[Any], object] | None = None,
        late: Callable[[], object] = lambda: None,
    ) -> None:
        """`what` names request and vantage in errors, `write` sends a message to the probe.

        `each` is called with every record, in the thread that reads the probe; records are not kept then. `late` is
        called when something did not arrive in time, and may raise `ProbeError`.
        """
        self.number: int = number
        self.what: str = what
        self._write, self._each, self._late = write, each, late
        self._changed = threading.Condition()
        self._records: list[Any] = []
        self._count = 0
        self._ready: float | None = None
        self._token = self._answered = 0
        self._error: ProbeError | None = None
        self._running = True
        """Whether the task runs at the probe, and has not been asked to end."""
        self._result: TaskResult | None = None

    # --- reading

    @property
    def records(self) -> list[Any]:
        """Return the records so far, in order."""
        with self._changed:
            self._raise()
            return list(self._records)

    def check(self) -> None:
        """Raise `ProbeError` when the request has failed."""
        with self._changed:
            self._raise()

    @property
    def ended(self) -> bool:
        """Return whether the task has ended by itself or was cancelled."""
        with self._changed:
            self._raise()
            return self._result is not None

    def require_running(self) -> None:
        """Raise `ProbeError` when the request has failed, or has ended before it was asked to."""
        if self.ended:
            raise ProbeError(f"{self.what}: it ended by itself")

    def wait_ready(self, within: float = END) -> float:
        """Wait until the task observes; return the moment at the vantage."""
        self._wait(lambda: self._ready is not None or self._result is not None, within, "not ready")
        return self._ready or 0.0

    def wait_records(self, count: int, within: float) -> list[Any]:
        """Wait until at least `count` records have arrived, or the end; return all so far."""
        self._wait(lambda: self._count >= count or self._result is not None, within, f"fewer than {count} records")
        return self.records

    def result(self, within: float) -> TaskResult:
        """Wait for the end. `within`: seconds that the task takes, without the way there and back."""
        self._wait(lambda: self._result is not None, within + END, "no end")
        assert self._result is not None  # noqa: S101 - it was waited for
        return self._result

    def _wait(self, done: Callable[[], bool], within: float, missing: str) -> None:
        with self._changed:
            in_time = self._changed.wait_for(lambda: done() or self._error is not None, within)
            if not in_time:
                self._error = ProbeError(f"{self.what}: {missing} within {within:g} s")
        if not in_time:
            with contextlib.suppress(ProbeError):  # the error above came first
                self._late()
        if self._error:
            self._stop()
        self._raise()

    def _stop(self) -> None:
        """Ask the task to end, if nobody has; also when the request has failed."""
        with self._changed:
            running, self._running = self._running, False
        if running:
            try:
                self._write({"id": self.number, "cancel": True})
            except ProbeError as error:
                self.fail(error)

    def _raise(self) -> None:
        if self._error:
            raise self._error

    # --- control

    def tell(self, message: Any) -> None:  # noqa: ANN401 - JSON
        """Send a message to the running task."""
        with self._changed:
            self._raise()
        self._write({"id": self.number, "tell": message})

    def exchange(self, within: float = END) -> list[Any]:
        """Ask the running task for what it has, and wait for that; return the records until then, which are not kept.

        For tasks that document it; one exchange at a time.
        """
        with self._changed:
            self._raise()
            self._token += 1
            token = self._token
        self._write({"id": self.number, "tell": {"token": token}})
        self._wait(lambda: self._answered == token or self._result is not None, within, "no answer")
        with self._changed:
            if self._answered != token:
                raise ProbeError(f"{self.what}: it ended before it answered")
            found, self._records = self._records, []
        return found

    def cancel(self, within: float = END) -> TaskResult:
        """Ask the task to end, and wait for that. A request that has failed is asked as well."""
        self._stop()
        return self.result(within - END)

    def __enter__(self) -> Self:
        """Return the stream."""
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel it."""
        self.cancel()

    # --- for the thread that reads the probe

    def take(self, message: Mapping[Any, Any]) -> bool:
        """Take one answer; return whether it was the last one. A wrong one makes the stream fail."""
        match message:
            case {"ready": float(moment), "token": int(token)}:
                with self._changed:
                    self._ready = moment
                    self._answered = token
                    self._changed.notify_all()
            case {"n": int(first), "records": list(records)}:
                self._take_records(first, records)
            case {"end": {"records": int(count), "dropped": int(dropped), **more}}:
                self._take_end(count, dropped, more)
                return True
            case {"error": str(text), "errno": int() | None as code}:
                self.fail(ProbeError(f"{self.what}: {text}", code))
                return True
            case _:
                raise ValueError(message)
        return False

    def _take_records(self, first: int, records: list[Any]) -> None:
        if first != self._count:
            self._fail(ProbeError(f"{self.what}: record {first} arrived, expected {self._count}: records were lost"))
            return
        if self._each:
            try:
                for record in records:
                    self._each(record)
            except Exception as error:  # noqa: BLE001 - a record that cannot be read is the probe's fault
                self._fail(ProbeError(f"{self.what}: {type(error).__name__}: {error}: from one of {records!r:.80}"))
                return
        with self._changed:
            if not self._each:
                self._records += records
            self._count += len(records)
            self._changed.notify_all()

    def _take_end(self, count: int, dropped: int, more: dict[Any, Any]) -> None:
        if count != self._count:
            self.fail(ProbeError(f"{self.what}: {self._count} of {count} records arrived: records were lost"))
            return
        with self._changed:
            self._running = False
            self._result = TaskResult(records=self._records, dropped=dropped, end=more)
            self._changed.notify_all()

    def fail(self, error: ProbeError) -> None:
        """Make the stream of a task that no longer runs fail, unless it has ended or failed before."""
        with self._changed:
            self._running = False
        self._fail(error)

    def _fail(self, error: ProbeError) -> None:
        with self._changed:
            if self._result is None and self._error is None:
                self._error = error
            self._changed.notify_all()
