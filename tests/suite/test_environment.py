"""A disk that is full, a folder that is read-only, a lab of another user: one line, no traceback, no file in part."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lbproof.report import model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.suite.conftest import Run

CHATTY = """
from lbproof.context import proves
@proves("POOL-02", "abc")
def test_chatty(check, case):
    for _ in range(20):
        check.saw("lab", "much", "x" * 2_000)
"""


def test_a_disk_that_fills_up_stops_the_run(run: Callable[..., Run], small: Callable[[str], Path]) -> None:
    """What was seen until then can be read, nothing is written in part, and the lab is gone."""
    place = small("size=64k")
    done = run(CHATTY, "--results", str(place))

    assert done.exit == 69, done.screen
    assert "No space left on device: free some space, or choose a folder on another disk" in done.screen
    assert "Traceback" not in done.screen
    assert "bug" not in done.screen
    (folder,) = (path for path in place.iterdir() if not path.is_symlink())
    assert [path.name for path in folder.iterdir()] == ["events.ndjson"]
    text = (folder / "events.ndjson").read_bytes()
    assert text.endswith(b"\n")
    assert model.read(folder).cases


def test_a_failure_that_was_proven_is_told_though_the_disk_is_full(
    run: Callable[..., Run], small: Callable[[str], Path]
) -> None:
    """A MUST that failed is not conformant, whatever broke beside it."""
    fails = '\n@proves("L2-01")\ndef test_fails(check): assert 1 == 2, "two nodes answer"\n'
    order = fails.replace("L2-01", "POOL-01") + CHATTY.replace("\nfrom lbproof.context import proves", "")
    done = run("from lbproof.context import proves\n" + order, "--results", str(small("size=64k")))

    assert done.exit == 1, done.screen
    assert "reference: failed POOL-01" in done.screen or "not passed" in done.screen
    assert "No space left on device" in done.screen


def test_a_folder_that_is_full_already_is_no_bug(run: Callable[..., Run], small: Callable[[str], Path]) -> None:
    """Not even the folder of the run can be made."""
    place = small("nr_inodes=1")
    done = run(CHATTY, "--results", str(place / "runs"))

    assert done.exit in {64, 69}, done.screen
    assert len(done.screen.strip().splitlines()) == 1
    assert "No space left on device" in done.screen


def test_a_report_in_a_read_only_folder_is_one_line(run: Callable[..., Run], small: Callable[[str], Path]) -> None:
    """The folder that the user named cannot be written: usage, and what is there stays."""
    place = small("size=8m")
    done = run(CHATTY, "--results", str(place))
    before = (place / "latest" / "report.json").read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    again = lbproof("report", "html", str(place / "latest"))

    assert done.exit == 0, done.screen
    assert again.returncode == 64
    assert "Read-only file system" in again.stderr
    assert len(again.stderr.splitlines()) == 1
    assert (place / "latest" / "report.json").read_bytes() == before


def test_a_machine_that_gives_no_more_files_is_no_bug(run: Callable[..., Run]) -> None:
    """What the operating system refuses during the boot is the environment's."""
    done = run(CHATTY, lab="few-files")

    assert done.exit == 69, done.screen
    assert "Too many open files: allow more open files (ulimit -n)" in " ".join(done.screen.split())


def test_a_file_of_the_user_called_latest_is_left_alone(run: Callable[..., Run], tmp_path: Path) -> None:
    """The link of that name is a convenience."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "latest").write_text("mine")

    assert run(CHATTY, "--results", str(place)).exit == 0
    assert (place / "latest").read_text() == "mine"


def test_a_lab_that_is_not_there_is_one_line_and_no_run(run: Callable[..., Run]) -> None:
    """A name that is mistyped gives no folder and no verdicts."""
    done = run(CHATTY, "--lab", "no-such-lab")

    assert done.exit == 69, done.screen
    assert done.screen.strip().startswith("lbproof: no usable environment: no lab no-such-lab is up; there are: ")
    assert len(done.screen.strip().splitlines()) == 1
    assert not done.directory.exists()


LACKS = """
import sys
from lbproof.run import cli
from lbproof.adapters.reference import Reference
Reference.python_modules = {"no_such_module": "lbproof[reference]"}
cli.main()
"""


@pytest.mark.parametrize("arguments", [["run"], ["lab", "up", "--implementation", "reference"], ["doctor"]])
def test_an_extra_that_is_missing_is_told_before_the_boot(arguments: list[str], tmp_path: Path) -> None:
    """The command to type is said, and no lab was begun."""
    if arguments == ["run"]:
        arguments = ["run", "--results", str(tmp_path)]
    command = [sys.executable, "-c", LACKS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 69, done.stdout + done.stderr
    assert "no_such_module" in done.stdout + done.stderr
    assert f"{sys.executable} -m pip install 'lbproof[reference]'" in done.stdout + done.stderr
    assert "segment and certificates" not in done.stdout + done.stderr


def lbproof(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command itself."""
    return subprocess.run([sys.executable, "-m", "lbproof", *arguments], capture_output=True, text=True, check=False)
