"""The kernel's own neighbour table at a vantage: what a client that is no test tool would send its packets to."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof.witnesses.vantage import Vantage


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of the table."""

    mac: str
    """Empty while it is being resolved."""
    states: tuple[str, ...]
    """`REACHABLE`, `STALE`, `DELAY`, `PROBE`, `FAILED`, `INCOMPLETE`, `PERMANENT`."""


def _ip(vantage: Vantage, *words: str) -> str:
    process = vantage.popen(["ip", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=10)
    if process.returncode:
        raise OSError(f"ip {' '.join(words)} at {vantage.name}: {err.decode(errors='replace').strip()}")
    return out.decode()


def entry(vantage: Vantage, address: str) -> Entry | None:
    """The entry for an address; None when there is none."""
    for row in json.loads(_ip(vantage, "-j", "neigh", "show", "to", address, "dev", vantage.interface) or "[]"):
        return Entry(mac=row.get("lladdr", ""), states=tuple(row.get("state", ())))
    return None


def pin(vantage: Vantage, address: str, mac: str, state: str = "reachable") -> None:
    """Make the entry for an address what a client holds that has just talked to it."""
    _ip(vantage, "neigh", "replace", address, "lladdr", mac, "dev", vantage.interface, "nud", state)


def forget(vantage: Vantage, address: str) -> None:
    """Remove the entry for an address, if there is one."""
    if entry(vantage, address):
        _ip(vantage, "neigh", "del", address, "dev", vantage.interface)
