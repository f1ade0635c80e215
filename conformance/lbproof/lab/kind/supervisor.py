"""Supervisor of a kind lab: removes the lab when its starter dies, and runs the proxy of the API server.

It reads a pipe, the lifeline, as the netns lab's supervisor does. End of file means that the starter has died, even
by SIGKILL: everything that the lab has in the engine is removed. One byte lets the lab outlive its starter. Where the
engine's network is not this process's, it forwards a port of this machine to the one that kind published there.

Called as `python -m lbproof.lab.kind.supervisor NAME LIFELINE [LISTEN]`: the lab's name and the descriptors.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress

from lbproof.lab import registry
from lbproof.lab.base import LabError
from lbproof.lab.common.commands import in_netns, killed_with_parent
from lbproof.lab.kind import leftovers
from lbproof.lab.kind.engine import Engine

API_TARGET = "api-target"
"""File in the lab's folder that appears when the API server has a port: `HOST PORT` in the engine's network."""
_EVERY = 0.2


def _api_proxy(name: str, listen: int, engine: Engine) -> None:
    """Pipe the listening socket to the port that kind publishes, once it does."""
    target = registry.directory(name) / API_TARGET
    while not target.exists():
        threading.Event().wait(_EVERY)
    forward = [
        sys.executable,
        "-P",
        "-m",
        "lbproof.lab.common.api_proxy",
        str(listen),
        *target.read_text("utf-8").split(),
    ]
    with (target.parent / "log" / "forward.log").open("ab") as log:
        subprocess.run(
            killed_with_parent(in_netns(engine.netns, forward)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[listen],
            check=False,
        )


def main(name: str, lifeline: int, listen: int | None) -> None:
    """Keep the lab until its starter dies, or for good once it is set free."""
    engine = Engine.find()
    if listen is not None:
        threading.Thread(target=_api_proxy, args=(name, listen, engine), daemon=True).start()
    if os.read(lifeline, 1):
        threading.Event().wait()
    with suppress(LabError):  # the engine has ended meanwhile, and the containers with it
        leftovers.remove_all(engine, name)
    shutil.rmtree(registry.directory(name), ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else None)
