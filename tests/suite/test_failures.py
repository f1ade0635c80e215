"""Errors that end a run before its first check: whose they are, and the exit code."""

from __future__ import annotations

import pytest

from lbproof.adapters.rendering import AdapterError
from lbproof.lab.base import LabError
from lbproof.run.failures import exit_code_of, is_install_failure
from lbproof.spec import Exit
from lbproof.witnesses.kube import ApiError
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import EventuallyFailed


@pytest.mark.parametrize(
    ("error", "code", "of_implementation"),
    [
        (LabError("no veth"), Exit.NO_ENVIRONMENT, False),
        (ProbeError("client: the probe died"), Exit.NO_ENVIRONMENT, False),
        (AdapterError("adapter acme: manifests(): `helm template` ended with exit code 1: no chart"), None, True),
        (ApiError("PATCH", 422, "Invalid", "no"), None, True),
        (EventuallyFailed("ready", "not within 30 s", []), None, True),
        (ZeroDivisionError(), Exit.BUG, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_adapter_that_fails_is_no_fault_of_the_machine(
    error: Exception, code: Exit | None, of_implementation: bool
) -> None:
    """The implementation could not be installed then, as when the API server rejects its manifests."""
    assert exit_code_of(error) is code
    assert is_install_failure(error) is of_implementation
