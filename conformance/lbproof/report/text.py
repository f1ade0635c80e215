"""Sanitizing of untrusted text for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Replace characters that are not printable, such as terminal control sequences."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def plain(text: str) -> str:
    """Convert a text to one printable line."""
    return printable(" ".join(text.split()))
