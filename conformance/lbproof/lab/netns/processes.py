"""Starting programs in network namespaces, each in a session of its own and with a log, and ending them."""

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

NAMESPACES = "/run/netns"
"""Where the namespaces have their names; a file system of the lab's own, seen in its mount namespace alone."""


def namespace(name: str) -> str:
    """The path of a named network namespace, inside the lab."""
    return f"{NAMESPACES}/{name}"


def start(
    argv: Sequence[str], *, netns: str, log: Path, env: Mapping[str, str], program: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a program in a named namespace; its output is appended to `log`.

    `program` is what runs when it is not `argv[0]`: a multi-call binary goes by the name that it is called by.
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
            start_new_session=True,
        )


def start_here(argv: Sequence[str], *, log: Path, descriptor: int) -> subprocess.Popen[bytes]:
    """Start a program in this process's own namespaces; it inherits one descriptor."""
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
    """Send a signal to everything in these processes' groups, the leader alive or not."""
    for process in processes:
        with suppress(ProcessLookupError):  # the whole group has ended by itself
            os.killpg(process.pid, number)


def end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """SIGKILL to these processes' groups, and wait until they are gone."""
    ended = list(processes)
    send(ended, signal.SIGKILL)
    for process in ended:
        process.wait()
