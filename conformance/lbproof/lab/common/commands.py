"""Short programs of this machine: their output, and their end with their parent."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WITHIN = 60.0
"""Timeout in seconds of a short program."""
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")
"""Thread that starts programs that die with their parent, which to the kernel is a thread (prctl(2),
PR_SET_PDEATHSIG): this one lives as long as the process."""


def start_for_life(start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Start a program of `killed_with_parent` so that it lives as long as this process, not as the calling thread."""
    return _STARTER.submit(start).result()


def killed_with_parent(argv: Sequence[str]) -> list[str]:
    """Return the command line of a program that the kernel kills when the thread that started it ends."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *argv]


def in_netns(path: str, argv: Sequence[str]) -> list[str]:
    """Return the command line that runs a program in the network namespace at a path."""
    return ["nsenter", f"--net={path}", "--", *argv]


def output(
    argv: Sequence[str],
    *,
    text: str | None = None,
    netns: str | None = None,
    shown: str | None = None,
    within: float = WITHIN,
) -> str:
    """Run a short program and return its standard output and standard error.

    `netns` is the path of its network namespace, `text` its standard input. Raises `LabError` with the output when the
    program fails, or has not ended within `within` seconds; `shown` replaces the command line in the message.
    """
    call = in_netns(netns, argv) if netns else list(argv)
    what = shown or " ".join(argv)
    try:
        done = subprocess.run(
            call,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=within,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{what}` has not ended within {within:g} s") from error
    if done.returncode:
        raise LabError(f"`{what}` failed ({done.returncode}): {done.stdout.strip()}")
    return done.stdout
