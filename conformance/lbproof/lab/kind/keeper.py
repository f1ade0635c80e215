"""The keeper of a kind lab: takes the lab down when whoever started it dies, and is the API server's door.

It watches a lifeline as the netns lab's keeper does: end of file (the starter died, even by SIGKILL) removes all that
the lab has in the engine; one byte sets the lab free to outlive its starter. Where the engine's network is not this
process's, it pipes a port of this machine to the one that kind published there.

Called as `python -m lbproof.lab.kind.keeper NAME LIFELINE [LISTEN]`: the lab's name and the descriptors.
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
from lbproof.lab.kind import leftovers
from lbproof.lab.kind.engine import Engine

DOOR = "door"
"""File in the lab's folder that appears when the API server has a port: `HOST PORT` in the engine's network."""
_EVERY = 0.2


def _door(name: str, listen: int, engine: Engine) -> None:
    """Pipe the listening socket to the port that kind publishes, once it does."""
    target = registry.directory(name) / DOOR
    while not target.exists():
        threading.Event().wait(_EVERY)
    forward = [sys.executable, "-P", "-m", "lbproof.lab.forward", str(listen), *target.read_text("utf-8").split()]
    with (target.parent / "log" / "forward.log").open("ab") as log:
        subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", "--", "nsenter", f"--net={engine.netns}", "--", *forward],
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
        threading.Thread(target=_door, args=(name, listen, engine), daemon=True).start()
    if os.read(lifeline, 1):
        threading.Event().wait()
    with suppress(LabError):  # the engine has ended meanwhile, and the containers with it
        leftovers.remove_all(engine, name)
    shutil.rmtree(registry.directory(name), ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else None)
