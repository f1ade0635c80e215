"""Kernel neighbour table at a vantage, which decides where an ordinary client sends its packets."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Entry of the neighbour table."""

    mac: str
    """Empty during resolution."""
    states: tuple[str, ...]
    """`REACHABLE`, `STALE`, `DELAY`, `PROBE`, `FAILED`, `INCOMPLETE`, `PERMANENT`."""


def _ip(vantage: Vantage, *words: str) -> str:
    process = vantage.popen(["ip", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=10)
    if process.returncode:
        raise OSError(f"ip {' '.join(words)} at {vantage.name}: {err.decode(errors='replace').strip()}")
    return out.decode()


def entry(vantage: Vantage, address: IPAddress) -> Entry | None:
    """Return the entry for an address; None when there is none."""
    for row in json.loads(_ip(vantage, "-j", "neigh", "show", "to", str(address), "dev", vantage.interface) or "[]"):
        return Entry(mac=row.get("lladdr", ""), states=tuple(row.get("state", ())))
    return None


def pin(vantage: Vantage, address: IPAddress, mac: str, state: str = "reachable") -> None:
    """Set the entry for an address as after recent traffic with it."""
    _ip(vantage, "neigh", "replace", str(address), "lladdr", mac, "dev", vantage.interface, "nud", state)


def forget(vantage: Vantage, address: IPAddress) -> None:
    """Remove the entry for an address, if it exists."""
    if entry(vantage, address):
        _ip(vantage, "neigh", "del", str(address), "dev", vantage.interface)
