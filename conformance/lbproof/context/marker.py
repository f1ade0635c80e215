"""pytest marker that names the requirement and the cases that a check proves."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from lbproof.spec import REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[..., None]


def proves(
    requirement: str, letters: str = "", *, disruptive: bool = False, together: bool = False
) -> Callable[[Check], Check]:
    """Mark a check with the requirement that it proves; `letters` are the cases, all of them by default.

    `disruptive`: it injects faults or restarts the implementation. `together`: its cases share a fixture that costs
    much, and are judged one after the other in one lab.

    A check of several cases takes the argument `case`, the letter, and runs once for each. Raises `KeyError` for an ID
    or a letter that is not in the specification, and `TypeError` for a check of several cases without that argument.
    """
    cases = REQUIREMENTS[requirement].cases
    unknown = set(letters) - set(cases)
    if unknown:
        raise KeyError(f"{requirement} has no case {', '.join(sorted(unknown))}")
    letters = letters or "".join(cases)

    def mark(check: Check) -> Check:
        if len(letters) > 1 and "case" not in inspect.signature(check).parameters:
            raise TypeError(f"{check.__name__} proves {requirement}{'/'.join(letters)}: it takes the argument `case`")
        marked: Check = pytest.mark.requirement(requirement, letters, disruptive=disruptive, together=together)(check)
        return marked

    return mark
