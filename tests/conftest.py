"""Settings of all tests: their distribution over processes (`tools/tests`), and no deadline for an example."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
settings.register_profile("lbproof", deadline=None)  # other tests run at the same time
settings.load_profile("lbproof")
SHARED = {"lab", "observe", "kind_lab"}
"""Folders whose tests share one lab or segment for the session, and so one process."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in its own implementation of this hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that share a fixture of a folder or of a module the same process."""
    for item in items:
        place = item.path.relative_to(HERE)
        item.add_marker(pytest.mark.xdist_group(place.parts[0] if place.parts[0] in SHARED else str(place)))
