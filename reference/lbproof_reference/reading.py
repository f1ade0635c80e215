"""Read untrusted input: JSON of any depth, and objects that do not match their schema."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

MALFORMED_OBJECT = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""Exceptions raised by reading an object that does not match its schema."""

_DEEPEST = 100
"""Nesting levels kept of JSON that is too deep for the parser; fields used here are less than half as deep."""
_AT_ONCE = 1 << 17
"""Size (bytes) up to which JSON is parsed in one go, in a few milliseconds."""
_STEP = 1000
"""Tokens parsed per event loop iteration."""
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
    steps = _parse_in_steps(text.decode())
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        await asyncio.sleep(0)


def _parse_in_steps(text: str) -> Generator[None, None, Any]:
    """Parse JSON without recursion, and return it; yield after each `_STEP` tokens."""
    found: list[Any] = []
    parents: list[Any] = [found]
    names: list[str | None] = [None]  # of the members that are read; None in arrays
    skipped, is_due = 0, True  # levels of what is skipped, and whether a value or a name is due
    for number, match in enumerate(_TOKEN.finditer(text), 1):
        if number % _STEP == 0:
            yield
        token, parent, name = match[0], parents[-1], names[-1]
        if skipped:
            skipped += (token in "{[") - (token in "}]")
        elif is_due and token not in ",:}]":
            skipped = int(token in "{[" and (name == "managedFields" or len(parents) > _DEEPEST))
            is_container = token in "{[" and not skipped
            value: Any = ({} if token == "{" else []) if is_container else None if skipped else json.loads(token)
            if isinstance(parent, list):
                parent.append(value)
            elif name is not None:
                parent[name], names[-1] = value, None
            elif isinstance(value, str):
                names[-1] = value
            else:
                raise ValueError(f"malformed JSON at character {match.start()}")
            is_due = is_container
            if is_container:
                parents.append(value)
                names.append(None)
        elif parent is found or not (
            (token == ("," if name is None else ":") and not is_due)
            or (token == ("]" if isinstance(parent, list) else "}") and name is None and not (is_due and parent))
        ):
            raise ValueError(f"malformed JSON at character {match.start()}")
        else:
            is_due = token in ",:"
            if not is_due:
                parents.pop()
                names.pop()
    if is_due or skipped or len(parents) > 1:
        raise ValueError("malformed JSON: it ends too early")
    return found[0]


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
