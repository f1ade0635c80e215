"""Command that judges cases of a run again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof.report.model import Event

_KEPT = ("implementation", "provider", "feature", "budget", "workers", "proxy-mode", "proxy-arg", "families", "options")
"""Options of a run that can change the verdict of a case."""


def command(started: Event, *cases: str) -> str:
    """Return the command line for cases, or for `--rerun RUN`, with the run's options that can change a verdict."""
    given = started["command"][1:]
    words = ["lbproof", "run", *cases]
    for at, word in enumerate(given):
        name, equals, value = word.removeprefix("--").removeprefix("lb-").partition("=")
        if word == "--":
            break
        if word.startswith("--") and name in _KEPT and (equals or at + 1 < len(given)):
            words += [f"--{name}", value if equals else given[at + 1]]
    if "--implementation" not in words and started["implementation"] != "reference":
        words += ["--implementation", started["implementation"]]
    return shlex.join(words)
