"""Services made and unmade at a pace, and what became of each: what `allocate` and `scale` consist of."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lbproof.context import manifests
from lbproof.context.run import NAMESPACE
from lbproof_perf.stats.quantiles import enough, quantile
from lbproof_perf.sut.service_observer import ServiceObserver
from lbproof_perf.sut.usage import UsageMeter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from lbproof.context import RunContext
    from lbproof_perf.sut.deployment import Deployment
    from lbproof_perf.sut.service_observer import Observation, ServiceObservations

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
        self, run: RunContext, observer: ServiceObserver, names: Sequence[str], backend: str, *, http: bool = True
    ) -> None:
        """Nothing is made yet. `backend` is the label `app` of what they lead to; `http`: whether it is asked."""
        self._run, self._kube = run, run.cluster
        self._observer, self._backend = observer, backend
        self.names = list(names)
        self.sampled = _spread(len(self.names), SAMPLE)
        self._http = [self.names[at] for at in self.sampled] if http else []
        self.sent = np.full(len(self.names), math.nan)
        self.created, self.deleted = self.sent.copy(), self.sent.copy()

    def make(self, rate: float = math.inf, *, alone: bool = False) -> bool:
        """Create them, so many a second at the most; whether all was seen of all of them within `CEILING`.

        `alone`: each when everything has been seen of the one before.
        """
        self._observer.begin(self.names, self._http)
        if not alone:
            at_pace(range(len(self.names)), self._create, rate)
            return self._all_seen(self.names)
        well = True
        for at, name in enumerate(self.names):
            self._create(at)
            well &= self._all_seen([name])
        return well

    def _all_seen(self, names: Sequence[str]) -> bool:
        asked = set(self._http) & set(names)

        def all_seen(seen: ServiceObservations) -> bool:
            if len(seen.arp) < len(names):
                return False  # the usual case, without a look at each
            return all(seen.addresses.get(name) in seen.arp for name in names) and all(
                seen.addresses[name] in seen.http for name in asked
            )

        return self._observer.until(all_seen, time.monotonic() + CEILING)

    def unmake(self, *, alone: bool = False) -> None:
        """Delete them; returns when their addresses are silent, or `CEILING` is over. What was seen of them stays.

        `alone`: each when the one before is silent.
        """
        addresses = dict(self._observer.seen.addresses)
        watched = {int(at): addresses[self.names[at]] for at in self.sampled if self.names[at] in addresses}
        if alone:
            for at in range(len(self.names)):
                self._delete(at, watched.get(at))
                self._silent({watched[at]} if at in watched else set(), time.monotonic() + CEILING)
            return
        at_pace(range(len(self.names)), lambda at: self._delete(at, watched.get(at)), math.inf)
        deadline = time.monotonic() + CEILING
        self._silent(set(watched.values()), deadline)
        rest = set(addresses.values()) - set(watched.values())
        for address in rest:  # so that nothing of this trial answers in the next
            self._observer.expect_silence(address)
        self._silent(rest, deadline)

    def _silent(self, addresses: set[str], deadline: float) -> None:
        self._observer.until(lambda seen: addresses <= seen.silent.keys(), deadline)

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
        made = service(self._run, self.names[at], self._backend)
        self.sent[at] = time.monotonic()
        self._kube.create(SERVICES, made)
        self.created[at] = time.monotonic()

    def _delete(self, at: int, watched: str | None) -> None:
        """Delete one; where its last answer is wanted, once its address is known to be asked for."""
        if watched:
            self._observer.expect_silence(watched)
            self._observer.until(
                lambda seen: watched in seen.watched or watched in seen.silent, time.monotonic() + WATCHED
            )
        self.deleted[at] = time.monotonic()
        self._kube.discard(f"{SERVICES}/{self.names[at]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceBench:
    """An arm's lab in which Services can be made and watched."""

    deployment: Deployment
    backend: str
    """Label `app` of what they lead to: one ready pod on the control plane's node, which announces nothing."""
    observer: ServiceObserver
    meter: UsageMeter

    def services(self, names: Sequence[str], *, http: bool = True) -> Services:
        """Services of these names, which are not made yet."""
        return Services(self.deployment.run, self.observer, names, self.backend, http=http)


@contextmanager
def service_bench(deployment: Deployment, most: int) -> Iterator[ServiceBench]:
    """Make the backend and a pool of `most` addresses, and watch the Services. All of it goes with the lab."""
    backend = deployment.check.web("backend", nodes=[deployment.lab.nodes[0].name])
    deployment.wide_pool(most)
    meter = UsageMeter(deployment)
    with ServiceObserver(deployment, NAMESPACE) as observer:
        yield ServiceBench(deployment=deployment, backend=backend, observer=observer, meter=meter)


def service(run: RunContext, name: str, backend: str | None) -> dict[str, Any]:
    """A LoadBalancer Service without node ports: there are 2,768 of those, and giving one is not what is measured.

    `backend`: label `app` of its pods; without, it has no endpoints.
    """
    selector = {"app": backend} if backend else None
    return run.opt_in(manifests.service(NAMESPACE, name, selector=selector, allocateLoadBalancerNodePorts=False))


def at_pace(indices: Iterable[int], act: Callable[[int], None], rate: float, threads: int = THREADS) -> None:
    """Do something for each index by so many threads, in order, the n-th not before n / `rate` seconds have passed.

    Raises what the first that failed raised; those that have not begun then are left out.
    """
    began, due = time.monotonic(), enumerate(indices)
    lock, failed = threading.Lock(), threading.Event()

    def work() -> None:
        while not failed.is_set():
            with lock:
                place, at = next(due, (0, None))
            if at is None:
                return
            failed.wait(max(0.0, began + place / rate - time.monotonic()))
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


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of `count` indices, evenly spread, the last one among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
