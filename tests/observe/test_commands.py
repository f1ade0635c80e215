"""Short programs of this machine."""

from __future__ import annotations

import pytest

from lbproof.lab.base import LabError
from lbproof.lab.common.commands import output


def test_a_program_that_does_not_end_is_an_error() -> None:
    """In one line, and in time."""
    with pytest.raises(LabError, match=r"`sleep 60` has not ended within 0\.05 s"):
        output(["sleep", "60"], within=0.05)


def test_a_program_that_fails_is_an_error() -> None:
    """With what it printed."""
    with pytest.raises(LabError, match=r"`sh -c echo no; exit 3` failed \(3\): no"):
        output(["sh", "-c", "echo no; exit 3"])
