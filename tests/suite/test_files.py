"""Files of a folder that others may write into or look at meanwhile."""

from __future__ import annotations

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
