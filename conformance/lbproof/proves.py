"""The one line that ties a check to what it proves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lbproof.spec import REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Callable


def proves(requirement: str, letters: str = "") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a check with the requirement that it proves; `letters` are the cases, all of them by default.

    The check takes the fixture `case`: the letter, or nothing for a requirement with one verdict. Raises `KeyError`
    for an ID that is not in the specification.
    """
    cases = REQUIREMENTS[requirement].cases
    unknown = set(letters) - set(cases)
    if unknown:
        raise KeyError(f"{requirement} has no case {', '.join(sorted(unknown))}")
    mark: Callable[[Callable[..., None]], Callable[..., None]] = pytest.mark.requirement(
        requirement, letters or "".join(cases)
    )
    return mark
