"""Files of a folder that others may write into or look at meanwhile."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from lbproof.files import not_plain, point, write_whole
from lbproof.run.folder import new_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_the_link_to_the_newest_run_is_there_all_the_time(tmp_path: Path) -> None:
    """Runs that begin at once each get a folder, and a reader of `latest` never meets a moment without it."""
    first = new_folder(tmp_path, "acme")
    missing: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            if not (tmp_path / "latest").exists():
                missing.append(1)

    reader = threading.Thread(target=look)
    reader.start()
    folders = [new_folder(tmp_path, "acme") for _ in range(60)]
    done.set()
    reader.join()

    assert not missing
    assert len({first, *folders}) == 61
    assert (tmp_path / "latest").resolve() == folders[-1]
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_two_commands_that_begin_at_once_point_latest_to_one_of_their_runs(tmp_path: Path) -> None:
    """Each in a process of its own: neither fails, and no link of a moment is left."""
    writes = (
        "import sys; from pathlib import Path; from lbproof.run.folder import new_folder\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for _ in range(40): print(new_folder(Path(sys.argv[1]), sys.argv[2]).name)"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", writes, str(tmp_path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("acme", "acme", "other")
    ]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    ends = [writer.communicate(timeout=60) for writer in writers]

    assert [(writer.returncode, err) for writer, (_, err) in zip(writers, ends, strict=True)] == [(0, "")] * 3
    made = [out.split() for out, _ in ends]
    names = [name for some in made for name in some]
    assert len(set(names)) == len(names) == 120
    assert str((tmp_path / "latest").readlink()) in {some[-1] for some in made}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "latest"])


def test_what_is_no_link_is_not_replaced_by_one(tmp_path: Path) -> None:
    """A folder of the user stays; a link that leads nowhere is a link."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "broken").symlink_to("nowhere")

    for name in ("mine", "broken"):
        point(tmp_path / name, "run-1")

    assert (tmp_path / "mine").is_dir()
    assert str((tmp_path / "broken").readlink()) == "run-1"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """Neither through the file nor through the temporary one beside it, whose name can be known."""
    secret = tmp_path / "secret"
    secret.write_text("mine")
    for name in ("page", *(f".page.{number}" for number in range(3))):
        (tmp_path / name).symlink_to(secret)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.getpid", lambda: 2)
        write_whole(tmp_path / "page", "new")

    assert secret.read_text() == "mine"
    assert (tmp_path / "page").read_text() == "new"
    assert not (tmp_path / "page").is_symlink()
    assert not_plain(tmp_path) == [".page.0: a symbolic link", ".page.1: a symbolic link"]
