"""Entering and leaving namespaces, per thread, and telling them apart.

A network namespace belongs to a thread, and so to the processes that the thread starts. Python 3.11 has no `os.setns`,
hence libc.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SO_NETNS_COOKIE = 71  # <asm-generic/socket.h>; Python has no name for it
_NEW_PID = 0x20000000
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


@contextmanager
def new_pid_namespace(wanted: bool = True) -> Iterator[None]:
    """Make the first process that this thread starts during the block the init of a new PID namespace, if `wanted`.

    The block starts one process and no thread. That process is a child of this one, with its exit code.
    """
    if not wanted:
        yield
        return
    back = os.open("/proc/thread-self/ns/pid_for_children", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(_NEW_PID):
            code = ctypes.get_errno()
            raise OSError(code, f"{os.strerror(code)}: making a PID namespace")
        try:
            yield
        finally:
            _setns(back, "the PID namespace that the thread came from")
    finally:
        os.close(back)


def namespace_identity(path: Path | str) -> tuple[int, int, int]:
    """Return the identity of a network namespace: the same as before only when it is the same namespace.

    Device and inode of its file, and its cookie, since the kernel gives the inode of a namespace that has ended to the
    next one. The cookie is 0 before Linux 5.14. Raises `OSError`.
    """
    with entered(path):
        found = Path("/proc/thread-self/ns/net").stat()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
            try:
                cookie = opened.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
            except OSError as error:
                if error.errno != errno.ENOPROTOOPT:
                    raise
                cookie = b""
    return found.st_dev, found.st_ino, int.from_bytes(cookie, sys.byteorder)


def _setns(fd: int, what: str) -> None:
    if _libc.setns(fd, 0):
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)}: entering {what}")
