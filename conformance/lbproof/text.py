"""Text for readers: values in words, and untrusted text without control characters."""

from __future__ import annotations

from collections.abc import Mapping


def printable(text: str) -> str:
    """Replace characters that are not printable, such as terminal control sequences."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def plain(text: str) -> str:
    """Convert a text to one printable line."""
    return printable(" ".join(text.split()))


def words(value: object) -> str:
    """Return a value of any kind as a reader would write it: no brackets, quotes or `None` of Python's."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_inner(item)}" for key, item in value.items()) or "nothing"
    if isinstance(value, set | frozenset):
        return ", ".join(sorted(map(_inner, value))) or "nothing"
    if isinstance(value, list | tuple):
        return ", ".join(map(_inner, value)) or "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "nothing" if value is None or value == "" else str(value)


def _inner(value: object) -> str:
    """Return a part of a value, in parentheses when it has several parts itself."""
    text = words(value)
    several = isinstance(value, Mapping | set | frozenset | list | tuple) and len(value) > 1
    return f"({text})" if several else text
