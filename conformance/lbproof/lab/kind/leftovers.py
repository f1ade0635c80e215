"""Removal of what a kind lab has in a Docker engine and in the engine's network, found by name and label only."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError
from lbproof.lab.common.processes import end
from lbproof.lab.kind.engine import CLUSTER_LABEL, LABEL, Engine, NoEngineError
from lbproof.lab.kind.plan import cluster_name

if TYPE_CHECKING:
    from lbproof.lab.registry import LabInfo

_WITHIN = 60
_EVERY = 0.3
_LOOKS = 3
"""Number of consecutive searches that must find nothing, because the engine may still complete earlier requests."""


def table_prefix(lab: str) -> str:
    """Return the prefix of the names of a lab's nft tables in the engine's network."""
    return f"{cluster_name(lab)}-fault-"


def remove_lab(info: LabInfo) -> str:
    """End a lab's supervisor and remove the lab from its engine; return what was removed, as a clause.

    Raises `LabError` when something cannot be removed; an engine that does not answer is part of the clause.
    """
    if info.alive:
        end(info.pid)
    try:
        removed = remove(Engine.find(str(info.record.get("engine", ""))), info.name)
    except NoEngineError as error:
        return f"{error}; what is still in it can be removed when it does"
    return ", ".join(removed) or "nothing in the Docker engine"


def remove(engine: Engine, lab: str) -> list[str]:
    """Remove everything of a lab from an engine; return what it was. Raises `LabError` when something remains."""
    containers = sorted({name for label in _labels(lab) for name in engine.containers(label)})
    if containers:
        with suppress(LabError):  # paused ones cannot be removed by every version
            engine.run("unpause", *containers)
        engine.run("rm", "--force", "--volumes", *containers)
    networks = engine.networks(f"{LABEL}={lab}")
    for network in networks:
        engine.run("network", "rm", network)
    tables = _tables(engine, lab)
    for table in tables:
        subprocess.run(engine.inside(["nft", "delete", "table", "bridge", table]), check=True)
    return [
        *(f"container {name}" for name in containers),
        *(f"network {name}" for name in networks),
        *(f"nft table {name}" for name in tables),
    ]


def remove_all(engine: Engine, lab: str) -> None:
    """Remove what an interrupted boot created, until the engine creates no more of it.

    Raises `LabError` when something remains after a timeout.
    """
    until, nothing = time.monotonic() + _WITHIN, 0
    while nothing < _LOOKS:
        try:
            nothing = 0 if remove(engine, lab) else nothing + 1
        except LabError:  # a container joined the network in between
            nothing = 0
            if time.monotonic() > until:
                raise
        threading.Event().wait(_EVERY)


def labs_of(engine: Engine) -> set[str]:
    """Return the names of all labs that have something in an engine."""
    shown = [f'{{{{.Label "{LABEL}"}}}}']
    listed = [
        engine.run(*what, "--filter", f"label={LABEL}", "--format", *shown)
        for what in (["ps", "-a"], ["network", "ls"])
    ]
    return {name for names in listed for name in names.split()}


def _labels(lab: str) -> tuple[str, str]:
    return f"{LABEL}={lab}", f"{CLUSTER_LABEL}={cluster_name(lab)}"


def _tables(engine: Engine, lab: str) -> list[str]:
    done = subprocess.run(engine.inside(["nft", "-j", "list", "tables", "bridge"]), capture_output=True, check=False)
    if done.returncode:
        return []
    rows = [row["table"]["name"] for row in json.loads(done.stdout)["nftables"] if "table" in row]
    return [name for name in rows if name.startswith(table_prefix(lab))]
