"""Services made and unmade at a pace, and what became of each: the trial that `allocate` consists of."""

from __future__ import annotations

import itertools
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lbproof.context import manifests
from lbproof.context.run import NAMESPACE
from lbproof_perf.stats.quantiles import enough, quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from lbproof.witnesses.kube import Kube
    from lbproof_perf.sut.service_observer import Observation, ServiceObservations, ServiceObserver

    Floats = NDArray[np.float64]

SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
THREADS = 4
"""Requests to the API server at a time, each over a connection that is kept."""
CEILING = 180.0
"""Seconds after which something counts as `did not`: it is kept so, and never dropped."""
WATCHED = 2.0
"""Seconds that the first of the requests is waited for whose last answer is wanted."""
SAMPLE = 100
"""Services of a burst that are asked by HTTP and for their silence, at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTimes:
    """What became of each Service, in seconds; NaN where it did not happen in time."""

    created: Floats
    """POST sent → answered."""
    assigned: Floats
    """POST sent → address in the status."""
    arp: Floats
    """POST sent → first ARP answer."""
    arp_step: Floats
    """How much earlier the answerer may have been there: the pause between two requests."""
    http: Floats
    """POST sent → first 200, of the sampled Services."""
    silent: Floats
    """DELETE sent → last ARP answer, of the sampled Services; 0 when none came any more."""
    sampled: NDArray[np.int64]
    """Which Services are sampled."""
    began: Floats
    """When each POST was sent, since the first."""
    all_seconds: float
    """First POST sent → all that was waited for seen of all."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As they are kept."""
        names = ("created", "assigned", "arp", "arp_step", "http", "silent", "sampled", "began")
        return {name: getattr(self, name) for name in names}

    def values(self) -> dict[str, float | None]:
        """Medians and 99th percentiles, where there are enough Services; None where so many did not happen in time."""
        found: dict[str, float | None] = {}
        for name in ("created", "assigned", "arp", "http", "silent"):
            row: Floats = getattr(self, name)
            for label, q in (("p50", 0.5), ("p99", 0.99)):
                if enough(len(row), q):
                    found[f"{name}_{label}_seconds"] = _finite(quantile(row, q))
        return found | {"seconds": _finite(self.all_seconds)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class Services:
    """The Services of one trial: how they are made, and what is seen of them."""

    def __init__(
        self, kube: Kube, observer: ServiceObserver, names: Sequence[str], backend: str, *, http: bool = True
    ) -> None:
        """Nothing is made yet. `backend` is the label `app` of what they lead to; `http`: whether it is asked."""
        self._kube, self._observer, self._backend = kube, observer, backend
        self.names = list(names)
        self.sampled = _spread(len(self.names), SAMPLE)
        self._http = [self.names[at] for at in self.sampled] if http else []
        self.sent = np.full(len(self.names), math.nan)
        self.created, self.deleted = self.sent.copy(), self.sent.copy()

    def make(self, rate: float = math.inf) -> bool:
        """Create them, so many a second at the most; whether all was seen of all of them within `CEILING`."""
        self._observer.begin(self.names, self._http)
        self._each(self._create, rate)
        return self._all_seen(time.monotonic() + CEILING)

    def make_one_by_one(self) -> bool:
        """Create each when everything has been seen of the one before."""
        self._observer.begin(self.names, self._http)
        well = True
        for at, name in enumerate(self.names):
            self._create(at)
            well &= self._all_seen(time.monotonic() + CEILING, [name])
        return well

    def _all_seen(self, deadline: float, names: Sequence[str] | None = None) -> bool:
        names = self.names if names is None else names
        asked = set(self._http) & set(names)

        def all_seen(seen: ServiceObservations) -> bool:
            if len(seen.arp) < len(names) and names is self.names:
                return False  # the usual case, without a look at each
            found = [seen.addresses.get(name) for name in names]
            return all(address in seen.arp for address in found) and all(
                seen.addresses.get(name) in seen.http for name in asked
            )

        return self._observer.until(all_seen, deadline)

    def unmake(self) -> None:
        """Delete them; returns when their addresses are silent, or `CEILING` is over. What was seen of them stays."""
        seen = self._observer.seen
        sampled = {self.names[at] for at in self.sampled}
        self._each(lambda at: self._delete(at, seen.addresses.get(self.names[at]), sampled), math.inf)
        deadline = time.monotonic() + CEILING
        wanted = {seen.addresses[name] for name in sampled if name in seen.addresses}
        self._observer.until(lambda seen: wanted <= seen.silent.keys(), deadline)
        rest = set(seen.addresses.values()) - wanted
        for address in rest:  # so that nothing of this trial answers in the next
            self._observer.expect_silence(address)
        self._observer.until(lambda seen: rest <= seen.silent.keys(), deadline)

    def unmake_one_by_one(self) -> None:
        """Delete each when the one before is silent."""
        seen = self._observer.seen
        for at, name in enumerate(self.names):
            self._delete(at, address := seen.addresses.get(name), {name})
            if address:
                self._observer.until(_silent(address), time.monotonic() + CEILING)

    def times(self) -> ServiceTimes:
        """What became of them."""
        seen = self._observer.seen
        first = np.nanmin(self.sent)
        assigned = self._moments(seen.assigned.get(name) for name in self.names)
        addresses = [seen.addresses.get(name, "") for name in self.names]
        answered = [seen.arp.get(address) for address in addresses]
        arp = self._moments(answered)
        http = self._moments(seen.http.get(addresses[at]) for at in self.sampled)
        silent = np.full(len(self.sampled), math.nan)
        for place, at in enumerate(self.sampled):
            if addresses[at] in seen.silent:
                last = seen.silent[addresses[at]]
                silent[place] = 0.0 if last is None else max(0.0, last.at - self.deleted[at])
        ends = [assigned, arp, http] if self._http else [assigned, arp]
        last_of_all = float(np.max(np.concatenate(ends)))  # NaN where one did not
        return ServiceTimes(
            created=self.created - self.sent,
            assigned=assigned - self.sent,
            arp=arp - self.sent,
            arp_step=np.array([row.step if row else math.nan for row in answered]),
            http=http - self.sent[self.sampled] if self._http else np.zeros(0),
            silent=silent,
            sampled=self.sampled,
            began=self.sent - first,
            all_seconds=last_of_all - float(first),
        )

    @staticmethod
    def _moments(rows: Iterable[Observation | None]) -> Floats:
        return np.array([row.at if row else math.nan for row in rows], dtype=np.float64)

    def _create(self, at: int) -> None:
        made = service(self.names[at], self._backend)
        self.sent[at] = time.monotonic()
        self._kube.create(SERVICES, made)
        self.created[at] = time.monotonic()

    def _delete(self, at: int, address: str | None, sampled: set[str]) -> None:
        if address and self.names[at] in sampled:
            self._observer.expect_silence(address)
            self._observer.until(
                lambda seen: address in seen.watched or address in seen.silent, time.monotonic() + WATCHED
            )
        self.deleted[at] = time.monotonic()
        self._kube.discard(f"{SERVICES}/{self.names[at]}")

    def _each(self, act: Callable[[int], None], rate: float) -> None:
        at_pace(range(len(self.names)), act, rate)


def _silent(address: str) -> Callable[[ServiceObservations], bool]:
    return lambda seen: address in seen.silent


def service(name: str, backend: str) -> dict[str, Any]:
    """A LoadBalancer Service without node ports: there are 2,768 of those, and giving one is not what is measured."""
    return manifests.service(NAMESPACE, name, selector={"app": backend}, allocateLoadBalancerNodePorts=False)


def at_pace(indices: Iterable[int], act: Callable[[int], None], rate: float, threads: int = THREADS) -> None:
    """Do something for each index by so many threads, in order, the n-th not before n / `rate` seconds have passed.

    Raises what the first that failed raised; those that have not begun then are left out.
    """
    began, due = time.monotonic(), _counted(indices, rate)
    lock, failed = threading.Lock(), threading.Event()

    def work() -> None:
        while not failed.is_set():
            with lock:
                at, offset = next(due, (-1, 0.0))
            if at < 0:
                return
            failed.wait(max(0.0, began + offset - time.monotonic()))
            try:
                act(at)
            except BaseException:
                failed.set()
                raise

    with ThreadPoolExecutor(threads) as pool:
        try:
            for done in [pool.submit(work) for _ in range(threads)]:
                done.result()
        except BaseException:  # Ctrl-C, which only this thread hears of
            failed.set()
            raise


def _counted(indices: Iterable[int], rate: float) -> Iterator[tuple[int, float]]:
    return zip(indices, (place / rate for place in itertools.count()), strict=False)


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of `count` indices, evenly spread, the last one among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
