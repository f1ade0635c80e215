"""Cases of an earlier run that are worth judging again (`--rerun`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.report import model
from lbproof.spec import REQUIREMENTS, BadOption, Verdict

if TYPE_CHECKING:
    from pathlib import Path

_AGAIN = {Verdict.FAILED, Verdict.ERROR}
"""Verdicts that are judged again; a case that was not reached has the verdict `error`."""


def cases(folder: Path, implementation: str) -> list[str]:
    """Return the cases of a run that failed, broke, were not reached or are flaky, in the order of the specification.

    Raises `BadRun` when the folder holds no run, and `BadOption` when the run judged another implementation or left no
    such case.
    """
    earlier = model.read(folder)
    judged = earlier.started["implementation"]
    if judged != implementation:
        raise BadOption(
            f"--rerun {folder}: that run judged {judged}, not {implementation}; choose it with --implementation"
        )
    known = {name for requirement in REQUIREMENTS.values() for name in requirement.names}
    found = [case.id for case in earlier.cases if (case.verdict in _AGAIN or case.flaky) and case.id in known]
    if not found:
        raise BadOption(f"--rerun {folder}: no case failed, broke, was flaky or was not reached in that run")
    return found
