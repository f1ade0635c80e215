"""Undo is registered in the same breath as doing, and one that fails does not stop the others."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Undo:
    """What must be put back, in reverse order; what could not be is still named afterwards."""

    def __init__(self) -> None:
        """Nothing to undo yet."""
        self._stack = ExitStack()
        self.pending: list[str] = []

    def later(self, what: str, act: Callable[[], object]) -> None:
        """Do `act` when this closes; `what` names for a reader what would be left behind."""
        self.pending.append(what)

        def undo() -> None:
            act()
            self.pending.remove(what)

        self._stack.callback(undo)

    def close(self) -> None:
        """Undo everything; the last failure is raised when all have been tried."""
        self._stack.close()
