"""Settings and fixtures of all tests: distribution over processes (`tools/tests`), failures at once, a small disk."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xdist.remote import Producer

settings.register_profile("lbproof", deadline=None)  # other tests run at the same time
settings.load_profile("lbproof")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a background job of a shell; what a test starts inherits it
    signal.signal(signal.SIGINT, signal.default_int_handler)
SHARED = {"lab", "observe", "kind_lab"}
"""Folders whose tests share one lab or segment for the session, and so one process."""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small file system with the given options below the test's folder."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"mounted-{len(mounted)}"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "lbproof-test", place], check=True)
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", place], check=True)


class _Groups(LoadScopeScheduling):
    """Tests that share a fixture of a folder or of a module have the same process.

    Marks (`xdist_group`) would be the usual way; those of pytest-xdist 3.8 have no effect with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        folder = Path(module).parent.name
        return folder if folder in SHARED else module


class _FailuresAtOnce:
    """Plugin that prints the name of a test when it fails; pytest alone prints it when the last test has ended."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print a line for a failure."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal:
            terminal.write_line(f"\nfailed: {report.nodeid} ({report.when})")


def pytest_configure(config: pytest.Config) -> None:
    """Print failures at once, in the process that has the terminal."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_FailuresAtOnce(config))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Groups:
    """Return what distributes the tests."""
    return _Groups(config, log)
