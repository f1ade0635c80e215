"""Command that judges cases of a run again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from lbproof.spec.features import IPV6
from lbproof.spec.requirements import exactly, is_name

if TYPE_CHECKING:
    from lbproof.report.model import Event

_DROPPED = ("requirement", "rerun", "skip", "profile", "lab", "labs", "results", "sign", "keep")
"""Options of a run that choose its cases or its place; all others, those of lab providers too, can change a verdict."""


def command(started: Event, *cases: str) -> str:
    """Return the command line for cases, or for `--rerun RUN`, with the run's options that can change a verdict.

    A case is the name of a verdict. That of one family is judged for this family alone.
    """
    given = started["command"][1:]
    both = IPV6 in started["claimed"]
    words = ["lbproof", "run", *(exactly(case) if both and is_name(case) else case for case in cases)]
    for at, word in enumerate(given):
        name, equals, value = word.removeprefix("--").removeprefix("lb-").partition("=")
        if word == "--":
            break
        if word.startswith("--") and name not in _DROPPED:
            after = given[at + 1 : at + 2]
            follows = [] if equals or not after or after[0].startswith("--") else after
            words += [f"--{name}", *([value] if equals else follows)]
    if "--implementation" not in words and started["implementation"] != "reference":
        words += ["--implementation", started["implementation"]]
    if "--seed" not in words and "seed" in started:
        words += ["--seed", str(started["seed"])]
    return shlex.join(words)
