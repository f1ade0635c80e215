"""Errors that end a run before its first check: whose they are, and the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lbproof import checks
from lbproof.adapters.rendering import AdapterError
from lbproof.context.objects import BadStatus
from lbproof.lab.base import LabError
from lbproof.run.failures import exit_code_of, is_install_failure
from lbproof.run.verdicts import _where, is_violation
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


def raised(compiled: Path, module: Path) -> AssertionError:
    """An assertion of a module that was compiled as one file and imported from another."""
    names: dict[str, Any] = {"__file__": str(module)}
    exec(compile("def check(): assert 1 == 2", str(compiled), "exec"), names)  # noqa: S102
    with pytest.raises(AssertionError) as failed:
        names["check"]()
    return failed.value


def test_an_assertion_is_of_the_check_that_it_was_imported_from(tmp_path: Path) -> None:
    """A folder that was moved with its compiled files, or is reached by a link, is the check's all the same."""
    checks, elsewhere = tmp_path / "checks", Path("/elsewhere/test_x.py")
    checks.mkdir()
    (tmp_path / "link").symlink_to(checks)

    assert is_violation(raised(elsewhere, checks / "test_x.py"), checks)
    assert is_violation(raised(elsewhere, checks / "test_x.py"), tmp_path / "link")
    assert not is_violation(raised(checks / "test_x.py", elsewhere), checks)


def test_an_assertion_of_what_areas_share_is_of_the_check(tmp_path: Path) -> None:
    """A check of another area calls it; what is beside lbproof's checks is the suite's own."""
    root = Path(str(checks.__file__)).parent
    home = root / "upgr"
    shared, own = (raised(path, path) for path in (root / "pool" / "holders.py", home / "test_x.py"))

    assert is_violation(shared, home)
    assert is_violation(own, home)
    assert not is_violation(raised(root.parent / "text.py", root.parent / "text.py"), home)
    assert is_violation(shared, tmp_path)
    assert _where(shared, home).startswith("pool/holders.py:1:")
    assert _where(own, home).startswith("test_x.py:1:")


def test_a_wait_is_a_violation_if_its_budget_judges() -> None:
    """One without a budget, or that is not of the specification, is not; nor is any other exception."""
    waits = {name: EventuallyFailed("ready", "not within 30 s", []) for name in ("announced", "node_back", "", "other")}
    for name, wait in waits.items():
        wait.budget = name

    assert [name for name, wait in waits.items() if is_violation(wait, Path("/"))] == ["announced"]
    assert is_violation(BadStatus("no address"), Path("/elsewhere"))
    assert not is_violation(LabError("no veth"), Path("/"))
