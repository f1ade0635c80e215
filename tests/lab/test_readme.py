"""README's example of a lab is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lbproof.lab import provide, registry

if TYPE_CHECKING:
    from collections.abc import Iterator

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a lab that is gone afterwards, so that a lab of the developer's own is left alone."""
    free = registry.free_name("readme")
    yield free
    if free in {info.name for info in registry.labs()}:
        provide.clean(free)


def test_the_example_of_a_lab_works_from_up_to_down(name: str) -> None:
    """Each command ends well, and the one in the middle shows an address of the node."""
    (example,) = re.findall(r"^lbproof lab up;.*", README.read_text(), flags=re.MULTILINE)
    named = re.sub(r"lab (up|exec)", rf"lab \1 --name {name}", example).replace("lab down", f"lab down {name}")
    bin_folder = Path(sys.executable).parent
    done = subprocess.run(
        ["/bin/sh", "-ec", named.replace(";", "\n")],
        env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "192.168.172.151/24" in done.stdout
    assert name not in {info.name for info in registry.labs()}
