"""The labs of this machine: where each keeps its state, which are alive, and the removal of what is left of any.

A lab is a directory of its name below `ROOT` and one process, known by its number and its start time together, since
numbers are used again. In a netns lab it is the `unshare`, and when it ends, the kernel has removed everything but the
directory. In a kind lab it is the supervisor; what the lab has in its Docker engine bears the lab's name in a label.
Nothing else is ever looked for by name, so nothing that this project did not make is touched.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import select
import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbproof.files import write_whole
from lbproof.lab.base import LabError, Topology
from lbproof.lab.kind import leftovers
from lbproof.lab.kind.engine import Engine, NoEngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path("/run/lbproof/labs")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_GONE_WITHIN = 20
"""Seconds that the kernel may take to end a lab's processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabInfo:
    """A lab, alive or what is left of one."""

    name: str
    provider: str
    alive: bool
    supervisor: int
    """Process 1 of the lab as this machine numbers it; 0 when it is dead."""
    kubeconfig: Path
    nodes: int
    since: float
    """When it was started (`time.time()`)."""
    topology: Topology
    engine: str = ""
    """The Docker engine of a kind lab, as DOCKER_HOST says it."""

    @property
    def process(self) -> str:
        """The supervisor's directory in /proc."""
        return f"/proc/{self.supervisor}"


def directory(name: str) -> Path:
    """Where a lab of that name keeps its state. `LabError` when it cannot be a name."""
    if not _NAME.fullmatch(name):
        raise LabError(f"{name!r} is no name for a lab: 1 to 40 of a-z, 0-9 and -, not at its ends")
    return ROOT / name


@contextmanager
def claim(name: str) -> Iterator[Path]:
    """The empty state directory of a new lab; inside the block nobody else claims or removes one.

    `LabError` when a lab of that name is alive; what a dead one left is removed.
    """
    state = directory(name)
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if state.exists():
            info = _read(state)
            if info and info.alive:
                raise LabError(f"lab {name} is up already: take it down (`lbproof lab down {name}`) or choose a name")
            if not state.is_dir():
                raise LabError(f"{state} is in the way: it is a file, and no lab; remove it or choose another name")
            shutil.rmtree(state)
        state.mkdir(mode=0o700)
        yield state


def record(name: str, pid: int, topology: Topology, *, provider: str = "netns", engine: str = "") -> None:
    """Remember which process a lab is, and where the rest of it is."""
    row = {
        "pid": pid,
        "start": _start_time(pid),
        "topology": asdict(topology),
        "since": time.time(),
        "provider": provider,
        "engine": engine,
    }
    write_whole(directory(name) / "lab.json", json.dumps(row))


def labs() -> list[LabInfo]:
    """Every lab of this machine, by name, the dead ones included."""
    if not ROOT.exists():
        return []
    found = [_read(state) for state in sorted(ROOT.iterdir()) if state.name != ".lock"]
    return [info for info in found if info]


def find(name: str) -> LabInfo:
    """A lab that is alive. `LabError`, with the names that there are, when none of this name is."""
    alive = {info.name: info for info in labs() if info.alive}
    if name not in alive:
        raise LabError(f"no lab {name} is up; there are: {', '.join(alive) or 'none'}")
    return alive[name]


def free_name(prefix: str) -> str:
    """A name that no lab has."""
    taken = {info.name for info in labs()}
    names = (f"{prefix}-{number}" for number in itertools.count(os.getpid()))
    return next(name for name in names if name not in taken)


def remove(name: str) -> str:
    """End a lab, if it is alive, and remove its directory; says what was removed. `LabError` when it cannot be."""
    state = directory(name)
    info = _read(state)
    if info is None:
        return f"lab {name}: nothing is left of it"
    if info.alive:
        _end(info.supervisor)
    what = _contents(info)
    shutil.rmtree(state, ignore_errors=True)  # its supervisor may be removing it as well
    if state.exists():
        raise LabError(f"lab {name} has ended, but {state} cannot be removed")
    return f"lab {name}: {what}; {state}"


def _contents(info: LabInfo) -> str:
    """Remove what a lab has besides its process and its directory; says what it was."""
    if info.provider == "netns":
        return f"{info.nodes} nodes and all their processes, namespaces and links" if info.alive else "dead already"
    try:
        return ", ".join(leftovers.remove(Engine.find(info.engine), info.name)) or "nothing in the Docker engine"
    except NoEngineError as error:
        return f"{error}; what is still in it can be removed when it does"


def clean(
    name: str | None = None, *, everything: bool = False, progress: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Remove what dead labs left, and a live one when it is named, or all with `everything`; says each thing removed.

    `LabError` when there is no lab of the name.
    """
    found = labs()
    if name is not None and name not in {info.name for info in found}:
        raise LabError(f"no lab {name}; there are: {', '.join(info.name for info in found) or 'none'}")
    removed = []
    for info in found:
        if info.name == name or everything or (name is None and not info.alive):
            removed.append(remove(info.name))
            progress(removed[-1])
    for line in _orphans() if name is None else []:
        removed.append(line)
        progress(line)
    return removed


def _orphans() -> Iterator[str]:
    """Remove what a Docker engine holds of labs that have no directory any more, as after a restart of the machine."""
    try:
        engine = Engine.find()
    except LabError:  # none, or one that no lab can stand on
        return
    for name in sorted(leftovers.labs_of(engine) - {info.name for info in labs()}):
        yield f"lab {name}, of which no directory is left: {', '.join(leftovers.remove(engine, name))}"


def _read(state: Path) -> LabInfo | None:
    """The lab of a directory; None when it is none, or is being removed just now."""
    if not state.is_dir():
        return None
    row: dict[str, Any] = {
        "pid": 0,
        "start": "",
        "topology": asdict(Topology()),
        "since": 0.0,
        "provider": "netns",
        "engine": "",
    }
    try:
        found = json.loads((state / "lab.json").read_text(encoding="utf-8"))
    except PermissionError:
        raise LabError(
            f"lab {state.name} belongs to {_owner(state)}: run the command as that user, for instance with sudo"
        ) from None
    except (FileNotFoundError, ValueError):  # its starter was killed in between, or its disk was full: no lab stands
        found = None
    if isinstance(found, dict) and found.keys() >= row.keys():
        row = found
    topology = Topology(**{**row["topology"], "proxy_args": tuple(row["topology"]["proxy_args"])})
    alive = bool(row["pid"]) and _start_time(row["pid"]) == row["start"]
    return LabInfo(
        name=state.name,
        provider=row["provider"],
        alive=alive,
        supervisor=(_child(row["pid"]) if row["provider"] == "netns" else row["pid"]) if alive else 0,
        engine=row["engine"],
        kubeconfig=state / "kubeconfig",
        nodes=topology.workers + 1,
        since=row["since"],
        topology=topology,
    )


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # a user without a name
        return f"user {path.stat().st_uid}"


def _start_time(pid: int) -> str:
    """When a process started, in the kernel's own count; empty when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]


def _child(pid: int) -> int:
    """The process that `unshare` waits for: process 1 of the lab. `unshare` itself until it has made it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return pid
    return int(children[0]) if children else pid


def _end(pid: int) -> None:
    """SIGKILL, and wait until the kernel has ended everything in the namespace of that process."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        if not select.select([process], [], [], _GONE_WITHIN)[0]:
            raise LabError(f"process {pid} has not ended within {_GONE_WITHIN} s of its SIGKILL")
    except ProcessLookupError:
        return
    finally:
        os.close(process)
