"""A fake of pytest-xdist's options, named as xdist names them: `pytest -p fake_xdist -n 2`. It distributes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options by which xdist is told to distribute."""
    group = parser.getgroup("xdist")
    group._addoption("-n", "--numprocesses", dest="numprocesses", default=None)  # noqa: SLF001 - as xdist, for a short one
    group.addoption("--dist", dest="dist", default="no")
    group._addoption("-d", dest="distload", action="store_true", default=False)  # noqa: SLF001
    group.addoption("--tx", dest="tx", action="append", default=[])


def pytest_cmdline_main(config: pytest.Config) -> None:
    """As xdist reads them, before the session begins."""
    option = config.option
    if option.distload or (option.numprocesses not in (None, "0") and option.dist == "no"):
        option.dist = "load"
