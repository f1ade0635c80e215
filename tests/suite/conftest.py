"""Runs of the plugin on a lab that is no lab: what is under test here is the verdicts, the exits and the lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.suite.fake_lab import CLAIMED

from lbproof.spec import lacking
from lbproof.spec.requirements import needs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SUITE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run of the command left: its exit, its screen, and its report."""

    exit: int
    screen: str
    directory: Path

    @property
    def report(self) -> dict[str, Any]:
        """`report.json`."""
        found: dict[str, Any] = json.loads((self.directory / "report.json").read_text())
        return found

    @property
    def environment(self) -> dict[str, str]:
        """`environment.json`."""
        found: dict[str, str] = json.loads((self.directory / "environment.json").read_text())
        return found

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Rows of `events.ndjson` of one kind, in their order."""
        rows = map(json.loads, (self.directory / "events.ndjson").read_text().splitlines())
        return [row for row in rows if row["event"] == kind]

    def verdicts(self) -> dict[str, str]:
        """Case → verdict, without what the reference does not claim, which is unsupported in each run of it."""
        return {
            case["id"]: case["verdict"]
            for r in self.report["requirements"]
            for case in r["cases"]
            if case["verdict"] != "unsupported" or not lacking(needs_of(case["id"]), CLAIMED)
        }


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Run]:
    """Run checks of the given source on a fake lab, as `lbproof run` does; with `home` beside the folder `runs`."""

    def go(
        source: str,
        *arguments: str,
        lab: str = "",
        command: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        home: bool = False,
        ini: str = "[pytest]\naddopts = -p no:cacheprovider --import-mode=importlib\n",
    ) -> Run:
        checks = tmp_path / "checks"
        checks.mkdir(exist_ok=True)
        (checks / "test_fake.py").write_text(source)
        (checks / "pytest.ini").write_text(ini)
        done = subprocess.run(
            command or [sys.executable, "-m", "fake_lab", "run", "--results", str(tmp_path / "runs"), *arguments],
            env={
                **os.environ,
                **(env or {}),
                "PYTHONPATH": os.pathsep.join([str(SUITE), *(env or {}).get("PYTHONPATH", "").split(os.pathsep)]),
                "FAKE_CHECKS": str(checks),
                "FAKE_LAB": lab,
                "NO_COLOR": "1",
            },
            cwd=tmp_path if home else cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Run(
            exit=done.returncode, screen=done.stdout + done.stderr, directory=(tmp_path / "runs" / "latest").resolve()
        )

    return go
