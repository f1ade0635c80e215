"""Table of the environment variables that lbproof reads; the documentation page is generated from it."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable."""

    name: str
    text: str
    help: str
    """Clause of at most 60 characters for `lbproof --help`."""
    default: str
    """Description of the default, used when the variable is unset or empty."""


VARIABLES = {
    variable.name: variable
    for variable in (
        Variable(
            name="LBPROOF_CACHE",
            text="Folder for downloaded and built components, and for the images of `make kind-engine`.",
            help="folder for components that are downloaded or built",
            default="`lbproof` in `XDG_CACHE_HOME`, else `~/.cache/lbproof`",
        ),
        Variable(
            name="LBPROOF_COMPONENTS",
            text="Folder with the Kubernetes programs, by name; the option `--components` overrides it.",
            help="folder with the Kubernetes programs (--components)",
            default="none: the cache, a download or a build",
        ),
        Variable(
            name="LBPROOF_MIRROR",
            text="Base URL of a mirror that serves releases under the same paths as their official hosts.",
            help="base URL of a mirror for downloads",
            default="the official hosts",
        ),
    )
}


def value(name: str) -> str:
    """Return the value of a variable; empty if it is not set. Raises `KeyError` if it is not in the table."""
    return os.environ.get(VARIABLES[name].name, "")
