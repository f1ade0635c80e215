"""The addresses that are asked for: real Services in a lab, of which a first few, some or all are announced.

They are made once and lie in a pool a step. What changes between two rounds is how many of the steps are announced, by
the object that carries a pool to the segment: so a round with one address and a round with thousands alternate in one
lab, within seconds of each other.
"""

from __future__ import annotations

import math
import select
import time
from contextlib import closing
from typing import TYPE_CHECKING

from lbproof.context import manifests
from lbproof.context.objects import ingress
from lbproof.lab.base import LabError
from lbproof.witnesses.frames import ETHERTYPE_ARP, decode
from lbproof.witnesses.packets import LARGEST, opened
from lbproof.witnesses.wait import eventually
from lbproof_perf.benchmarks.service_burst import at_pace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.adapters.base import Object
    from lbproof.witnesses.vantage import Vantage
    from lbproof_perf.probes.arp_requests import ArpRequester
    from lbproof_perf.sut.deployment import Deployment

BACKEND = "backend"
QUIET = 2.2
"""Seconds without an announcement after which none will come: implementations repeat theirs for some seconds."""
_LOUD = 60.0
"""Seconds after which announcements should have ended."""
_AT_ONCE = 8
"""Services that are being created at any moment."""
_LOOK = 0.25
_SOON = 0.02
"""Seconds that an answer is waited for where the question is asked again."""
_SETTLE = 120.0
"""Seconds until what was advertised is answered for and what was withdrawn is not."""


class Stock:
    """So many Services, in steps, and the addresses that they were given."""

    def __init__(self, deployment: Deployment) -> None:
        """There is none yet."""
        self._deployment = deployment
        self.steps: list[int] = []
        """How many addresses there are in all after each."""
        self._addresses: list[str] = []
        self._carriers: list[Object] = []
        self._carried: set[int] = set()

    def addresses(self, count: int) -> list[str]:
        """The first so many, in order."""
        return self._addresses[:count]

    def add(self, count: int, *, endpoints: bool, within: float) -> float:
        """A step more: make a pool and Services until there are `count`, each with its address; gives the seconds.

        `endpoints`: a ready pod stands behind each, as some implementations demand before they announce it. Raises
        `EventuallyFailed` when an address is missing after `within` seconds; there is no such step then.
        """
        if endpoints:
            self._make_backend()
        began = time.monotonic()
        name, selector = f"arp-{count}", {"app": BACKEND} if endpoints else None
        have = len(self._addresses)
        carrier, addresses = self._make_pool(name, have, count)

        def make(number: int) -> None:
            if time.monotonic() < began + within:
                self._make_service(name, number, selector)

        at_pace(range(have, count), make, math.inf, threads=_AT_ONCE)
        wanted = set(addresses)
        eventually(
            lambda: len(wanted & self._given()),
            lambda given: given == len(wanted),
            what=f"each of {len(wanted)} Services has an address",
            within=max(0.0, began + within - time.monotonic()),
            every=_LOOK,
        )
        self.steps.append(count)
        self._addresses += addresses
        self._carriers.append(carrier)
        return time.monotonic() - began

    def announce(self, count: int, requester: ArpRequester, *, quiet_for: float) -> None:
        """Have the first `count` addresses announced, a step's number, and no other; wait until the wire says so.

        Returns when no announcement was heard for `quiet_for` seconds. Raises `EventuallyFailed`.
        """
        for at, (step, carrier) in enumerate(zip(self.steps, self._carriers, strict=True)):
            if step <= count and at not in self._carried:
                self._deployment.run.write(carrier)
                self._carried.add(at)
            elif step > count and at in self._carried:
                self._deployment.run.remove(carrier)
                self._carried.discard(at)
        ours, others = self.addresses(count), [self._addresses[step - 1] for step in self.steps if step > count]
        eventually(
            lambda: _answered(requester, ours),
            lambda answered: answered == len(ours),
            what=f"all of {len(ours)} addresses are answered for",
            within=_SETTLE,
            every=_LOOK,
        )
        eventually(
            lambda: _answered(requester, others),
            lambda answered: answered == 0,
            what="nobody answers for what is not advertised",
            within=_SETTLE,
            every=_LOOK,
        )
        quiet(self._deployment.lab.client(), seconds=quiet_for, within=_LOUD)

    def _make_backend(self) -> None:
        """A pod on the control plane, which announces nothing."""
        run, namespace = self._deployment.run, self._deployment.check.namespace
        run.cluster.apply(manifests.web(namespace, BACKEND, replicas=1, nodes=[run.lab.nodes[0].name]))
        run.ready(namespace, BACKEND)

    def _make_pool(self, name: str, begin: int, end: int) -> tuple[Object, list[str]]:
        """A pool that is not announced yet: what announces it, and its addresses."""
        pools, carriers, addresses = self._deployment.wide(name, begin, end)
        if len(carriers) != 1:
            raise LabError(
                f"{self._deployment.arm.name}: {len(carriers)} objects announce a pool; one can be put on and off"
            )
        for made in pools:
            self._deployment.run.write(made)
        return carriers[0], addresses

    def _make_service(self, pool: str, number: int, selector: dict[str, str] | None) -> None:
        deployment = self._deployment
        made = manifests.service(
            deployment.check.namespace,
            f"arp-{number}",
            selector=selector,
            allocateLoadBalancerNodePorts=False,  # there are fewer ports than Services
        )
        deployment.run.adapter.ask_pool(made, pool)
        deployment.run.cluster.create(f"/api/v1/namespaces/{deployment.check.namespace}/services", made)

    def _given(self) -> set[str]:
        deployment = self._deployment
        services = deployment.run.cluster.list(f"/api/v1/namespaces/{deployment.check.namespace}/services")
        return {address for service in services for address in ingress(service)}


def _answered(requester: ArpRequester, addresses: Sequence[str]) -> int:
    """How many of the addresses are answered for, up to the first that is not."""
    took = requester.ask(addresses, patience=_SOON, stop=True)
    return int((took >= 0).sum())


def quiet(vantage: Vantage, *, seconds: float, within: float) -> None:
    """Wait until no announcement was heard for so many seconds. `LabError` when there is no such pause in time."""
    with closing(opened(vantage, ETHERTYPE_ARP)) as wire:
        began = last = time.monotonic()
        while (left := last + seconds - time.monotonic()) > 0:
            if time.monotonic() - began > within:
                raise LabError(f"{vantage.name} heard announcements without a pause of {seconds:g} s for {within:g} s")
            if select.select([wire], [], [], left)[0]:
                frame = decode(wire.recv(LARGEST))
                if frame and frame.gratuitous:
                    last = time.monotonic()
