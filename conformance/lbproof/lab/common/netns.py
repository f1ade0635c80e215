"""Entering and leaving namespaces, per thread.

A network namespace belongs to a thread, and a socket stays in the namespace in which it was created, so a probe needs
no process of its own. Python 3.11 has no `os.setns`, hence libc.
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
    """Move this thread into the namespace at `path`. Raises `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(fd, str(path))
    finally:
        os.close(fd)


@contextmanager
def entered(path: Path | str, kind: str = "net") -> Iterator[None]:
    """Move this thread into the namespace at `path` during the block, and threads that it starts there.

    `kind` is a file of /proc/PID/ns: `net`, or `pid_for_children`, which affects the processes started during the block
    instead of this thread.
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
