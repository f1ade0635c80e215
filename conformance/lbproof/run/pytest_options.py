"""Options of pytest that a run refuses, each with the reason."""

from __future__ import annotations

import re

_REFUSED = {
    r"-n.*|-d|-f|--(numprocesses|dist|tx|looponfail)(=.*)?": (
        "the checks of a run share a lab and cannot be distributed by pytest; use --labs N"
    ),
    r"--(lf|last-failed|ff|failed-first|nf|new-first|sw|stepwise)(-.*)?|--(lfnf|last-failed-no-failures)(=.*)?": (
        "pytest remembers nothing of a run; use --rerun RUN with the folder of the run"
    ),
    r"--cache-(show|clear)(=.*)?": "pytest keeps no cache of a run",
}
"""Pattern of a word of the command line → reason."""


def refusal(word: str) -> str:
    """Return the reason why an option of pytest is refused; empty if it is accepted."""
    return next((why for pattern, why in _REFUSED.items() if re.fullmatch(pattern, word)), "")
