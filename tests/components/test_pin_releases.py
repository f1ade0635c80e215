"""`tools/pin_releases.py` prints what versions.toml takes over."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from lbproof.lab.components.catalogue import SHA256
from lbproof.lab.kind.components import complete

ROOT = Path(__file__).parents[2]


def publish(site: Path) -> None:
    """Write checksum files as the makers do: a bare digest, or lines of digest and file name."""
    for component in complete().values():
        if component.release is None:
            continue
        for arch in ("amd64", "arm64"):
            path = component.release.path.format(arch=arch)
            sums = site / component.release.sums.format(arch=arch).lstrip("/")
            sums.parent.mkdir(parents=True, exist_ok=True)
            digest = SHA256[path]
            with sums.open("a") as file:
                file.write(f"{digest}\n" if sums.suffix == ".sha256" else f"{digest}  {path.rpartition('/')[2]}\n")


def printed(site: Path) -> subprocess.CompletedProcess[str]:
    """What the command says of a mirror."""
    argv = [sys.executable, str(ROOT / "tools/pin_releases.py")]
    env = os.environ | {"LBPROOF_MIRROR": site.as_uri()}
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


def test_it_prints_the_table_of_versions_toml(tmp_path: Path) -> None:
    """As TOML, complete, from both forms of checksum files."""
    publish(tmp_path)

    assert tomllib.loads(printed(tmp_path).stdout) == {"sha256": SHA256}


def test_a_checksum_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """No half table."""
    done = printed(tmp_path)

    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith(f"pin_releases: {tmp_path.as_uri()}/")
    assert done.stderr.count("\n") == 1
