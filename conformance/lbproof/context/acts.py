"""What the suite did to the cluster, with moments: faults, restarts, pools, changes of configuration.

The standing witnesses (`lbproof.standing`) read it, so that nobody is blamed for what a check provoked.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lbproof.adapters.base import PoolSpec


class ActKind(StrEnum):
    """Kind of an act."""

    FAULT = "fault"
    """A fault of the lab; `what` is its kind (`Capability`)."""
    RESTART = "restart"
    """The pods of a role are replaced; `what` is the role."""
    COPIES = "copies"
    """More pods of a role run than the implementation is installed with; `what` is the role."""
    EXCLUDE = "exclude"
    """A node is excluded from announcing, or no longer; `what` is the node."""
    CONFIGURE = "configure"
    """The implementation is configured in another way, or installed."""


@dataclass(slots=True)
class Act:
    """Something that the suite did, from its begin to its end; moments are of `time.monotonic()`."""

    kind: ActKind
    what: str
    target: str
    began: float
    ended: float | None = None
    """None while it lasts."""

    def overlaps(self, since: float, until: float) -> bool:
        """Return whether it lasted at some moment of a time."""
        return self.began <= until and (self.ended is None or self.ended >= since)


class Acts:
    """All acts of a run, and the pools at each moment; thread-safe."""

    def __init__(self) -> None:
        """Nothing was done."""
        self._lock = threading.Lock()
        self._acts: list[Act] = []
        self._pools: list[tuple[float, tuple[PoolSpec, ...]]] = [(time.monotonic(), ())]
        """Moment from which on these pools were wanted."""
        self._alive: dict[str, PoolSpec] = {}
        self._beside: dict[str, PoolSpec] = {}

    def begin(self, kind: ActKind, what: str, target: str = "", *, at: float | None = None) -> Act:
        """Note an act that begins now, or began at a moment."""
        act = Act(kind, what, target, time.monotonic() if at is None else at)
        with self._lock:
            self._acts.append(act)
        return act

    def end(self, act: Act, *, at: float | None = None) -> None:
        """Note the end of an act, now or at a moment; the second call has no effect."""
        if act.ended is None:
            act.ended = time.monotonic() if at is None else at

    @contextmanager
    def during(self, kind: ActKind, what: str, target: str = "") -> Iterator[None]:
        """Note an act that lasts as long as the block."""
        act = self.begin(kind, what, target)
        try:
            yield
        finally:
            self.end(act)

    def between(self, since: float, until: float, kind: ActKind, what: Iterable[str] = ()) -> list[Act]:
        """Return the acts of a kind that lasted at some moment of a time, oldest first. `what`: of these alone."""
        wanted = set(what)
        with self._lock:
            return [
                act
                for act in self._acts
                if act.kind is kind and (not wanted or act.what in wanted) and act.overlaps(since, until)
            ]

    def set_pools(self, alive: Mapping[str, PoolSpec], *, at: float | None = None) -> None:
        """Note the pools that are wanted from now on, or from a moment."""
        with self._lock:
            self._alive = dict(alive)
            self._note_pools(at)

    def add_pool(self, pool: PoolSpec) -> None:
        """Note a pool that a check makes by manifests of its own."""
        with self._lock:
            self._beside[pool.name] = pool
            self._note_pools()

    def drop_pool(self, name: str) -> None:
        """Note that such a pool is gone."""
        with self._lock:
            self._beside.pop(name, None)
            self._note_pools()

    def _note_pools(self, at: float | None = None) -> None:
        now = time.monotonic() if at is None else at
        self._pools.append((now, (*self._alive.values(), *self._beside.values())))

    @property
    def pools_since(self) -> float:
        """Return the moment from which on the present pools are wanted."""
        with self._lock:
            return self._pools[-1][0]

    def pools(self, since: float, until: float) -> list[tuple[PoolSpec, ...]]:
        """Return the sets of pools that were wanted one after the other in a time."""
        with self._lock:
            ends = [*(t for t, _ in self._pools[1:]), float("inf")]
            return [
                pools for (began, pools), end in zip(self._pools, ends, strict=True) if began <= until and end > since
            ]
