"""Probes of a lab: one for each vantage, which everything shares, and those that a measurement starts for itself."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.witnesses.probe import Probe
from lbproof.witnesses.stream import ProbeError

if TYPE_CHECKING:
    from lbproof.witnesses.clock import Clock
    from lbproof.witnesses.probe import StartProcess


@dataclass(frozen=True, slots=True)
class _Shared:
    """Probe of a vantage."""

    place: tuple[int, int]
    """Identity of the network namespace that it is in: device and inode, which no other one has while it lives."""
    probe: Probe


class Probes:
    """Probes of one lab; `close` ends all of them."""

    def __init__(self) -> None:
        """Start none."""
        self._lock = threading.Lock()
        self._shared: dict[str, _Shared] = {}
        self._own: list[Probe] = []
        self._clocks: dict[str, Clock] = {}

    def clocks(self) -> dict[str, Clock]:
        """Return the clock of each vantage at which a probe was started, as measured last."""
        with self._lock:
            return dict(self._clocks)

    def shared(self, vantage: str, netns: str, start: StartProcess) -> Probe:
        """Return the probe of a vantage whose namespace is at `netns`; start it if there is none in that namespace.

        Raises `ProbeError` when it cannot be started, and once when it has died since its last use.
        """
        place = _identity(vantage, netns)
        with self._lock:
            found = self._shared.get(vantage)
            if found and found.place == place and found.probe.alive:
                return found.probe
            if found:
                del self._shared[vantage]
                found.probe.close()
                if found.place == place:
                    found.probe.require_alive()
            probe = Probe(vantage, start)
            self._shared[vantage] = _Shared(place, probe)
            self._clocks[vantage] = probe.clock
            return probe

    def start(self, vantage: str, start: StartProcess) -> Probe:
        """Start a probe for one user, who closes it."""
        probe = Probe(vantage, start)
        with self._lock:
            self._own = [one for one in self._own if one.alive]
            self._own.append(probe)
            self._clocks[vantage] = probe.clock
        return probe

    def close(self) -> None:
        """End all probes."""
        with self._lock:
            probes = [*(found.probe for found in self._shared.values()), *self._own]
            self._shared.clear()
            self._own.clear()
        for probe in probes:
            probe.close()


def _identity(vantage: str, netns: str) -> tuple[int, int]:
    try:
        found = Path(netns).stat()
    except OSError as error:
        raise ProbeError(f"probe at {vantage}: its namespace is not there: {error}") from error
    return found.st_dev, found.st_ino
