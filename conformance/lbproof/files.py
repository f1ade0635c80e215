"""Atomic file writes, and messages for errors of the operating system that the user can fix."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def write_whole(path: Path, text: str) -> None:
    """Write a file atomically: write a temporary file in the same folder and rename it.

    Raises `OSError` with the name of the file, which then keeps its old content.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # the first error is reported
            temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
