"""What a kind lab has in a Docker engine and in its network, found by name and label alone, and its removal."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from contextlib import suppress

from lbproof.lab.base import LabError
from lbproof.lab.kind.engine import CLUSTER_LABEL, LABEL, Engine
from lbproof.lab.kind.plan import cluster_name

_WITHIN = 60
_EVERY = 0.3
_LOOKS = 3
"""So many times in a row nothing is found: a request that the engine had taken on may still come to its end."""


def table_prefix(lab: str) -> str:
    """How the names of a lab's packet filter tables begin, in the engine's network."""
    return f"{cluster_name(lab)}-fault-"


def remove(engine: Engine, lab: str) -> list[str]:
    """Remove everything of a lab from an engine; gives what it was. `LabError` when something cannot be removed."""
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
    """Remove what a boot that was cut short had made, until the engine has stopped making more of it.

    `LabError` when something is left after a while.
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
    """Names of the labs that an engine holds something of."""
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
