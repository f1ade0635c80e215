"""Settings of all tests: their distribution over processes (`tools/tests`), and no deadline for an example."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer

settings.register_profile("lbproof", deadline=None)  # other tests run at the same time
settings.load_profile("lbproof")
SHARED = {"lab", "observe", "kind_lab"}
"""Folders whose tests share one lab or segment for the session, and so one process."""


class _Groups(LoadScopeScheduling):
    """Tests that share a fixture of a folder or of a module have the same process.

    Marks (`xdist_group`) would be the usual way; those of pytest-xdist 3.8 have no effect with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        folder = Path(module).parent.name
        return folder if folder in SHARED else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Groups:
    """Return what distributes the tests."""
    return _Groups(config, log)
