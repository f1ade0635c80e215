"""Sanitizing of untrusted text for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text without characters that could steer a terminal; each is replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def plain(text: str) -> str:
    """Printable text in one line."""
    return printable(" ".join(text.split()))
