"""A lab that outlives a run serves the next one at once, whatever the first left terminating."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from lbproof.context import manifests

if TYPE_CHECKING:
    from pathlib import Path

    from lbproof.lab.netns.lab import NetnsLab
    from lbproof.witnesses.kube import Kube

NAMESPACES = ("lbproof", "lbproof-foreign")
"""What the checks of a run share."""
CASES = ("TIER-01", "ARTICLE-03", "CLASS-02")
"""They use both, and a namespace that no run makes."""


def test_two_runs_in_a_row_on_one_lab(lab: NetnsLab, kube: Kube, tmp_path: Path) -> None:
    """Neither meets what the other deleted, and the first leaves no namespace of its own that still terminates."""
    command = [sys.executable, "-m", "lbproof", "run", "--lab", lab.name, "--budget", "stays_untouched=1"]
    chosen = [f"--requirement={case}" for case in CASES]
    for results in (tmp_path / "first", tmp_path / "second"):
        for name in NAMESPACES:  # as a run leaves them that was stopped while it took them down
            kube.apply(manifests.namespace(name))
            kube.delete(f"/api/v1/namespaces/{name}")
        done = subprocess.run(
            [*command, *chosen, "--results", results], capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == 0, done.stdout + done.stderr
        report = json.loads((results / "latest" / "report.json").read_text())
        assert report["counts"]["passed"] == sum(report["counts"].values()) > 0
        left = {found["metadata"]["name"] for found in kube.list("/api/v1/namespaces")}
        assert not left & set(NAMESPACES)


def test_what_a_killed_run_left_is_no_fault_of_the_implementation(lab: NetnsLab, kube: Kube, tmp_path: Path) -> None:
    """A lab that holds objects of another run is refused in one line; nothing is judged."""
    kube.apply(manifests.namespace("lbproof-pool-02b-left"))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lbproof", "run", "--lab", lab.name, "--requirement=POOL-01", "--results", tmp_path],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    finally:
        kube.delete("/api/v1/namespaces/lbproof-pool-02b-left")

    assert done.returncode == 69, done.stdout + done.stderr
    assert "left objects in it (namespaces lbproof-pool-02b-left)" in " ".join(done.stdout.split())
