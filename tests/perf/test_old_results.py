"""Folders of earlier versions are still read: `data/results-0.1` is a quick run of version 0.1.0, trimmed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from lbproof.run.cli import cli
from lbproof.spec import Exit

STORED = Path(__file__).parent / "data" / "results-0.1"
OUTAGE = "failover.reference.power-cut.first_answer_seconds"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy that a command may write into."""
    return Path(shutil.copytree(STORED, tmp_path / "old"))


def test_a_report_is_made_of_an_old_folder(old: Path) -> None:
    """Page, JSON and terminal show every benchmark, and the outage that was measured."""
    told = CliRunner().invoke(cli, ["bench", "report", str(old)])
    page, report = (old / "report.html").read_text(), json.loads((old / "bench.json").read_text())

    assert told.exit_code == Exit.CONFORMANT, told.output
    assert {figure["bench"] for figure in report["figures"]} == {
        *("ruler", "failover", "moves", "hogs", "allocate", "allocator", "scale", "arp", "load")
    }
    assert f"{report['trials']} trials, " in page
    assert "146 ms" in page
    assert page.count('class="lostprobe"') > 1
    assert "the machine was the limit: 2.00 of 2 cores busy" in page
    assert "failover, power-cut" in told.output


def test_an_old_folder_is_compared(old: Path, tmp_path: Path) -> None:
    """With itself: too few values to say anything, and a threshold is held against the value that was measured."""
    gates = tmp_path / "gates.toml"
    gates.write_text(f'"{OUTAGE}.max" = {{most = 0.2, trials = 2}}\n')
    told = CliRunner().invoke(cli, ["compare", str(STORED), str(old), "--thresholds", str(gates)])

    assert told.exit_code == Exit.INCONCLUSIVE, told.output
    assert f"threshold held: {OUTAGE}.max is 146 ms, at most 200 ms" in told.output
    assert f"too few  {OUTAGE}.max: 146 ms → 146 ms (n 2, 2)" in told.output


def test_two_arms_of_an_old_folder_are_compared(old: Path) -> None:
    """What has samples in its raw data is shown with its ratio."""
    told = CliRunner().invoke(cli, ["compare", str(old), str(old), "--arm", "reference", "--arm", "metallb"])

    assert told.exit_code == Exit.INCONCLUSIVE, told.output
    assert "shown  allocate.reference/metallb.burst-10.arp_seconds.p50: " in told.output
