"""The cache of components: `<cache>/components/<name>/<version>/<name>`, shared by all processes of a user.

Everything is first made in a staging folder on the same disk and then renamed, so what has its name is complete. One
lock stands around all making; whoever has waited for it looks again before it makes anything.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.lab.components.base import ComponentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lbproof.lab.components.base import Progress
    from lbproof.lab.components.catalogue import Component


def place_of(root: Path, component: Component) -> Path:
    """Where a component is, or will be."""
    folder = root / "components" / component.name / component.version
    return folder / "tree/usr/sbin" / component.name if component.debian else folder / component.name


def usable(path: Path, component: Component) -> bool:
    """Whether a component is there and can be run, or read if it is a plain file."""
    return path.is_file() and os.access(path, os.X_OK if component.executable else os.R_OK)


@contextmanager
def making(root: Path, progress: Progress) -> Iterator[Path]:
    """An empty staging folder, while no other process makes anything; says so when it has to wait for one."""
    home = root / "components"
    staging = home / ".staging"
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / ".lock").open("a")
    except OSError as error:
        raise ComponentError(
            f"the cache {home} cannot be written: {error.strerror}; LBPROOF_CACHE can name another folder"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"another process is filling {home}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(staging, ignore_errors=True)  # what a killed process left; nobody else is here
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)  # a next process empties it again


def keep(made: Path, place: Path) -> None:
    """Give a complete file or folder of the staging folder its place, on the disk before it has the name."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if made.is_file():
        with made.open("rb") as file:
            os.fsync(file.fileno())
    made.replace(place)


def link(place: Path, program: Path, staging: Path) -> None:
    """Make a component a symbolic link to the program that it is a name of."""
    place.parent.mkdir(parents=True, exist_ok=True)
    made = staging / f"{place.name}.link"
    made.symlink_to(os.path.relpath(program, place.parent))
    made.replace(place)
