"""Environment variables that lbproof reads: one table, from which the code takes the values and the docs the page."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable."""

    name: str
    text: str
    default: str
    """What holds when it is not set or empty, as a clause for a reader."""


VARIABLES = {
    variable.name: variable
    for variable in (
        Variable(
            name="LBPROOF_CACHE",
            text="Folder that keeps downloaded and built components, and the images of `make kind-engine`.",
            default="`lbproof` in `XDG_CACHE_HOME`, else `~/.cache/lbproof`",
        ),
        Variable(
            name="LBPROOF_COMPONENTS",
            text="Folder that holds Kubernetes' programs by their names; the option `--components` wins over it.",
            default="none: the cache, a download or a build",
        ),
        Variable(
            name="LBPROOF_MIRROR",
            text="URL below which releases are looked for, by the same paths, instead of at their official hosts.",
            default="the official hosts",
        ),
    )
}


def value(name: str) -> str:
    """Value of a variable of the table; empty when it is not set. Raises `KeyError` for one that is not in it."""
    return os.environ.get(VARIABLES[name].name, "")
