"""Errors that end a run before its first check: whose they are, and the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.suite.fake_lab import KUBECONFIG

from lbproof.adapters.rendering import AdapterError
from lbproof.lab.base import LabError
from lbproof.run.failures import exit_code_of, is_install_failure
from lbproof.spec import Exit
from lbproof.witnesses.kube import ApiError, ApiUnreachable, Kube
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import EventuallyFailed

if TYPE_CHECKING:
    from pathlib import Path


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


def test_an_api_server_that_is_not_there_is_told_in_plain_words(tmp_path: Path) -> None:
    """The system's reason, and nothing of the classes of the HTTP library."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    kube = Kube(tmp_path / "kubeconfig")
    with pytest.raises(ApiUnreachable) as caught:
        kube.list("/api/v1/nodes")
    kube.close()

    assert str(caught.value) == (
        "GET /api/v1/nodes: the API server at http://127.0.0.1:9 does not answer: Connection refused"
    )
