"""Programs in network namespaces: start, each in its own session and with a log; signal; end."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.common.netns import entered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc")
"""Command that starts a program as the init of new network, mount and PID namespaces, which end with the command."""
NAMESPACES = "/run/netns"
"""Folder of named network namespaces; a file system that is mounted in the lab's mount namespace only."""

_OWN = ("mnt", "pid")
"""Kinds of namespaces of which a container has its own, or at least one."""


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


def send_inside(processes: Iterable[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    """Send a signal to all processes in a mount or PID namespace of these processes' own, in whatever session they are.

    Namespaces are held open meanwhile, because the kernel gives the inode of one that has ended to the next.
    """
    ours = {Path(f"/proc/self/ns/{kind}").stat().st_ino for kind in _OWN}
    sent: set[int] = set()
    with ExitStack() as held:
        theirs: set[int] = set()
        for process, kind in itertools.product(processes, _OWN):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                file = held.enter_context(Path(f"/proc/{process.pid}/ns/{kind}").open("rb", buffering=0))
                theirs.add(os.fstat(file.fileno()).st_ino)
        while fresh := _inside(theirs - ours) - sent:  # until no process has made another meanwhile
            for pid in fresh:
                with suppress(ProcessLookupError):  # it has ended
                    os.kill(pid, number)
            sent |= fresh


def _inside(namespaces: set[int]) -> set[int]:
    """Return the processes in any of these mount or PID namespaces."""
    found = set()
    for path in Path("/proc").glob("[0-9]*") if namespaces else ():
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):  # it has ended, or is not of the lab
            if any((path / "ns" / kind).stat().st_ino in namespaces for kind in _OWN):
                found.add(int(path.name))
    return found


def end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Send SIGKILL to the process groups of these processes, and wait until the processes have ended."""
    ended = list(processes)
    send(ended, signal.SIGKILL)
    for process in ended:
        process.wait()
