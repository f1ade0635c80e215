"""Probes of a lab: one for each vantage, which everything shares, and those that a measurement starts for itself."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from lbproof.witnesses.clock import Clock
    from lbproof.witnesses.probe import Probe


@dataclass(frozen=True, slots=True)
class _Shared:
    """Probe of a vantage."""

    place: Hashable
    """Identity of the place that it is in."""
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

    def shared(self, vantage: str, place: Hashable, start: Callable[[], Probe]) -> Probe:
        """Return the probe of a vantage; start it if there is none in the place that the vantage is now.

        `place` is the identity of that place: another one when a node has crashed and is back, or a pod was replaced.
        Raises `ProbeError` when it cannot be started, and once when it has died since its last use.
        """
        with self._lock:
            found = self._shared.get(vantage)
            if found and found.place == place and found.probe.alive:
                return found.probe
            if found:
                del self._shared[vantage]
                found.probe.close()
                if found.place == place:
                    found.probe.require_alive()
            probe = start()
            self._shared[vantage] = _Shared(place, probe)
            self._clocks[vantage] = probe.clock
            return probe

    def start(self, vantage: str, start: Callable[[], Probe]) -> Probe:
        """Start a probe for one user, who closes it."""
        probe = start()
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
