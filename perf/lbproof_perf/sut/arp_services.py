"""The addresses that are asked for: real Services in a lab, of which a first few, some or all are announced.

They are made once and lie in a pool a step. What changes between two rounds is how many of the pools are announced: so
a round with one address and a round with thousands alternate in one lab, within seconds of each other.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lbproof.context.objects import ingress
from lbproof.lab.base import LabError
from lbproof.probe.protocol import bytes_of
from lbproof.probe.rows import ROW
from lbproof.spec import lacking
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import eventually
from lbproof_perf.outage_probe.rules import announcements
from lbproof_perf.sut.services import SERVICES, at_pace, service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.adapters.base import PoolSpec
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage
    from lbproof_perf.probes.requester import Requester
    from lbproof_perf.sut.deployment import Deployment

QUIET = 2.2
"""Seconds without an announcement after which none will come: implementations repeat theirs for some seconds."""
_LOUD = 60.0
"""Seconds after which announcements should have ended."""
_AT_ONCE = 8
"""Services that are being created at any moment."""
_LOOK = 0.25
_SOON = 0.02
"""Seconds that an answer is waited for where the question is asked again."""
_ON_ITS_WAY = 0.1
"""Seconds after which an announcement that was heard is known here."""
_SETTLE = 120.0
"""Seconds until what was advertised is answered for and what was withdrawn is not."""


@dataclass(slots=True)
class _Step:
    count: int
    """How many addresses there are in all after it."""
    pool: PoolSpec
    """Its addresses, announced or not."""


class Stock:
    """So many Services, in steps, and the addresses that they were given."""

    def __init__(self, deployment: Deployment) -> None:
        """There is no Service yet, and one pod that they may lead to, on the control plane, which announces nothing."""
        self._deployment, self._run = deployment, deployment.run
        if missing := lacking(("advertised", "pool-select"), self._run.claimed):
            raise LabError(
                f"{deployment.arm.name}: ARP is measured by pools that Services name and that are announced or "
                f"not, and it does not claim {', '.join(missing)}"
            )
        self._backend = deployment.check.web("backend", nodes=[deployment.lab.nodes[0].name])
        self._steps: list[_Step] = []
        self._addresses: list[IPAddress] = []

    @property
    def counts(self) -> list[int]:
        """How many addresses there are in all after each step."""
        return [step.count for step in self._steps]

    def addresses(self, count: int) -> list[IPAddress]:
        """The first so many, in order."""
        return self._addresses[:count]

    def add(self, count: int, *, endpoints: bool, within: float) -> float:
        """A step more: make a pool and Services until there are `count`, each with its address; gives the seconds.

        `endpoints`: a ready pod stands behind each, as some implementations demand before they announce it. Raises
        `EventuallyFailed` when an address is missing after `within` seconds; there is no such step then.
        """
        began = time.monotonic()
        have = len(self._addresses)
        pool = self._deployment.wide(f"arp-{count}", have, count, advertised=False)

        def make(number: int) -> None:
            if time.monotonic() < began + within:
                made = service(self._run, f"arp-{number}", self._backend if endpoints else None)
                self._run.ask_pool(made, pool.spec)
                self._run.cluster.create(SERVICES, made)

        at_pace(range(have, count), make, math.inf, threads=_AT_ONCE)
        wanted = set(pool.addresses)
        eventually(
            lambda: sum(not wanted.isdisjoint(ingress(row)) for row in self._run.cluster.list(SERVICES)),
            lambda given: given == len(wanted),
            what=f"each of {len(wanted)} Services has an address",
            within=max(0.0, began + within - time.monotonic()),
            every=_LOOK,
        )
        self._steps.append(_Step(count, pool.spec))
        self._addresses += pool.addresses
        return time.monotonic() - began

    def announce(self, count: int, requester: Requester, *, quiet_for: float) -> None:
        """Have the first `count` addresses announced, a step's number, and no other; wait until the wire says so.

        Returns when no announcement was heard for `quiet_for` seconds. Raises `EventuallyFailed`.
        """
        for step in self._steps:
            if step.pool.advertised != (step.count <= count):
                step.pool = replace(step.pool, advertised=not step.pool.advertised)
                self._run.pools.put(step.pool)
        ours, others = self.addresses(count), [self._addresses[step - 1] for step in self.counts if step > count]

        def settled(addresses: Sequence[IPAddress], answered: int, what: str) -> None:
            eventually(
                # up to the first that is not answered for
                lambda: int(np.isfinite(requester.ask(addresses, patience=_SOON, stop=True).took).sum()),
                lambda found: found == answered,
                what=what,
                within=_SETTLE,
                every=_LOOK,
            )

        settled(ours, len(ours), f"all of {len(ours)} addresses are answered for")
        settled(others, 0, "nobody answers for what is not advertised")
        quiet(self._deployment.lab.client(), seconds=quiet_for, within=_LOUD)


def quiet(vantage: Vantage, *, seconds: float, within: float) -> None:
    """Wait until no announcement was heard for so many seconds. `LabError` when there is no such pause in time."""
    began = last = time.monotonic()
    with vantage.start_probe() as probe:

        def take(text: str) -> None:
            nonlocal last
            last = max(last, *(probe.clock.local(at) for _, _, at, _, _ in ROW.iter_unpack(bytes_of(text))))

        wanted = announcements(vantage.families)
        stream = probe.request("classify", each=take, interface=vantage.interface, rules=wanted)
        stream.wait_ready()
        began = last = time.monotonic()
        while (left := last + seconds + _ON_ITS_WAY - time.monotonic()) > 0:
            if time.monotonic() - began > within:
                raise LabError(f"{vantage.name} heard announcements without a pause of {seconds:g} s for {within:g} s")
            stream.require_running()
            threading.Event().wait(min(left, _SOON))
        if dropped := stream.cancel().dropped:
            raise ProbeError(f"{stream.what}: the kernel dropped {dropped} frames")
