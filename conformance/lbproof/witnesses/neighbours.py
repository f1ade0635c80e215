"""Kernel neighbour table at a vantage, which decides where an ordinary client sends its packets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

_WITHIN = 1.0
"""Seconds that the kernel may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Entry of the neighbour table."""

    mac: str
    """Empty during resolution."""
    states: tuple[str, ...]
    """`REACHABLE`, `STALE`, `DELAY`, `PROBE`, `FAILED`, `INCOMPLETE`, `PERMANENT`."""


def entry(vantage: Vantage, address: IPAddress) -> Entry | None:
    """Return the entry for an address; None when there is none."""
    for row in _table(vantage, address, "show"):
        return Entry(mac=row["mac"], states=tuple(row["states"]))
    return None


def pin(vantage: Vantage, address: IPAddress, mac: str, state: str = "REACHABLE") -> None:
    """Set the entry for an address as after recent traffic with it. Raises `ProbeError` when the kernel refuses."""
    _table(vantage, address, "set", mac=mac, state=state)


def forget(vantage: Vantage, address: IPAddress) -> None:
    """Remove the entry for an address, if it exists."""
    _table(vantage, address, "forget")


def _table(vantage: Vantage, address: IPAddress, do: str, **arguments: str) -> Sequence[Any]:
    where = {"interface": vantage.interface, "address": str(address)}
    return vantage.probe().call("neighbours", within=_WITHIN, do=do, **where, **arguments).records
