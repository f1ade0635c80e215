"""Errors of an adapter's own code as one line: its type, its message, and the line of the adapter where it began."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from traceback import TracebackException, walk_tb
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CALLERS = tuple(f"lbproof.adapters.{name}" for name in ("calls", "installed", "rendering", "typecheck", "validation"))
_LONGEST = 300
"""Characters of a message that are shown."""


@contextmanager
def errors_as(kind: type[Exception], what: str, *, except_for: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Raise `kind` in one line, `WHAT: TYPE: MESSAGE (FILE:LINE)`, for what the code inside raises, `SystemExit` too.

    Ctrl-C and the types in `except_for` are not converted.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, *except_for)):
            raise
        found = TracebackException.from_exception(error, limit=0)  # whose text is there even if `__str__` fails
        text = " ".join(str(found).split())[:_LONGEST]
        raise kind(f"{what}: {': '.join(filter(None, (type(error).__name__, text)))}{place(error)}") from error


def place(error: BaseException) -> str:
    """Return ` (FILE:LINE)`: the last line of the file that was called first, without importlib's; empty for none."""
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__") not in _CALLERS
        and not str(frame.f_globals.get("__name__")).startswith("importlib")
    ]
    lines = [line for file, line in frames if file == frames[0][0]]
    return f" ({Path(frames[0][0]).name}:{lines[-1]})" if lines else ""
