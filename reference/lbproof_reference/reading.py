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
_MAX_ENTRIES = 1000

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
    """Log of skipped objects: each is logged once, and again only if it was readable in between."""

    def __init__(self, on_skip: Callable[[str, str, str], None] = lambda *_: None) -> None:
        """Start without entries; `on_skip(kind, key, reason)` is called for each new entry."""
        self._logged: dict[tuple[str, str], str] = {}
        self._on_skip = on_skip

    @contextmanager
    def reading(self, kind: str, key: str) -> Iterator[None]:
        """Skip the rest of the block, and log the reason, if it raises one of the errors above."""
        try:
            yield
        except MALFORMED_OBJECT as error:
            self.note(kind, key, str(error) if isinstance(error, ValueError) else repr(error))
        else:
            self.forget(kind, key)

    def note(self, kind: str, key: str, why: str) -> None:
        """Log that an object or a part of it is skipped, unless the same reason was logged before."""
        if self._logged.get((kind, key)) == why:
            return
        if len(self._logged) >= _MAX_ENTRIES:
            self._logged.clear()
        self._logged[kind, key] = why
        log.warning("object skipped", kind=kind, object=key, reason=why)
        self._on_skip(kind, key, why)

    def forget(self, kind: str, key: str) -> None:
        """Record that the object is readable again."""
        self._logged.pop((kind, key), None)
