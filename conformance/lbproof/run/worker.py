"""Process of one lab in a parallel run, forked by `lbproof.run.workers`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from lbproof.files import of_environment
from lbproof.run.failures import exit_code_of, first_line, is_install_failure
from lbproof.run.schedule import DISRUPTIVE_LAB
from lbproof.spec import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from types import FrameType

    import pytest

    from lbproof.run.session import Session

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class WorkerProcess:
    """Worker process: boots a lab and executes its checks until it receives the order to close."""

    def __init__(self, session: Session, pytest_session: pytest.Session, number: int, parent: int) -> None:
        """`number` counts the labs from 0; `parent` is the process ID of the parent."""
        self._session, self._pytest = session, pytest_session
        self._number, self._parent = number, parent
        self._lock = threading.Lock()
        self._held = self._interrupted = False

    def __call__(self, pipe: Connection) -> None:
        """Process orders and answer each with `done` or `failed`."""
        os.setpgid(0, 0)
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._parent:
            os._exit(1)
        self._pipe = pipe
        signal.signal(signal.SIGINT, self._interrupt)
        _detach(self._pytest.config)
        self._pytest.config.pluginmanager.register(self)
        journal = self._session.journal
        journal.close()  # closes the file in this process only; the parent's stays open
        journal.listeners[:] = [self._session.verdicts.adopt, lambda event: self._send("event", event)]
        orders: dict[str, Callable[..., Any]] = {
            "boot": self._boot,
            "install": self._install,
            "judge": self._judge,
            "close": self._close,
        }
        order = ""
        while order != "close":
            answer: tuple[str, Any]
            try:
                order, *words = self._receive()
                answer = ("done", orders[order](*words))
            except KeyboardInterrupt as error:
                self._session.stopped_by = error
                self._pytest._setupstate.teardown_exact(None)  # noqa: SLF001 - as pytest's own runner ends a session
                answer = ("done", None)
            except EOFError:  # the parent has ended
                break
            except BaseException as error:  # noqa: BLE001 - reported to the parent, which ends the run
                answer = ("failed", _failure(error))
            self._send(*answer)

    def _send(self, kind: str, value: object) -> None:
        """Send a complete message, from any thread."""
        with self._lock, self._uninterrupted():
            self._pipe.send((kind, value))

    def _receive(self) -> list[Any]:
        """Wait for an order, unless interrupted, and read it completely."""
        self._pipe.poll(None)
        with self._uninterrupted():
            order: list[Any] = self._pipe.recv()
        return order

    @contextlib.contextmanager
    def _uninterrupted(self) -> Iterator[None]:
        """Delay an interrupt until the end of the block, so that a message is never transferred in part."""
        main = threading.current_thread() is threading.main_thread()
        self._held = self._held or main
        try:
            yield
        finally:
            self._held = self._held and not main
        if main and self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        if self._held:
            self._interrupted = True
        else:
            raise KeyboardInterrupt

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Send a report to the parent."""
        config = self._pytest.config
        self._send("report", config.hook.pytest_report_to_serializable(config=config, report=report))

    def _boot(self) -> dict[str, str]:
        return self._session.boot()

    def _install(self) -> None:
        try:
            self._session.install(self._session.begins if self._number == DISRUPTIVE_LAB else ())
        except BaseException:
            if self._session.directory:
                self._session.lab.keep_logs(self._session.directory / "logs")
            raise

    def _judge(self, index: int, following: int | None) -> None:
        item = self._pytest.items[index]
        nextitem = None if following is None else self._pytest.items[following]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)

    def _close(self) -> None:
        self._pytest._setupstate.teardown_exact(None)  # noqa: SLF001 - a unit may have been cut short by `-x`
        self._session.lab.take_down(looks_again=self._session.stopped_by is None)


def _detach(config: pytest.Config) -> None:
    """Give a worker its own files for captured output; only the parent writes to the terminal."""
    manager = config.pluginmanager
    capture: Any = manager.getplugin("capturemanager")
    if capture is not None:
        capture.stop_global_capturing()
        capture.start_global_capturing()
    if manager.hasplugin("terminalreporter"):
        manager.unregister(name="terminalreporter")


def _failure(error: BaseException) -> tuple[str, int | None, bool]:
    """Convert an exception to the arguments of `WorkerError`; print the traceback of a bug."""
    code = exit_code_of(error)
    if code is Exit.BUG:
        traceback.print_exception(error, file=sys.__stderr__)
    text = of_environment(error) or first_line(error)
    return text, None if code is None else int(code), is_install_failure(error)
