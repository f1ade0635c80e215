"""Reading what any author may have written: JSON of any depth, and objects that are not what their kind promises."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, RecursionError)
"""What reading an object raises whose content is not what its kind promises."""

_DEEPEST = 100
"""Levels of nesting that are kept of JSON too deep for the parser; nothing that is read here is half as deep."""
_BRACKET = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+([\[\]{}])')
_SKIPS_KNOWN = 1000

log = structlog.get_logger()


def parse(text: bytes) -> Any:  # noqa: ANN401 - JSON
    """JSON of any depth; what is nested too deep for the parser is cut off and read as null. Raises ValueError.

    The API server takes objects that are nested 10,000 deep, and `managedFields` is any author's to write.
    """
    try:
        return json.loads(text)
    except RecursionError:
        return json.loads(_shallow(text))


def _shallow(text: bytes) -> bytes:
    """The same JSON with null for each object or array below `_DEEPEST` levels; without recursion."""
    kept: list[bytes] = []
    depth = begin = at = 0
    while bracket := _BRACKET.match(text, at):
        at = bracket.end()
        if bracket[1] in b"[{":
            depth += 1
            if depth == _DEEPEST + 1:
                kept += (text[begin : at - 1], b"null")
        else:
            if depth == _DEEPEST + 1:
                begin = at
            depth -= 1
    if depth <= _DEEPEST:
        kept.append(text[begin:])
    return b"".join(kept)


class Skipped:
    """The objects that cannot be read: each is logged once, and again only after it could be read meanwhile."""

    def __init__(self) -> None:
        """None is known."""
        self._said: dict[tuple[str, str], str] = {}

    @contextmanager
    def reading(self, kind: str, key: str) -> Iterator[None]:
        """Skip the rest of the block, and log, where it cannot read the object."""
        try:
            yield
        except UNREADABLE as error:
            self.note(kind, key, str(error) if isinstance(error, ValueError) else repr(error))
        else:
            self.forget(kind, key)

    def note(self, kind: str, key: str, why: str) -> None:
        """Log, unless that is known, that an object or a part of it is skipped."""
        if self._said.get((kind, key)) == why:
            return
        if len(self._said) >= _SKIPS_KNOWN:
            self._said.clear()
        self._said[kind, key] = why
        log.warning("skipped", kind=kind, object=key, reason=why)

    def forget(self, kind: str, key: str) -> None:
        """Note that there is nothing to skip any more."""
        self._said.pop((kind, key), None)
