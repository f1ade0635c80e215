"""A violation that was observed decides a check, whatever else ends it: `CannotShow`, an error, a watch that broke."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.witnesses.wait import WaitFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def is_outranked(error: BaseException | None) -> bool:
    """Return whether a violation is to be raised instead of what ended a block; None: it ended as it should.

    Not instead of another violation, nor where the run was stopped.
    """
    if error is None or (isinstance(error, WaitFailed) and not error.judges):
        return True
    return isinstance(error, Exception) and not isinstance(error, AssertionError)


@contextmanager
def judging(judge: Callable[[], None]) -> Iterator[None]:
    """Judge at the end of a block what was observed in it, also when the block cannot be completed.

    An `AssertionError` of `judge` then replaces what ended the block; any other exception of it does not.
    """
    try:
        yield
    except Exception as error:
        if is_outranked(error):
            _only_violations(judge, error)
        raise
    judge()


def _only_violations(judge: Callable[[], None], cause: Exception) -> None:
    try:
        judge()
    except Exception as found:
        if not is_outranked(found):
            raise found from cause
