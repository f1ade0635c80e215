"""Read untrusted input: JSON of any depth, and objects that do not match their schema."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MALFORMED_OBJECT = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""Exceptions raised by reading an object that does not match its schema."""

_DEEPEST = 100
"""Nesting levels kept of JSON that is too deep for the parser; fields used here are less than half as deep."""
_AT_ONCE = 1 << 17
"""Size (bytes) up to which JSON is parsed in one go, in a few milliseconds."""
_STEP = 1000
"""Tokens parsed per event loop iteration."""
_CLOSE = {"{": "}", "[": "]"}
_TOKEN = re.compile(r'[\[\]{},:]|"(?:[^"\\]++|\\.)*+"|[^\[\]{},:"\s]++|"')
_MAX_ENTRIES = 10_000
_LONGEST = 1024
"""Characters of a message, as many as an Event may have."""

log = structlog.get_logger()


async def parse(text: bytes) -> Any:  # noqa: ANN401 - JSON
    """Parse JSON of any size and depth, while other tasks run. Raises ValueError.

    The API server accepts objects of 1.5 MB that are nested 10,000 levels deep, and any author may write
    `managedFields`. In what is large or deep, these and levels that are too deep are replaced by null.
    """
    if len(text) <= _AT_ONCE:
        with suppress(RecursionError):
            return json.loads(text)
    builder = _Builder()
    for number, match in enumerate(_TOKEN.finditer(text.decode()), 1):
        builder.add(match[0])
        if number % _STEP == 0:
            await asyncio.sleep(0)
    return builder.value()


class _Builder:
    """JSON value that is built token by token, without recursion; `add` and `value` raise ValueError."""

    def __init__(self) -> None:
        self._root: list[Any] = []
        self._parents: list[Any] = [self._root]
        self._names: list[str | None] = [None]  # of the members that are read; None in arrays
        self._skipped = 0  # levels
        self._is_due = True  # whether a value or a name may follow

    def add(self, text: str) -> None:
        """Read the next token."""
        parent, name = self._parents[-1], self._names[-1]
        if self._skipped:
            self._skipped += (text in "{[") - (text in "}]")
        elif self._is_due and text not in ",:}]":
            self._add_value(text, parent, name)
        elif parent is self._root:
            raise ValueError(f"malformed JSON: {text} after its end")
        elif text == ("," if name is None else ":") and not self._is_due:
            self._is_due = True
        elif text == ("]" if isinstance(parent, list) else "}") and name is None and not (self._is_due and parent):
            self._parents.pop()
            self._names.pop()
            self._is_due = False
        else:
            raise ValueError(f"malformed JSON: unexpected {text[:80]}")

    def _add_value(self, text: str, parent: Any, name: str | None) -> None:  # noqa: ANN401 - array or object
        opens, value = text in "{[", None
        if opens and (name == "managedFields" or len(self._parents) > _DEEPEST):
            self._skipped, opens = 1, False
        else:
            value = json.loads(text + _CLOSE.get(text, ""))
        if isinstance(parent, list):
            parent.append(value)
        elif name is not None:
            parent[name], self._names[-1] = value, None
        elif isinstance(value, str):
            self._names[-1] = value
        else:
            raise ValueError(f"malformed JSON: {text[:80]} is no name")
        self._is_due = opens
        if opens:
            self._parents.append(value)
            self._names.append(None)

    def value(self) -> Any:  # noqa: ANN401 - JSON
        """Return the value that is complete."""
        if self._is_due or self._skipped or len(self._parents) > 1:
            raise ValueError("malformed JSON: it ends too early")
        return self._root[0]


class SkipLog:
    """Log of skipped objects, and of what else is wrong with one: each once, and again after `forget`."""

    def __init__(self, on_note: Callable[[str, str, str, str], None] = lambda *_: None) -> None:
        """Start without entries; `on_note(kind, key, reason, message)` is called for each new entry."""
        self._logged: dict[tuple[str, str, str], str] = {}
        self._on_note = on_note

    @contextmanager
    def reading(self, kind: str, key: str) -> Iterator[None]:
        """Skip the rest of the block, and log the reason, if it raises one of the errors above."""
        try:
            yield
        except MALFORMED_OBJECT as error:
            self.note(kind, key, str(error) if isinstance(error, ValueError) else repr(error))
        else:
            self.forget(kind, key)

    def note(self, kind: str, key: str, message: str, reason: str = "Ignored") -> None:
        """Log what is wrong with an object, unless its last entry with this reason is the same."""
        message = message[:_LONGEST]
        if self._logged.get((kind, key, reason)) == message:
            return
        if len(self._logged) >= _MAX_ENTRIES:
            del self._logged[next(iter(self._logged))]
        self._logged[kind, key, reason] = message
        log.warning(reason, kind=kind, object=key, message=message)
        self._on_note(kind, key, reason, message)

    def forget(self, kind: str, key: str, reason: str = "Ignored") -> None:
        """Record that this is no longer wrong."""
        self._logged.pop((kind, key, reason), None)
