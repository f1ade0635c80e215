"""Two hosts without a cluster: what cannot be made is an error in time."""

from __future__ import annotations

import pytest

from lbproof.lab.base import LabError
from lbproof_perf.outage_probe import hosts


@pytest.mark.parametrize(
    ("program", "says"), [(["sleep", "60"], "no network namespace was made here within 0.2 s"), (["true"], "root")]
)
def test_a_namespace_that_is_not_made_is_an_error(
    monkeypatch: pytest.MonkeyPatch, program: list[str], says: str
) -> None:
    """A program that says nothing is waited for no longer than it may take, and ended."""
    monkeypatch.setattr(hosts, "killed_with_parent", lambda _: program)
    monkeypatch.setattr(hosts, "_MADE", 0.2 if program[0] == "sleep" else 10.0)

    with pytest.raises(LabError, match=says), hosts.two_hosts():
        pass
