"""Build the image under test before the lab boots; lbproof then loads it into the nodes."""

import os
import subprocess
from pathlib import Path

import pytest

from acme_lb_proof import IMAGE


def pytest_sessionstart(session: pytest.Session) -> None:
    base = [f"--build-arg=BASE={os.environ['BASE']}"] if "BASE" in os.environ else []
    subprocess.run(["docker", "build", *base, "--tag", IMAGE, Path(__file__).parent], check=True, capture_output=True)
