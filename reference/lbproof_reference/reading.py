"""Read untrusted input: JSON of any depth, and objects that do not match their schema."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MALFORMED_OBJECT = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""Exceptions raised by reading an object that does not match its schema."""

_DEEPEST = 100
"""Nesting levels kept of JSON that is too deep for the parser; fields used here are less than half as deep."""
_TOKEN = re.compile(rb'[\[\]{}]|(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")++')
_MAX_ENTRIES = 10_000
_LONGEST = 1024
"""Characters of a message, as many as an Event may have."""

log = structlog.get_logger()


def parse(text: bytes) -> Any:  # noqa: ANN401 - JSON
    """Parse JSON of any depth; levels too deep for the parser are replaced by null. Raises ValueError.

    The API server accepts objects nested 10,000 levels deep, and any author may write `managedFields`.
    """
    try:
        return json.loads(text)
    except RecursionError:
        return json.loads(_shallow(text))


def _shallow(text: bytes) -> bytes:
    """Replace each object or array below `_DEEPEST` levels by null, without recursion."""
    depth = 0

    def keep(match: re.Match[bytes]) -> bytes:
        nonlocal depth
        token, outer = match[0], depth
        depth += (token in b"[{") - (token in b"]}")
        if max(outer, depth) <= _DEEPEST:
            return token
        return b"null" if outer == _DEEPEST < depth else b""

    return _TOKEN.sub(keep, text)


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
