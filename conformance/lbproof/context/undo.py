"""Stack of undo actions, registered together with each change; a failing action does not stop the others."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


class Undo:
    """Undo actions, run in reverse order; those that failed stay in `pending`."""

    def __init__(self) -> None:
        """Start without actions."""
        self._stack = ExitStack()
        self.pending: list[str] = []

    def later(self, what: str, act: Callable[[], object]) -> None:
        """Run `act` on `close`; `what` describes the object that would be left behind."""
        self.pending.append(what)

        def undo() -> None:
            act()
            self.pending.remove(what)

        self._stack.callback(undo)

    def enter(self, what: str, block: AbstractContextManager[object]) -> None:
        """Enter a block that is left on `close`."""
        block.__enter__()
        self.later(what, lambda: block.__exit__(None, None, None))

    def close(self) -> None:
        """Run all actions, then raise the last failure, if any."""
        self._stack.close()
