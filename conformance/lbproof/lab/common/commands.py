"""Short programs of this machine: their output, and their end with their parent."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence


def killed_with_parent(argv: Sequence[str]) -> list[str]:
    """Return the command line of a program that the kernel kills when the thread that started it ends."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *argv]


def in_netns(path: str, argv: Sequence[str]) -> list[str]:
    """Return the command line that runs a program in the network namespace at a path."""
    return ["nsenter", f"--net={path}", "--", *argv]


def output(argv: Sequence[str], *, text: str | None = None, netns: str | None = None, shown: str | None = None) -> str:
    """Run a short program and return its standard output and standard error.

    `netns` is the path of its network namespace, `text` its standard input. Raises `LabError` with the output when the
    program fails; `shown` replaces the command line in the message.
    """
    call = in_netns(netns, argv) if netns else list(argv)
    done = subprocess.run(call, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise LabError(f"`{shown or ' '.join(argv)}` failed ({done.returncode}): {done.stdout.strip()}")
    return done.stdout
