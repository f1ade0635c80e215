"""Programs in network namespaces: start, each in its own session and with a log; signal; end."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from lbproof.lab.common.netns import entered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc")
"""Command that starts a program as the init of new network, mount and PID namespaces, which end with the command."""
NAMESPACES = "/run/netns"
"""Folder of named network namespaces; a file system that is mounted in the lab's mount namespace only."""


def namespace(name: str) -> str:
    """Return the path of a named network namespace, inside the lab."""
    return f"{NAMESPACES}/{name}"


def start(
    argv: Sequence[str],
    *,
    netns: str,
    log: Path,
    env: Mapping[str, str],
    program: Path | None = None,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in a named namespace; its output is appended to `log`.

    `program` is the file to execute if it is not `argv[0]`, for a binary that behaves by the name of its call. The
    program inherits `descriptors`.
    """
    with log.open("ab") as output, entered(namespace(netns)):
        return subprocess.Popen(
            argv,
            executable=program,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(env),
            cwd="/",
            pass_fds=descriptors,
            start_new_session=True,
        )


def start_here(argv: Sequence[str], *, log: Path, descriptor: int) -> subprocess.Popen[bytes]:
    """Start a program in the namespaces of this process; it inherits one descriptor."""
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[descriptor],
            start_new_session=True,
        )


def send(processes: Iterable[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    """Send a signal to the process groups of these processes, also when a leader has ended."""
    for process in processes:
        with suppress(ProcessLookupError):  # the whole group has ended
            os.killpg(process.pid, number)


def end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Send SIGKILL to the process groups of these processes, and wait until the processes have ended."""
    ended = list(processes)
    send(ended, signal.SIGKILL)
    for process in ended:
        process.wait()
