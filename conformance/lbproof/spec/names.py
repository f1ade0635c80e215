"""Errors for invalid names in one line: the name, where it was given, valid names, and the nearest one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


class UnknownName(ValueError):  # noqa: N818 - it names what was given, as KeyError does
    """Name that is not valid where it was given."""

    def __init__(self, kind: str, name: str, where: str, allowed: Iterable[str], see: str) -> None:
        """`kind`: expected kind of name ("requirement"); `see`: command that lists the valid names."""
        allowed = list(allowed)
        guess = nearest(name, allowed)
        hint = f"; did you mean {guess!r}?" if guess else "."
        few = f" ({', '.join(allowed)})" if len(allowed) <= 12 else ""  # noqa: PLR2004 - what fits one line
        super().__init__(f"unknown {kind} {name!r} in {where}{hint} All of them: {see}{few}")
        self.kind, self.name = kind, name


class BadOption(ValueError):  # noqa: N818 - named as the user sees it
    """Invalid option; the message is one line: the value, where it was given, valid values."""


def check_name(kind: str, name: str, where: str, allowed: Collection[str], see: str) -> None:
    """Raise `UnknownName` for a name that is not one of `allowed`; the other arguments are those of `UnknownName`."""
    if name not in allowed:
        raise UnknownName(kind, name, where, allowed, see)


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name with the most similar spelling, ignoring case; None when none is similar."""
    by_folded = {candidate.casefold(): candidate for candidate in allowed}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[found[0]] if found else None
