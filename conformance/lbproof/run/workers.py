"""Parallel run in several labs: one process for each lab, forked after collection.

The parent assigns checks, writes all events, logs all pytest reports and concludes, so `-x`, `--junitxml` and, under
plain pytest, `--lf` work as with one lab. A worker boots its lab, installs the implementation, executes its checks, and
sends events and reports through a pipe. It has its own process group: Ctrl-C reaches only the parent, which interrupts
the workers once. When the parent dies, the kernel kills the workers, and each lab ends with its worker.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.run.failures import WorkerError
from lbproof.run.schedule import DISRUPTIVE_LAB
from lbproof.run.worker import WorkerProcess
from lbproof.spec import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

    from lbproof.run.schedule import Check, Schedule
    from lbproof.run.session import Session

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


class _Worker:
    """One worker, as seen by the parent."""

    def __init__(self, number: int, serve: Callable[[Connection], None]) -> None:
        self.number = number
        self.unit: list[Check] = []
        """Remaining checks of its unit; the first is being executed while `busy`."""
        self.busy = False
        self.alive = True
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), name=f"lab {number}")
        self.process.start()
        theirs.close()

    def order(self, *words: Any) -> None:  # noqa: ANN401 - pickled
        """Send an order and expect an answer. A dead worker is detected when its answer is read."""
        self.busy = True
        with contextlib.suppress(BrokenPipeError):  # EOF of its pipe is read next
            self.pipe.send(words)


class Workers:
    """All workers of a run."""

    def __init__(self, session: Session, pytest_session: pytest.Session) -> None:
        """Fork one worker for each lab; `session` has collected its checks and started its journal."""
        self._session, self._pytest = session, pytest_session
        self._config = pytest_session.config
        parent = os.getpid()
        self._workers: list[_Worker] = []
        for number in range(session.labs):
            served = WorkerProcess(session, pytest_session, number, parent)
            self._workers.append(_Worker(number, served))

    def boot(self) -> dict[str, str]:
        """Boot all labs; return the description of the first one."""
        self._all("boot")
        facts: dict[str, str] = self._answers[0]
        return facts

    def install(self) -> None:
        """Install the implementation in all labs, and start background activities in one of them."""
        self._all("install")

    def judge(self, checks: Sequence[Check]) -> None:
        """Execute all checks. Raises `Failed` or `Interrupted` when pytest must stop, and `WorkerError`."""
        schedule = self._session.schedule(checks)
        for worker in self._workers:
            self._next(worker, schedule)
        for worker, kind, value in self._messages():
            if kind == "report":
                self._log(value)
            elif kind == "done":
                check = worker.unit.pop(0)
                item = self._pytest.items[check.index]
                self._config.hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
                self._next(worker, schedule)
            elif kind == "ended":
                self._end_worker(worker, schedule)
            elif kind == "failed":
                raise _error(value)
        if self._pytest.shouldfail:
            raise self._pytest.Failed(self._pytest.shouldfail)
        if self._pytest.shouldstop:
            raise self._pytest.Interrupted(self._pytest.shouldstop)
        if any(schedule.take(DISRUPTIVE_LAB)):
            raise WorkerError("a lab ended, so not all checks were judged", None)

    def judge_alone(self, index: int) -> None:
        """Execute one check in one lab, while the others have nothing to do; its verdict stays if that lab ends."""
        worker = next((one for one in self._workers if one.alive), None)
        if worker is None:
            raise WorkerError("all labs ended", None)
        item = self._pytest.items[index]
        self._session.verdicts.refuse_lost_events()
        self._config.hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        worker.order("judge", index, None)
        for _, kind, value in self._messages():
            if kind == "report":
                self._log(value)
            elif kind == "failed":
                raise _error(value)
        self._config.hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def stop(self) -> None:
        """Interrupt the running checks and wait until their events have arrived."""
        for worker in self._workers:
            if worker.busy and worker.alive and worker.process.pid:
                os.kill(worker.process.pid, signal.SIGINT)
        for _, kind, value in self._messages():
            if kind == "report":
                self._log(value)

    def close(self) -> None:
        """Take all labs down. Raises `WorkerError` for the first failure."""
        try:
            self._all("close")
        except BaseException:
            self.kill()  # a worker that waits for an order would not end
            raise
        finally:
            for worker in self._workers:
                worker.pipe.close()
                worker.process.join()

    def kill(self) -> None:
        """Kill all workers; each lab ends with its worker."""
        for worker in self._workers:
            worker.process.kill()

    def _all(self, order: str) -> None:
        self._answers: dict[int, Any] = {}
        failed: WorkerError | None = None
        for worker in self._workers:
            if worker.alive:
                worker.order(order)
        for worker, kind, value in self._messages():
            if kind == "done":
                self._answers[worker.number] = value
            elif kind == "failed":
                failed = failed or _error(value)
            elif kind == "ended" and order != "close":
                failed = failed or WorkerError(f"the process of lab {worker.number + 1} ended during {order}", None)
        if failed:
            raise failed

    def _messages(self) -> Iterator[tuple[_Worker, str, Any]]:
        """Yield messages of busy workers until none is busy, `ended` for a dead one; write events to the journal."""
        while busy := {worker.pipe: worker for worker in self._workers if worker.busy}:
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                with _interrupts_held_back():
                    try:
                        kind, value = worker.pipe.recv()
                    except (EOFError, ConnectionResetError):
                        worker.alive = worker.busy = False
                        kind, value = "ended", None
                    if kind == "event":
                        self._session.verdicts.relay(value)
                if kind == "event":
                    continue
                if kind in {"done", "failed"}:
                    worker.busy = False
                yield worker, kind, value

    def _next(self, worker: _Worker, schedule: Schedule) -> None:
        if self._pytest.shouldfail or self._pytest.shouldstop or not worker.alive:
            return
        self._session.verdicts.refuse_lost_events()
        if not worker.unit:
            worker.unit = schedule.take(worker.number)
        if worker.unit:
            check, *rest = worker.unit
            item = self._pytest.items[check.index]
            self._config.hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            worker.order("judge", check.index, rest[0].index if rest else None)

    def _end_worker(self, worker: _Worker, schedule: Schedule) -> None:
        """Record the verdict of the check that a dead worker was executing, and requeue the rest of its unit."""
        if not worker.unit:
            return
        check, *rest = worker.unit
        worker.unit = []
        item = self._pytest.items[check.index]
        text = f"the process of lab {worker.number + 1} ended during this check"
        self._session.verdicts.lose(check.case, item.nodeid, text)
        report = pytest.TestReport(
            nodeid=item.nodeid, location=item.location, keywords={}, outcome="failed", longrepr=text, when="call"
        )
        self._config.hook.pytest_runtest_logreport(report=report)
        schedule.put_back(rest)
        for other in self._workers:
            if other.alive and not other.busy:
                self._next(other, schedule)

    def _log(self, data: dict[str, Any]) -> None:
        report = self._config.hook.pytest_report_from_serializable(config=self._config, data=data)
        self._config.hook.pytest_runtest_logreport(report=report)


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the end of the block, so that messages are read and written completely."""
    held: list[int] = []
    before = {number: signal.signal(number, lambda got, _: held.append(got)) for number in _INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        signal.raise_signal(held[0])


def _error(value: tuple[str, int | None, bool]) -> WorkerError:
    text, code, of_implementation = value
    return WorkerError(text, None if code is None else Exit(code), of_implementation=of_implementation)


class ParallelLoop:
    """Replacement for pytest's run loop when there are several labs."""

    def __init__(self, session: Session, checks: Sequence[Check]) -> None:
        """`checks` are those of the run; the items before them are other tests, which run in the parent."""
        self._session, self._checks = session, checks

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run other tests in this process and the checks in the labs."""
        workers = self._session.workers
        if workers is None or session.config.option.collectonly:
            return None
        ours = {check.index for check in self._checks}
        others = [item for index, item in enumerate(session.items) if index not in ours]
        for at, item in enumerate(others, 1):
            following = others[at] if at < len(others) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
        workers.judge(self._checks)
        return True
