"""Start of a lab's supervisor, and what it reports until all nodes are Ready."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Any

from lbproof.lab.base import LabError
from lbproof.lab.common import environment
from lbproof.lab.common.logs import tail
from lbproof.lab.netns import processes

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from pathlib import Path

_LOG = "log/supervisor.log"


def supervisor(
    state: Path, request: Mapping[str, Any], listener: socket.socket
) -> tuple[subprocess.Popen[bytes], int, int]:
    """Start the supervisor of a new lab with the folder `state`.

    Return its `unshare`, and the descriptors of its reports and of this end of its lifeline.
    """
    reports, to_us = os.pipe()
    lifeline, own_end = os.pipe()
    given = [listener.fileno(), to_us, lifeline]
    (state / "log").mkdir()
    (state / "work").mkdir()
    (state / "request.json").write_text(json.dumps(request), encoding="utf-8")
    with (state / _LOG).open("wb") as log:
        started = subprocess.Popen(
            [
                *processes.UNSHARE,
                *("--propagation", "private", sys.executable, "-P", "-m", "lbproof.lab.netns.supervisor"),
                *(str(state), *(str(descriptor) for descriptor in given)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=given,
            env=environment.python(),
            start_new_session=True,
        )
    os.close(to_us)
    os.close(lifeline)
    return started, reports, own_end


def booted(name: str, state: Path, lines: IO[str], progress: Callable[[str], None]) -> None:
    """Read the reports of a lab's supervisor until all nodes are Ready. Raises `LabError` when it fails."""
    for line in lines:
        report = json.loads(line)
        if "error" in report:
            raise LabError(f"lab {name} did not boot: {report['error']}")
        if "ready" in report:
            return
        progress(f"lab {name}: {report['stage']} ({report['seconds']:.1f} s)")
    log = state / _LOG
    raise LabError(f"lab {name}: its supervisor ended while booting; the end of {log}:\n{tail(log)}")
