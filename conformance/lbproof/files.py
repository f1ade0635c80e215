"""Atomic file writes, links and special files of a folder, and messages for errors of the operating system."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REMEDIES = {
    errno.EACCES: "run the command as the user who owns it, for instance with sudo",
    errno.EPERM: "run the command as the user who owns it, for instance with sudo",
    errno.EROFS: "choose a folder that can be written",
    errno.ENOSPC: "free some space, or choose a folder on another disk",
    errno.EDQUOT: "free some space, or choose a folder on another disk",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "close other programs: the machine has no more open files to give",
    errno.ENOMEM: "free some memory",
    errno.EIO: "the disk is broken: choose another",
}


def of_environment(error: BaseException | None) -> str:
    """Return one line for an `OSError` caused by the machine or by permissions; empty for any other exception."""
    if not isinstance(error, OSError) or error.errno not in _REMEDIES:
        return ""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}: {_REMEDIES[error.errno]}"


def not_plain(folder: Path) -> list[str]:
    """List what of a folder is neither a folder nor a regular file, one line each.

    A symbolic link leads a reader to files of its own, and a writer too; a FIFO blocks whoever opens it.
    """
    found = []
    for where, folders, files in os.walk(folder):
        for name in sorted((*folders, *files)):
            mode = os.lstat(os.path.join(where, name)).st_mode  # noqa: PTH118 - a path of os.walk
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                path = os.path.relpath(os.path.join(where, name), folder)  # noqa: PTH118
                kind = "a symbolic link" if stat.S_ISLNK(mode) else "neither a folder nor a regular file"
                found.append(f"{path}: {kind}")
    return found


def point(link: Path, target: str) -> None:
    """Make a symbolic link, or point one elsewhere, in one step: another process sees the old link or the new one.

    What is not a link stays. Raises `OSError`.
    """
    if link.exists() and not link.is_symlink():
        return
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


def write_whole(path: Path, text: str) -> None:
    """Write a file atomically: write a temporary file in the same folder and rename it.

    Raises `OSError` with the name of the file, which then keeps its old content.
    """
    with replacing(path) as file:
        file.write(text.encode())


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file in the same folder, which takes the place of a file at the end of the block.

    Raises `OSError` with the name of the file, which then keeps its old content.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:  # never through a link
            yield file
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):  # the first error is reported
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def append_whole(path: Path, text: str) -> None:
    """Append a text to a file, all of it or nothing. Raises `OSError` with the name of the file."""
    try:
        with path.open("ab", buffering=0) as file:
            size, rest = file.seek(0, os.SEEK_END), memoryview(text.encode())
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(size)
                raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
