"""The example of a vendor's repository, run as its README says: the suite's own smoke test on kind."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lbproof.lab.kind import leftovers

if TYPE_CHECKING:
    from lbproof.lab.kind.engine import Engine

EXAMPLE = Path(__file__).parents[2] / "docs/examples/vendor"
TEN = ["POOL-01", "PEND-01", "REQ-03", "RECL-01", "CRD-01", "TIER-01", "TIER-02", "TIER-05", "L2-01", "FAIL-01"]


def commands() -> list[str]:
    """The shell lines of the example's README."""
    text = (EXAMPLE / "README.md").read_text()
    return text.split("```sh\n")[1].split("```")[0].splitlines()


def test_the_conftest_is_short() -> None:
    """As its README promises."""
    assert len((EXAMPLE / "conftest.py").read_text().splitlines()) <= 15


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("node_image")
def test_a_vendor_proves_its_own_implementation(engine: Engine, reference_image: str, tmp_path: Path) -> None:
    """Installed with pip, its adapter found by entry point, its image built and loaded: ten requirements pass."""
    install, prove = commands()
    before = leftovers.labs_of(engine)
    repository, site = tmp_path / "acme", tmp_path / "site"
    shutil.copytree(EXAMPLE, repository, ignore=shutil.ignore_patterns("__pycache__"))
    # lbproof itself is this checkout; nothing is asked of a package index
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", f"--target={site}"]
    subprocess.run([*pip, repository], check=True)
    command = [sys.executable, "-m", *shlex.split(prove), *(f"--lb-requirement={one}" for one in TEN)]
    env = {**os.environ, "PYTHONPATH": str(site), "BASE": reference_image}  # an image with python3 that is not pulled
    done = subprocess.run(command, cwd=repository, env=env, capture_output=True, text=True, check=False)

    report = json.loads((repository / "lbproof-results/latest/report.json").read_text())
    verdicts = {row["id"]: row["verdict"] for row in report["requirements"] if row["verdict"] != "skipped"}

    assert install == "pip install 'lbproof[kind]' ."
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert dict.fromkeys(TEN, "passed") == verdicts
    assert report["implementation"]["name"] == "acme"
    assert report["environment"]["lab"] == "kind"
    assert leftovers.labs_of(engine) == before
