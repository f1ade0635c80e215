"""Exception for what a lab cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof.spec import Untestable


class CannotShow(Exception):  # noqa: N818 - a verdict, not an error
    """The lab cannot show the requirement: the verdict is `untestable`, for one of a closed list of reasons."""

    def __init__(self, reason: Untestable, detail: str = "") -> None:
        """`detail` says what is missing in this lab."""
        super().__init__(f"{reason.value}{': ' + detail if detail else ''}")
        self.reason = reason
