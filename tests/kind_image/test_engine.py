"""The runtime wrapper: what a machine without CAP_SYS_RESOURCE cannot give is taken out, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

WRAPPER = Path(__file__).parents[2] / "kind-configs/engine/runc"
PROCESS = {
    "args": ["/sbin/init", "a \"quoted\" \\ 'word'"],
    "oomScoreAdj": -998,
    "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1, "soft": 1}],
    "capabilities": {"bounding": ["CAP_SYS_RESOURCE", "CAP_CHOWN"], "effective": ["CAP_SYS_RESOURCE"]},
}
LEFT = {"args": PROCESS["args"], "capabilities": {"bounding": ["CAP_CHOWN"], "effective": []}}

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="the wrapper takes jq")


@pytest.fixture
def wrapper(tmp_path: Path) -> Path:
    """The wrapper before a runc that prints its arguments."""
    (tmp_path / "runc").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "runc").chmod(0o755)
    text = WRAPPER.read_text()
    made = tmp_path / "wrapper"
    made.write_text(text.replace('PATH="', f'PATH="{tmp_path}:', 1))
    made.chmod(0o755)
    return made


def test_a_new_container_is_given_only_what_there_is(wrapper: Path, tmp_path: Path) -> None:
    """The bundle's process loses capability, score and limits; the rest of the bundle is not touched."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"process": PROCESS, "hostname": "n"}))
    words = ["--root", "/r", "create", "--bundle", str(tmp_path), "--pid-file", "p", "id"]

    said = subprocess.run([wrapper, *words], capture_output=True, text=True, check=True).stdout

    assert json.loads(config.read_text()) == {"process": LEFT, "hostname": "n"}
    assert said.splitlines() == words


def test_a_process_in_a_container_likewise(wrapper: Path, tmp_path: Path) -> None:
    """`exec` has its process in a file of its own, and no capabilities at all is fine."""
    process = tmp_path / "process.json"
    process.write_text(json.dumps({"args": ["true"], "oomScoreAdj": 1}))

    subprocess.run([wrapper, "exec", f"--process={process}", "id"], capture_output=True, check=True)

    assert json.loads(process.read_text()) == {"args": ["true"]}


def test_any_other_command_is_passed_on(wrapper: Path, tmp_path: Path) -> None:
    """`delete` finds its bundle as it was."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"process": PROCESS}))

    said = subprocess.run(
        [wrapper, "delete", "--force", "run"], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout

    assert json.loads(config.read_text()) == {"process": PROCESS}
    assert said.splitlines() == ["delete", "--force", "run"]
