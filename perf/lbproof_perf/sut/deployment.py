"""An arm at work in a lab of its own: what a benchmark holds in its hands."""

from __future__ import annotations

import functools
import ipaddress
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from lbproof.adapters.base import AddressRange, PoolSpec
from lbproof.context import CheckContext, Pool, RunContext
from lbproof.context.manifests import TARGET_PORT
from lbproof.lab import provide, providers
from lbproof.lab.common.commands import output
from lbproof.lab.provider import LabRequest
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.kube import Kube
from lbproof.witnesses.wait import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lbproof.lab.base import Lab, Topology
    from lbproof.spec.families import IPAddress
    from lbproof_perf.sut.arms import Arm

BUDGETS: Mapping[str, float] = {
    "failover": 40.0,
    "one_answerer": 120.0,
    "node_back": 120.0,
    "restarted": 120.0,
    "address_assigned": 300.0,
    "reclaimed": 30.0,
    "serves": 60.0,
}
"""Seconds that a benchmark waits: nothing is dropped for being slow, and at the ceiling it is kept as `did not`."""
WIDE = ipaddress.IPv4Network("198.18.0.0/16")
"""Of the block for benchmarks (RFC 2544), for more addresses than the segment's subnet has."""


PORTS: tuple[Mapping[str, Any], ...] = (
    {"name": "http", "port": 80, "targetPort": TARGET_PORT},
    {"name": "echo", "protocol": "UDP", "port": 80, "targetPort": TARGET_PORT},
)
"""Of a Service that is measured: HTTP, and UDP of the same number, where the suite's own workload echoes."""


@runtime_checkable
class Exposes(Protocol):
    """An arm that gives a Service its address in a way of its own, since it has no controller that would."""

    def expose(
        self, check: CheckContext, name: str, *, selector: Mapping[str, str], ports: Sequence[Mapping[str, Any]]
    ) -> IPAddress:
        """Make a Service in the suite's namespace, and give its address once one node announces it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A booted lab with an arm installed."""

    arm: Arm
    lab: Lab
    run: RunContext
    check: CheckContext

    def expose(self, name: str, selector: Mapping[str, str], ports: Sequence[Mapping[str, Any]] = PORTS) -> IPAddress:
        """Make a Service in front of pods of the suite's namespace (`check.web`); gives its address, which serves.

        The pods must be ready: some implementations announce nothing without. An arm without a controller does it in
        its own way (`Exposes`); any other is given a pool of one free address, which the Service names if it can. The
        address is asked by HTTP before it is given: a UDP flow that begins before kube-proxy knows it is remembered by
        the node's conntrack and never served. Raises `WaitFailed` when no address comes, not exactly one node answers
        for it, or it does not serve.
        """
        adapter = self.run.adapter
        if isinstance(adapter, Exposes):
            address = adapter.expose(self.check, name, selector=selector, ports=ports)
        else:
            pool = self.check.pool(1)
            named = pool if self.run.claims("pool-select") else None
            service = self.check.service(name, serving=True, pool=named, selector=selector, ports=ports)
            address = self.check.assigned(service)
            self.check.announcer(address, budget="one_answerer")
        self.check.serves(self.check.client, address)
        return address

    def wide_pool(self, count: int) -> None:
        """Make a pool of so many addresses (at most 65,000) that the nodes' subnet does not hold.

        They are announced on the segment, and the client looks for them there.
        """
        self.wide(f"wide-{count}", 0, count)
        ip_at_client(self.lab, "route", "replace", str(WIDE), "dev", self.lab.client().interface)

    def forget_neighbours(self) -> None:
        """Have the client's kernel forget who had the addresses of wide pools. Raises `LabError`."""
        ip_at_client(self.lab, "neigh", "flush", "to", str(WIDE), "dev", self.lab.client().interface)

    def wide(self, name: str, begin: int, end: int, *, advertised: bool = True) -> Pool:
        """Make a pool of the addresses from `begin` to `end` of `WIDE`; it is removed with the check.

        They are announced on the nodes' interface, in no subnet of which they lie.
        """
        first = WIDE.network_address + 1
        addresses = [first + at for at in range(begin, end)]
        spec = PoolSpec(
            name=name,
            blocks=(AddressRange(addresses[0], addresses[-1]),),
            advertised=advertised,
            interfaces=(self.run.site.interface,),
        )
        self.check.undo.later(f"pool {name}", functools.partial(self.run.pools.drop, name))
        self.run.pools.put(spec)
        return Pool(spec, addresses)


def ip_at_client(lab: Lab, *words: str) -> None:
    """Run `ip` at the client. Raises `LabError` with its output when it fails."""
    output(lab.exec_argv("client", ["ip", *words]), shown=f"ip {' '.join(words)} at the client of {lab.name}")


@contextmanager
def opened(
    arm: Arm, topology: Topology, *, components: Path | None, say: Callable[[str], None]
) -> Iterator[Deployment]:
    """Boot a lab, install the arm in it, and take all of it down at the end.

    Raises `LabError` when a lab cannot be had.
    """
    adapter = arm.make()
    request = LabRequest(
        topology=topology,
        programs=adapter.components,
        files=adapter.files,
        python_modules=adapter.python_modules,
        components=components,
    )

    def say_line(line: str) -> None:
        say(f"{arm.name}: {line}")

    with ExitStack() as stack:
        provider = providers.installed().usable[providers.DEFAULT]
        lab, programs = provide.boot(provider, request, say_line, lifeline=True)
        stack.callback(lab.down)
        journal = Journal(None)
        run = RunContext(
            lab=lab,
            cluster=Kube(lab.kubeconfig),
            adapter=adapter,
            journal=journal,
            waiter=Waiter(journal, {**adapter.budgets, **BUDGETS}),
            programs=programs,
        )
        run.install(say_line)
        check = CheckContext(run, "bench", capture=False)
        stack.callback(check.close, rest=False)
        yield Deployment(arm=arm, lab=lab, run=run, check=check)
