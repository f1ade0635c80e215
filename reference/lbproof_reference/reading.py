"""Read untrusted input: JSON of any depth, and objects that do not match their schema."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import ijson
import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MALFORMED_OBJECT = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""Exceptions raised by reading an object that does not match its schema."""

_DEEPEST = 100
"""Nesting levels kept of JSON that is too deep for the parser; fields used here are less than half as deep."""
_AT_ONCE = 1 << 17
"""Size (bytes) up to which JSON is parsed in one go, in a few milliseconds."""
_STEP = 1 << 13
"""Size (bytes) of what is parsed per event loop iteration."""
_MAX_ENTRIES = 10_000
_LONGEST = 1024
"""Characters of a message, as many as an Event may have."""

log = structlog.get_logger()


async def parse(text: bytes) -> Any:  # noqa: ANN401 - JSON
    """Parse JSON of any size and depth, while other tasks run. Raises ValueError.

    The API server accepts objects of 1.5 MB that are nested 10,000 levels deep, and any author may write
    `managedFields`. In what is large or deep, these and levels that are too deep are replaced by null,
    and fractions are Decimal.
    """
    if len(text) <= _AT_ONCE:
        with suppress(RecursionError):
            return json.loads(text)
    events, builder = ijson.sendable_list(), _Builder()
    parser = ijson.basic_parse_coro(events)
    try:
        for begin in range(0, len(text), _STEP):
            parser.send(text[begin : begin + _STEP])
            builder.add(events)
            await asyncio.sleep(0)
        parser.close()
    except ijson.JSONError as error:
        raise ValueError(f"malformed JSON: {error}") from error
    builder.add(events)
    return builder.built.value


class _Builder:
    """JSON value without `managedFields` and what is too deep."""

    def __init__(self) -> None:
        self.built = ijson.common.ObjectBuilder()
        self._levels = self._skipped = 0
        self._is_unused = False

    def add(self, events: list[tuple[str, Any]]) -> None:
        """Add what the parser read next, and empty the list."""
        for event, value in events:
            change = event.startswith("start_") - event.startswith("end_")
            if self._skipped:
                self._skipped += change
            elif change > 0 and (self._is_unused or self._levels == _DEEPEST):
                self._skipped = 1
                self.built.event("null", None)
            else:
                self._levels += change
                self.built.event(event, value)
            self._is_unused = event == "map_key" and value == "managedFields"
        events.clear()


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
