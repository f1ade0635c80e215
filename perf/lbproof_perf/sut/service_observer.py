"""What is seen of Services and their addresses in one lab: the API by one watch, the wire by the task `availability`.

Every moment is this process's `time.monotonic()`. The watch is one thread that reads the raw stream; an address that it
sees is asked for by ARP or NDP at once, and where HTTP is wanted, from its first answer on, since a kernel that asked
for a neighbour before it was there would wait a second before it asked again.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Self

from lbproof.context.objects import BadStatus, ingress
from lbproof.lab.base import LabError
from lbproof.probe.protocol import text_of
from lbproof.spec.families import family_of
from lbproof.witnesses.kube import Kube
from lbproof_perf.probes import neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lbproof.witnesses.clock import Clock
    from lbproof_perf.sut.deployment import Deployment

MAC = "02:00:00:00:5e:ed"
"""Of the neighbour requests: locally administered, and nobody's in a lab."""
PORT, PATH = 80, "/hostname"
_WATCH = 300.0
"""Seconds of one watch; another follows it."""
_LOOK = 0.2
"""Seconds between two looks for a fault of the threads while something is waited for."""


@dataclass(frozen=True, slots=True)
class Observation:
    """When something was seen of an address."""

    at: float
    step: float = 0.0
    """Seconds by which it may have been true earlier (later, for the last answer)."""


@dataclass(slots=True)
class ServiceObservations:
    """What was seen since the last `begin`; by name of the Service, then by address."""

    addresses: dict[str, str] = field(default_factory=dict)
    """Service → its address."""
    assigned: dict[str, Observation] = field(default_factory=dict)
    """Service → its address was in the status."""
    arp: dict[str, Observation] = field(default_factory=dict)
    """Address → its first answer."""
    http: dict[str, Observation] = field(default_factory=dict)
    """Address → its first 200."""
    watched: set[str] = field(default_factory=set)
    """Addresses that have answered since their silence is waited for."""
    silent: dict[str, Observation | None] = field(default_factory=dict)
    """Address → its last answer before it was silent; None when it was silent from the beginning."""


class ServiceObserver:
    """Watches the Services of one namespace, and asks for their addresses from the client, while it is entered."""

    def __init__(self, deployment: Deployment, namespace: str) -> None:
        """Nothing is watched yet."""
        self._deployment = deployment
        self._path = f"/api/v1/namespaces/{namespace}/services"
        self._changed = threading.Condition()
        self._fault: Exception | None = None
        self._names: set[str] = set()
        self._served: set[str] = set()
        self._closed = False
        self.seen = ServiceObservations()

    def __enter__(self) -> Self:
        """Watch from now on. Raises `ProbeError` when the probe cannot be started."""
        client = self._deployment.lab.client()
        subnets = self._deployment.lab.segment.subnets
        self._own = {family_of(subnet): subnet[-2] for subnet in subnets}
        replies = [neighbours.replies(client.interface, MAC, family) for family in self._own]
        with ExitStack() as stack:
            self._probe = stack.enter_context(client.start_probe())
            self._stream = self._probe.request(
                "availability", each=self._answered, replies=replies, port=PORT, path=PATH
            )
            self._stream.wait_ready()
            self._kube = Kube(self._deployment.lab.kubeconfig)
            stack.callback(self._kube.close)
            _, self._version = self._kube.list_with_version(self._path)
            threading.Thread(target=self._watch, name="watch of Services", daemon=True).start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Watch no more; the thread of the watch ends with the lab."""
        self._closed = True
        self._stack.close()

    @property
    def clocks(self) -> Mapping[str, Clock]:
        """Vantage → its clock, by which moments are converted."""
        return {self._probe.vantage: self._probe.clock}

    # what is wanted
    def begin(self, names: Iterable[str], served: Iterable[str]) -> None:
        """Forget what was seen; watch Services of these names, and ask HTTP at those that are in `served`."""
        if self._probe.clock.uncertainty:  # another clock, which may drift: a lab lives for hours
            self._probe.synchronize()
        with self._changed:
            self.seen = ServiceObservations()
            self._names, self._served = set(names), set(served)

    def expect_answer(self, addresses: Iterable[str]) -> None:
        """Ask for the first ARP answer of addresses from now on, whatever was seen of them before."""
        for address in addresses:
            with self._changed:
                self.seen.arp.pop(address, None)
            self._ask("first", address)

    def expect_silence(self, address: str) -> None:
        """Ask for the last ARP answer of an address from now on."""
        self._ask("last", address)

    def _ask(self, verb: str, address: str) -> None:
        """Have an address asked for. Raises `ProbeError` when the probe has ended."""
        target = ip_address(address)
        frame = neighbours.request(mac=MAC, address=self._own[family_of(target)], target=target)
        self._stream.tell([verb, address, text_of(frame)])

    def until(self, true: Callable[[ServiceObservations], bool], deadline: float) -> bool:
        """Wait until something is true of the observations; False when it is not by `deadline` (`time.monotonic()`).

        Raises `ProbeError` when the probe has ended or its kernel has dropped replies, `BadStatus` for a Service's bad
        status, and `LabError` when the watch ended otherwise.
        """
        with self._changed:
            while True:
                self._stream.require_running()
                self._require_watch()
                if true(self.seen):
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, _LOOK))

    def _require_watch(self) -> None:
        if isinstance(self._fault, BadStatus):
            raise self._fault
        if self._fault:
            what = f"{type(self._fault).__name__}: {self._fault}"
            raise LabError(f"the watch of {self._path} ended: {what}") from self._fault

    # what comes in
    def _watch(self) -> None:
        try:
            while not self._closed:
                for event in self._kube.watch(self._path, self._version, _WATCH):
                    self._service(event, time.monotonic())
        except Exception as error:  # noqa: BLE001 - whatever it is, `until` raises it
            if not self._closed:
                with self._changed:
                    self._fault = error
                    self._changed.notify_all()

    def _service(self, event: dict[str, Any], now: float) -> None:
        metadata = event["object"]["metadata"]
        self._version = metadata["resourceVersion"]
        name, found = metadata["name"], ingress(event["object"])
        if event["type"] == "DELETED" or not found:
            return
        with self._changed:
            if name not in self._names or name in self.seen.assigned:
                return
            self.seen.addresses[name], self.seen.assigned[name] = str(found[0]), Observation(now)
            self._changed.notify_all()
        self._ask("first", str(found[0]))

    def _answered(self, row: list[Any]) -> None:
        verb, address, moment, step, *_ = row
        found = None if moment is None else Observation(self._probe.clock.local(moment), step)
        with self._changed:
            if verb == "last":
                self.seen.silent[address] = found
            elif verb == "still":
                self.seen.watched.add(address)
            elif found and verb == "http":
                self.seen.http.setdefault(address, found)
            elif found:
                self.seen.arp[address] = found
            wanted = verb == "first" and address in {self.seen.addresses.get(name) for name in self._served}
            self._changed.notify_all()
        if wanted and address not in self.seen.http:
            self._stream.tell(["http", address, None])
