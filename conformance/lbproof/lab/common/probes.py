"""Probes of a lab: one for each vantage, which everything shares, and those that a measurement starts for itself."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from lbproof.witnesses.clock import Clock
    from lbproof.witnesses.probe import Probe

_log = logging.getLogger(__name__)


class _Shared:
    """Probe of a vantage; its fields are for the holder of its lock."""

    def __init__(self) -> None:
        """Not started."""
        self.lock = threading.Lock()
        self.place: Hashable = None
        """Identity of the place that the probe is in."""
        self.probe: Probe | None = None


class Probes:
    """Probes of one lab; `close` ends all of them."""

    def __init__(self) -> None:
        """Start none."""
        self._lock = threading.Lock()
        """For the fields below, not held while a probe starts or ends: a slow vantage delays its own users alone."""
        self._shared: dict[str, _Shared] = {}
        self._own: list[Probe] = []
        self._latest: dict[str, Probe] = {}

    def clocks(self) -> dict[str, Clock]:
        """Return the clock of each vantage at which a probe was started, as measured last."""
        with self._lock:
            return {vantage: probe.clock for vantage, probe in self._latest.items()}

    def shared(self, vantage: str, place: Hashable, start: Callable[[], Probe]) -> Probe:
        """Return the probe of a vantage; start it if there is none in the place that the vantage is now.

        `vantage` is unique in the lab, `place` is the identity of the place: another one when a node has crashed and is
        back, or a pod was replaced. One that has died although its place is still there is replaced as well: whoever
        used it was told. Raises `ProbeError` when it cannot be started.
        """
        with self._lock:
            shared = self._shared.setdefault(vantage, _Shared())
        with shared.lock:
            found = shared.probe
            if found and shared.place == place and found.alive:
                return found
            if found:
                shared.probe = None
                found.close()
                if shared.place == place:
                    _log.warning("%s; another one is started", found.death)
            probe = shared.probe = start()
            shared.place = place
        with self._lock:
            self._latest[vantage] = probe
        return probe

    def start(self, vantage: str, start: Callable[[], Probe]) -> Probe:
        """Start a probe for one user, who closes it."""
        probe = start()
        with self._lock:
            self._own = [one for one in self._own if one.alive]
            self._own.append(probe)
            self._latest[vantage] = probe
        return probe

    def close(self) -> None:
        """End all probes. One that does not end leaves none of the others running."""
        with self._lock:
            shared, own = list(self._shared.values()), self._own
            self._own = []
        with ExitStack() as ending:
            for probe in own:
                ending.callback(probe.close)
            for one in shared:
                with one.lock:
                    found, one.probe = one.probe, None
                if found is not None:
                    ending.callback(found.close)
