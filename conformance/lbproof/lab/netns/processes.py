"""Starting programs in network namespaces, each in a session of its own and with a log, and ending them."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError
from lbproof.lab.enter import entered

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


def output(argv: Sequence[str], *, text: str | None = None, netns: str | None = None, shown: str | None = None) -> str:
    """What a short program prints. `LabError` with its own words when it fails, under the name `shown`."""
    call = ["nsenter", f"--net={namespace(netns)}", "--", *argv] if netns else list(argv)
    done = subprocess.run(call, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise LabError(f"`{shown or ' '.join(argv)}` failed ({done.returncode}): {done.stdout.strip()}")
    return done.stdout


def tail(log: Path, lines: int = 8) -> str:
    """The last lines of a log, indented for an error message."""
    if not log.exists():
        return "    (no log)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 16384))
        last = file.read().decode(errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line[:300]}" for line in last) or "    (its log is empty)"
