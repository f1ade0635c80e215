"""A place in a netns lab, seen from the suite's process."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.lab.enter import entered

if TYPE_CHECKING:
    from collections.abc import Sequence

_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vantage-starter")
"""The thread that starts programs. They are told to die with their parent, which to the kernel is a thread: this one
lives as long as the process, whatever thread asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceVantage:
    """A network namespace of a lab as a place to send from and watch at."""

    name: str
    address: str
    mac: str
    netns: str
    """Path of the namespace as this process reaches it."""
    pidns: str
    """Path of the lab's PID namespace: what is started here is born in it, and so dies with the lab."""
    interface: str = "eth0"

    def inside(self) -> AbstractContextManager[None]:
        """Sockets that this thread makes inside stay here."""
        return entered(self.netns)

    def popen(
        self, argv: Sequence[str], *, stdout: int | None = None, stderr: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program of this machine here, in a session of its own; it dies with the lab and with this process."""

        def start() -> subprocess.Popen[bytes]:
            with ExitStack() as there:
                there.enter_context(entered(self.netns))
                there.enter_context(entered(self.pidns, kind="pid_for_children"))
                return subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                )

        return _STARTER.submit(start).result()
