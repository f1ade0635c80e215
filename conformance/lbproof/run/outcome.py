"""What pytest did with a run of the command: its configuration, what it could not collect, and an error of usage."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lbproof.spec import Exit

if TYPE_CHECKING:
    from collections.abc import Generator


class Outcome:
    """pytest plugin that keeps the configuration, which holds the session, and what the command says in its own words.

    Pytest would print an error of usage behind `ERROR: `, one of its options with its own usage line.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self.config: pytest.Config | None = None
        self.uncollected: list[str] = []
        """Errors of the collection."""
        self.usage = ""
        """Error of usage in one line; empty when there was none."""

    @pytest.hookimpl(wrapper=True)
    def pytest_cmdline_parse(self) -> Generator[None, pytest.Config, pytest.Config]:
        """Keep the error of an option; the command then ends with `SystemExit`."""
        try:
            return (yield)
        except pytest.UsageError as error:
            self.usage = f"after --: {one_line(error)}"
            raise SystemExit(int(Exit.USAGE)) from None

    @pytest.hookimpl(wrapper=True)
    def pytest_cmdline_main(self) -> Generator[None, int | pytest.ExitCode, int | pytest.ExitCode]:
        """Keep an error of usage that is found later."""
        try:
            return (yield)
        except pytest.UsageError as error:
            self.usage = one_line(error)
            return pytest.ExitCode.USAGE_ERROR

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep an error of the collection."""
        if report.failed:
            self.uncollected.append(report.longreprtext)

    def pytest_configure(self, config: pytest.Config) -> None:
        """Keep the configuration."""
        self.config = config


def one_line(error: pytest.UsageError) -> str:
    """Return an error of usage in one line, without the usage line of pytest's parser and the files that it read."""
    text = "; ".join(map(str, error.args))
    if found := re.search(r"^\S+: error: (.*)$", text, re.MULTILINE):
        text = found[1]
    return " ".join(text.split())
