"""Entering namespaces: per thread, and back again.

A network namespace belongs to the thread and a socket stays in the one that it was made in, so a probe needs no process
of its own. Python 3.11 has no `os.setns`, hence libc.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)


def enter(path: Path | str) -> None:
    """Move this thread into the namespace behind `path`, for good. `OSError` when that cannot be."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(fd, str(path))
    finally:
        os.close(fd)


@contextmanager
def entered(path: Path | str, kind: str = "net") -> Iterator[None]:
    """This thread is in the namespace behind `path` inside the block, as is a thread that it starts there.

    `kind` is the file of /proc/PID/ns that says where to go back to: `net`, or `pid_for_children`, with which it is the
    processes started inside the block that are born in a PID namespace.
    """
    back = os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(path)
        try:
            yield
        finally:
            _setns(back, "the namespace that the thread came from")
    finally:
        os.close(back)


def _setns(fd: int, what: str) -> None:
    if _libc.setns(fd, 0):
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)}: entering {what}")
