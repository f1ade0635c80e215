"""Measuring: moments of many Services, and what the processes of an implementation used."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from lbproof.context.objects import ingress
from lbproof.context.service_watch import ServiceWatch
from lbproof.witnesses import neighbour

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

AT_ONCE = 8
"""Requests to the API server at a time."""
_TICK = os.sysconf("SC_CLK_TCK")
_PRIVATE = ("Private_Clean:", "Private_Dirty:")


@dataclass(slots=True)
class Moments:
    """When what was first seen, by `time.monotonic()`."""

    created: dict[str, float] = field(default_factory=dict)
    """Service → begin of the request that created it."""
    assigned: dict[str, tuple[float, IPAddress]] = field(default_factory=dict)
    """Service → arrival of its first status with an address, and that."""
    first: dict[IPAddress, float] = field(default_factory=dict)
    """Address → end of the first look that had an answer."""
    last: dict[IPAddress, float] = field(default_factory=dict)
    """Address → end of the last look that had an answer."""

    def changed(self, _: str, service: Object) -> None:
        """Take a version of a Service that has arrived."""
        if held := ingress(service):
            self.assigned.setdefault(service["metadata"]["name"], (time.monotonic(), held[0]))


@contextlib.contextmanager
def asking(check: CheckContext, addresses: Sequence[IPAddress], moments: Moments) -> Iterator[None]:
    """Ask for addresses again and again during the block, each look a request for each."""
    ended = threading.Event()

    def ask() -> None:
        wait = next(neighbour.patience(check.wait.budget("arp_answer")))
        while not ended.is_set():
            found = neighbour.sweep(check.client, addresses, wait=wait)
            now = time.monotonic()
            answered = [address for address, macs in found.items() if macs]
            moments.first |= {address: now for address in answered if address not in moments.first}
            moments.last |= dict.fromkeys(answered, now)

    with ThreadPoolExecutor(1) as asker:
        asked = asker.submit(ask)
        try:
            yield
        finally:
            ended.set()
            asked.result()


def most(check: CheckContext, wanted: int) -> int:
    """Return a number of Services that there are addresses for, at most the one that is wanted."""
    return min(wanted, len(check.lab.segment.free_for(check.family)))


def create(check: CheckContext, names: Sequence[str], moments: Moments) -> list[Service]:
    """Create Services at once, and note when."""
    _ = check.run.backends, check.namespace  # once, before there are threads

    def one(name: str) -> Service:
        moments.created[name] = time.monotonic()
        return check.service(name)

    with ThreadPoolExecutor(AT_ONCE) as workers:
        return list(workers.map(one, names))


@contextlib.contextmanager
def watched(check: CheckContext, moments: Moments) -> Iterator[None]:
    """Note the arrival of addresses in statuses during the block."""
    with ServiceWatch(check.cluster, check.namespace, moments.changed):
        yield


def spread(check: CheckContext, what: str, seconds: Sequence[float]) -> None:
    """Report median and worst of some times; of one time that."""
    if len(seconds) == 1:
        check.measured(what, round(seconds[0], 3), "s")
    elif seconds:
        check.measured(f"{what}, median", round(median(seconds), 3), "s")
        check.measured(f"{what}, longest", round(max(seconds), 3), "s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Counters of an implementation's processes at one moment."""

    cpu: dict[tuple[str, str], float]
    """(folder in /proc, start) → seconds of processor time."""
    private: int
    """Bytes that no other process shares."""


def usage(check: CheckContext) -> Usage:
    """Read the counters of the processes of all pods of the implementation. The lab must show them."""
    pods = check.run.workloads.running(*check.run.workloads.all)
    waiting = [path for _, namespace, pod in pods for path in check.lab.pod_processes(namespace, pod)]
    cpu: dict[tuple[str, str], float] = {}
    private = 0
    while waiting:
        process = waiting.pop()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            fields = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()  # from field 3 on
            rows = (process / "smaps_rollup").read_text().splitlines()
            cpu[str(process), fields[19]] = sum(map(int, fields[11:15])) / _TICK  # fields 14 to 17 of proc(5)
            private += sum(int(row.split()[1]) * 1024 for row in rows if row.startswith(_PRIVATE))
            for children in process.glob("task/*/children"):
                waiting += [process.parent / pid for pid in children.read_text().split()]
    return Usage(cpu=cpu, private=private)


def used(before: Usage, after: Usage) -> float:
    """Return the processor seconds between two readings; a process that is new counts whole."""
    return sum(seconds - before.cpu.get(key, 0.0) for key, seconds in after.cpu.items())
