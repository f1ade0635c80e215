"""Registry of the labs of this machine: the directory of each, and which of them are alive.

A lab is a directory below `ROOT` with its name, and one process, identified by its PID and its start time together,
because PIDs are reused. What a lab has besides these is known to its provider alone.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lbproof.files import write_whole
from lbproof.lab.base import LabError, Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path("/run/lbproof/labs")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")


_READERS = 0.5
"""Seconds for which the lock of a reservation is tried: whoever lists labs takes it for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabInfo:
    """Record of a lab, alive or dead."""

    name: str
    provider: str
    """Name of its provider; empty when the record was lost."""
    alive: bool
    pid: int
    """Process with which the lab ends; 0 when it has ended."""
    directory: Path
    kubeconfig: Path
    nodes: int
    since: float
    """Time of its start (`time.time()`)."""
    topology: Topology
    record: Mapping[str, Any]
    """Record as it was written, with the provider's own details."""
    installed: str = ""
    """Name and version of the implementation that was installed in it; empty when none was."""
    user: int = 0
    """Process ID of the run that uses it; 0 when none does."""
    owner: str = ""
    """User to whom it belongs when this process may not read its record; nothing else is known of it then."""

    def refuse_foreign(self) -> None:
        """Raise `LabError` when the lab belongs to another user."""
        if self.owner:
            raise LabError(
                f"lab {self.name} belongs to {self.owner}: run the command as that user, for instance with sudo"
            )


def directory(name: str) -> Path:
    """Return the directory for the state of a lab. Raises `LabError` when `name` is not a valid name."""
    if not _NAME.fullmatch(name):
        raise LabError(f"{name!r} is no name for a lab: 1 to 40 of a-z, 0-9 and -, not at its ends")
    return ROOT / name


@contextmanager
def claim(name: str) -> Iterator[Path]:
    """Create the empty directory of a new lab; during the block no other process claims or removes one.

    What a dead lab of the name left in it is removed. Raises `LabError` when a lab of that name is alive.
    """
    state = directory(name)
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if state.exists():
            info = _read(state)
            if info:
                info.refuse_foreign()
            if info and info.alive:
                raise LabError(f"lab {name} is up already: take it down (`lbproof lab down {name}`) or choose a name")
            if not state.is_dir():
                raise LabError(f"{state} is in the way: it is a file, and no lab; remove it or choose another name")
            shutil.rmtree(state)
        state.mkdir(mode=0o700)
        yield state


def record(name: str, pid: int, topology: Topology, *, provider: str, **details: str | float | bool) -> None:
    """Record a lab: its process, its provider, its topology, and details for its provider."""
    row = {
        **details,
        "pid": pid,
        "start": _start_time(pid),
        "topology": asdict(topology),
        "since": time.time(),
        "provider": provider,
    }
    write_whole(directory(name) / "lab.json", json.dumps(row))


def note_installed(name: str, implementation: str) -> None:
    """Record the name and version of the implementation that is installed in a lab."""
    write_whole(directory(name) / "installed", implementation)


@contextmanager
def reserved(name: str) -> Iterator[None]:
    """Reserve a lab for this process during the block; the kernel ends the reservation with the process.

    Raises `LabError` when the lab is not alive, or when another process has reserved it.
    """
    info = find(name)
    with (info.directory / "user").open("a+", encoding="ascii") as file:
        until = time.monotonic() + _READERS
        while not _locked(file):
            if time.monotonic() > until:
                who = f"process {_user(info.directory)}"
                raise LabError(f"lab {name} is in use by another run ({who}): wait for it, or boot another")
            threading.Event().wait(0.02)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _locked(file: IO[str]) -> bool:
    """Take the lock of a reservation, unless another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _user(state: Path) -> int:
    """Return the process that has reserved a lab; 0 when none has."""
    try:
        with (state / "user").open(encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0)
    except FileNotFoundError:
        pass
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def labs() -> list[LabInfo]:
    """Return all labs of this machine, sorted by name, including dead ones."""
    if not ROOT.exists():
        return []
    found = [_read(state) for state in sorted(ROOT.iterdir()) if state.name != ".lock"]
    return [info for info in found if info]


def find(name: str) -> LabInfo:
    """Return a lab that is alive. Raises `LabError`, with the names of all labs that are, when there is none."""
    alive = {info.name: info for info in labs() if info.alive or info.owner}
    if name in alive:
        alive[name].refuse_foreign()
    else:
        raise LabError(f"no lab {name} is up; there are: {', '.join(alive) or 'none'}")
    return alive[name]


def free_name(prefix: str) -> str:
    """Return a name that no lab has."""
    taken = {info.name for info in labs()}
    names = (f"{prefix}-{number}" for number in itertools.count(os.getpid()))
    return next(name for name in names if name not in taken)


def remove(name: str, remove_contents: Callable[[LabInfo], str]) -> str:
    """Remove a lab and its directory; return a line that says what was removed.

    `remove_contents` is `LabProvider.remove`. Raises `LabError` when something cannot be removed.
    """
    state = directory(name)
    info = _read(state)
    if info is None:
        return f"lab {name}: nothing is left of it"
    info.refuse_foreign()
    what = remove_contents(info)
    shutil.rmtree(state, ignore_errors=True)  # its supervisor may remove it at the same time
    if state.exists():
        raise LabError(f"lab {name} has ended, but {state} cannot be removed")
    return f"lab {name}: {what}; {state}"


def _read(state: Path) -> LabInfo | None:
    """Return the lab of a directory; None when it is not a lab's, or is being removed."""
    if not state.is_dir():
        return None
    row: dict[str, Any] = {"pid": 0, "start": "", "topology": {}, "since": 0.0, "provider": ""}
    owner = ""
    try:
        found = json.loads((state / "lab.json").read_text(encoding="utf-8"))
    except PermissionError:
        found, owner = None, _owner(state)
    except (FileNotFoundError, ValueError):  # its starter was killed before, or its disk was full: the lab never ran
        found = None
    if isinstance(found, dict) and found.keys() >= row.keys():
        row = found
    topology = Topology.of(row["topology"])
    alive = bool(row["pid"]) and _start_time(row["pid"]) == row["start"]
    return LabInfo(
        name=state.name,
        provider=row["provider"],
        alive=alive,
        pid=row["pid"] if alive else 0,
        directory=state,
        kubeconfig=state / "kubeconfig",
        nodes=topology.workers + 1,
        since=row["since"],
        topology=topology,
        record=row,
        installed="" if owner else _text(state / "installed"),
        user=0 if owner else _user(state),
        owner=owner,
    )


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:  # a user without a name
        return f"user {path.stat().st_uid}"


def _start_time(pid: int) -> str:
    """Return the start time of a process in clock ticks (proc(5), stat); empty when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]
