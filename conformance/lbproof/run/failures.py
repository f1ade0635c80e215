"""Errors that end a run early: their exit code and their first line."""

from __future__ import annotations

import pytest

from lbproof.adapters.rendering import AdapterError
from lbproof.files import of_environment
from lbproof.lab.base import LabError
from lbproof.spec import Exit
from lbproof.witnesses.kube import ApiError, ApiUnreachable
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import EventuallyFailed


class WorkerError(Exception):
    """Failure of a worker; `exit` is the exit code of the run, None when the verdicts decide it."""

    def __init__(self, text: str, exit_code: Exit | None, *, of_implementation: bool = False) -> None:
        """`of_implementation`: the implementation could not be installed."""
        super().__init__(text)
        self.exit = exit_code
        self.of_implementation = of_implementation


def is_install_failure(error: BaseException) -> bool:
    """Return whether an error before the first check means that the implementation could not be installed."""
    return isinstance(error, (EventuallyFailed, ApiError, AdapterError)) or getattr(error, "of_implementation", False)


def exit_code_of(error: BaseException | None) -> Exit | None:
    """Return the exit code of a run that ended early; None when the verdicts decide it."""
    if isinstance(error, WorkerError):
        return error.exit
    if isinstance(error, AdapterError):
        return None
    if isinstance(error, (LabError, ApiUnreachable, ProbeError)) or of_environment(error):
        return Exit.NO_ENVIRONMENT
    stopped = (KeyboardInterrupt, SystemExit, pytest.exit.Exception, pytest.Session.Interrupted, pytest.Session.Failed)
    expected = (EventuallyFailed, ApiError, *stopped)
    return None if error is None or isinstance(error, expected) else Exit.BUG


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if the message is empty."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
