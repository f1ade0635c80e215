"""Faults of the reference, applied from outside: the reference does not know them.

`@fault(case, …)` names the cases, each of which must detect the fault. A fault is a function that patches the reference
in this process before it starts; its docstring describes the fault.
"""

from __future__ import annotations

import ipaddress
import os
import random
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pyroute2.iproute.linux import IPRoute

from lbproof_reference.controller import allocate
from lbproof_reference.controller import loop as controller
from lbproof_reference.events import EventRecorder
from lbproof_reference.pools import ip_from_int
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker import offers, plan, segment, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lbproof_reference.frames import ArpRequest
    from lbproof_reference.pools import IP


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """Fault, and the cases that must detect it."""

    name: str
    cases: tuple[str, ...]
    text: str
    apply: Callable[[], None]


MUTANTS: dict[str, Mutant] = {}
LATE = 20
"""Sequence number from which a speaker is no longer starting: about 1 s of heartbeats."""


def fault(*cases: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register the decorated function as a fault, with the cases that must each detect it."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        name = function.__name__.replace("_", "-")
        MUTANTS[name] = Mutant(name=name, cases=cases, text=function.__doc__ or "", apply=function)
        return function

    return register


def _real(target: Any, name: str) -> Any:  # noqa: ANN401
    return getattr(target, name)


def _set(target: Any, name: str, value: Any) -> None:  # noqa: ANN401 - whatever is to be broken
    if not hasattr(target, name):
        raise AttributeError(f"{target} has no {name}: the mutant would change nothing")
    setattr(target, name, value)


@fault("L2-01", "TIER-06d", "ARTICLE-20")
def two_announcers() -> None:
    """Every eligible node answers for every address."""
    _set(plan, "elect", lambda *_: os.environ["NODE_NAME"])


@fault("L2-02")
def borrowed_mac() -> None:
    """The ARP reply has a hardware address that no interface has."""
    real = _real(speaker, "arp_reply")

    def arp_reply(request: ArpRequest, mac: bytes) -> bytes:
        sent: bytes = real(request, mac)
        return sent.replace(mac, bytes([mac[0], mac[1] ^ 0x40]) + mac[2:])

    _set(speaker, "arp_reply", arp_reply)


@fault("L2-03", "TIER-06a", "TIER-06c", "RECL-03", "ARTICLE-07", "ARTICLE-13")
def on_a_nic() -> None:
    """A speaker adds the addresses that it announces to its interface."""
    real = speaker.SegmentSpeaker._announce  # noqa: SLF001 - a mutant reaches inside

    def bind(interface: str, addresses: tuple[bytes, ...]) -> None:
        with IPRoute() as ip:  # type: ignore[no-untyped-call]
            index = ip.link_lookup(ifname=interface)[0]
            for address in addresses:
                ip.addr("replace", index=index, address=str(ipaddress.ip_address(address)), prefixlen=32)

    def announce(self: speaker.SegmentSpeaker, addresses: tuple[bytes, ...]) -> None:
        binding = threading.Thread(target=bind, args=(self.link.name, addresses))  # pyroute2 has a loop of its own
        binding.start()
        binding.join()
        real(self, addresses)

    _set(speaker.SegmentSpeaker, "_announce", announce)


@fault("L2-04a", "L2-04b", "L2-04d", "L2-04e")
def answers_for_what_is_not_assigned() -> None:
    """A speaker that announces an address answers for all addresses and receives every ARP request."""
    _set(wire, "arp_filter", lambda *_: ((0x06, 0, 0, 0xFFFF),))  # a classic BPF program: accept
    _set(segment.Segment, "answers", lambda self, _address, _now: bool(self.desired))


@fault("L2-04c")
def answers_without_advertisement() -> None:
    """Addresses of a pool that no advertisement selects are announced."""
    _set(offers._Advertisement, "selects", lambda *_: True)  # noqa: SLF001


@fault("L2-06")
def no_gratuitous_arp() -> None:
    """No gratuitous ARP is sent when an address is assigned or moves."""
    _set(speaker.SegmentSpeaker, "_announce", lambda *_: None)


@fault("L2-07")
def gratuitous_arp_on_assignment_only() -> None:
    """No gratuitous ARP is sent after a takeover, so that clients keep the entry of the dead node."""
    real = speaker.SegmentSpeaker._announce  # noqa: SLF001

    def announce(self: speaker.SegmentSpeaker, addresses: tuple[bytes, ...]) -> None:
        real(self, tuple(a for a in addresses if a in self.segment.claims and self.segment.claims[a].epoch <= 1))

    _set(speaker.SegmentSpeaker, "_announce", announce)


@fault("POOL-01", "ARTICLE-09")
def outside_the_pool() -> None:
    """Addresses above the last address of the pool are assigned."""
    real = allocate.Allocator._allocate_any  # noqa: SLF001

    def other(self: allocate.Allocator, request: allocate.AddressRequest) -> IP:
        return real(self, request) + 64

    _set(allocate.Allocator, "_allocate_any", other)


@fault("POOL-02a", "POOL-02b", "POOL-02c")
def one_address_for_all() -> None:
    """The first address of the pool is assigned to every Service."""
    _set(allocate.Allocator, "assign", lambda *_: True)


@fault("POOL-03e")
def keeps_the_ends_back() -> None:
    """The first and the last address of a /24 are never assigned."""
    real = allocate.FreeList._next  # noqa: SLF001

    def inner(self: Any) -> int | None:  # noqa: ANN401
        while (number := real(self)) is not None:
            if number & 0xFF not in {0, 0xFF}:
                break
        return number

    _set(allocate.FreeList, "_next", inner)


@fault("PEND-01b", "PEND-05")
def needs_no_pool() -> None:
    """An address is assigned although there is no pool."""
    real = allocate.Allocator._allocate_any  # noqa: SLF001

    def some(self: allocate.Allocator, request: allocate.AddressRequest) -> IP:
        return real(self, request) if self._index else ipaddress.ip_address("192.0.2.1")

    _set(allocate.Allocator, "_allocate_any", some)


@fault("PEND-01a")
def overbooks() -> None:
    """The first address of a full pool is assigned a second time."""
    real = allocate.Allocator._allocate_any  # noqa: SLF001

    def some(self: allocate.Allocator, request: allocate.AddressRequest) -> IP:
        try:
            return real(self, request)
        except allocate.AllocationError:
            address_range, _ = self._index[0]
            return ip_from_int(address_range.family, address_range.first)

    _set(allocate.Allocator, "_allocate_any", some)


@fault("POOL-03a", "POOL-03b", "POOL-03c", "POOL-03d")
def off_by_one() -> None:
    """The last address of a range is never assigned."""
    real = allocate.FreeList._next  # noqa: SLF001

    def following(self: Any) -> int | None:  # noqa: ANN401
        number = real(self)
        return None if number in {address_range.last for address_range in self.pool.ranges} else number

    _set(allocate.FreeList, "_next", following)


@fault("PEND-02", "EVT-01b")
def silent_pending() -> None:
    """A failed allocation is not reported in an Event."""
    real = EventRecorder.event

    def record(self: EventRecorder, about: Any, kind: str, reason: str, message: str) -> None:  # noqa: ANN401
        if kind != "Warning":
            real(self, about, kind, reason, message)

    _set(EventRecorder, "event", record)


@fault("PEND-03a", "PEND-03b")
def nobody_is_woken() -> None:
    """A released address is not assigned to a pending Service before a restart."""
    _set(controller.Controller, "_requeue_pending", lambda *_: None)


@fault("PEND-04a", "PEND-04b")
def deaf_to_pools() -> None:
    """Pending Services are not reconciled when a pool is added."""
    real = controller.Controller._pools_changed  # noqa: SLF001

    def changed(self: controller.Controller, *which: object) -> None:
        waiting, self._pending = self._pending, {}
        real(self, *which)
        self._pending = waiting

    _set(controller.Controller, "_pools_changed", changed)


@fault("REQ-01a", "REQ-01b", "ARTICLE-04")
def deaf_to_requests() -> None:
    """A requested address is ignored, and the next free address is assigned."""
    real = _real(controller, "read_address_request")
    _set(controller, "read_address_request", lambda key, service: replace(real(key, service), requested_ip=None))


@fault("REQ-02", "L2-04b", "ARTICLE-08")
def gives_what_is_in_no_pool() -> None:
    """A requested address outside all pools is assigned."""
    real = allocate.Allocator._allocate_requested  # noqa: SLF001

    def asked(self: allocate.Allocator, request: allocate.AddressRequest, ip: IP) -> IP:
        return ip if self.pool_of(ip) is None else real(self, request, ip)

    _set(allocate.Allocator, "_allocate_requested", asked)


@fault("REQ-03")
def gives_what_another_holds() -> None:
    """A requested address that another Service holds is assigned."""
    real = allocate.Allocator._allocate_requested  # noqa: SLF001

    def asked(self: allocate.Allocator, request: allocate.AddressRequest, ip: IP) -> IP:
        self.holder.pop(ip, None)
        return real(self, request, ip)

    _set(allocate.Allocator, "_allocate_requested", asked)


@fault("REQ-04a", "REQ-04b", "REQ-04c", "REQ-04d")
def makes_do() -> None:
    """An invalid request is ignored, and the next free address is assigned."""
    read, ask = _real(controller, "read_address_request"), allocate.Allocator._allocate_requested  # noqa: SLF001

    def request(key: str, service: Any) -> allocate.AddressRequest:  # noqa: ANN401
        try:
            found: allocate.AddressRequest = read(key, service)
        except allocate.AllocationError:
            return allocate.AddressRequest(key=key)
        return found

    def asked(self: allocate.Allocator, request: allocate.AddressRequest, ip: IP) -> IP:
        try:
            return ask(self, request, ip)
        except allocate.AllocationError:
            return self._allocate_any(replace(request, requested_ip=None, pool=None))

    _set(controller, "read_address_request", request)
    _set(allocate.Allocator, "_allocate_requested", asked)


@fault("RECL-01a", "RECL-01b", "RECL-02a", "RECL-02b", "ARTICLE-18")
def never_reclaimed() -> None:
    """The address of a deleted Service is never assigned again."""
    _set(allocate.Allocator, "release", lambda *_: None)


@fault("RECL-01c")
def remembers_by_name() -> None:
    """A Service with the name of an earlier one is not assigned an address."""
    real, known = controller.Controller._assign, set[str]()  # noqa: SLF001

    async def give(self: controller.Controller, key: str, service: Any, grant: Any) -> None:  # noqa: ANN401
        if key not in known:
            known.add(key)
            await real(self, key, service, grant)

    _set(controller.Controller, "_assign", give)


@fault("RECL-03")
def answers_for_what_was_released() -> None:
    """A speaker continues to answer for a released address."""
    real = _real(segment, "plan")

    def keep(view: plan.SegmentView) -> Any:  # noqa: ANN401
        return replace(real(view), withdraw=())

    _set(segment, "plan", keep)


@fault("CLASS-02a", "CLASS-02b", "CLASS-01c")
def serves_foreign_classes() -> None:
    """A Service with the class of another implementation is assigned an address."""
    for module in (controller, offers):
        _set(module, "is_managed", lambda service, _class: service["spec"].get("type") == "LoadBalancer")


@fault("CLASS-01a")
def waits_for_a_class() -> None:
    """A Service without a class is ignored, although no class is configured."""
    for module in (controller, offers):
        real = _real(module, "is_managed")
        _set(module, "is_managed", lambda service, name, real=real: real(service, name or "lbproof.dev/reference"))


@fault("CLASS-01b")
def deaf_to_its_class() -> None:
    """A Service with the configured class is ignored."""
    for module in (controller, offers):
        real = _real(module, "is_managed")
        _set(module, "is_managed", lambda service, _class, real=real: real(service, None))


@fault("EVT-01a", "ARTICLE-15")
def wrong_event() -> None:
    """The Event of an allocation names another address."""
    real = EventRecorder.event

    def record(self: EventRecorder, about: Any, kind: str, reason: str, message: str) -> None:  # noqa: ANN401
        real(self, about, kind, reason, 'Assigned IP ["192.0.2.1"]' if reason == "IPAllocated" else message)

    _set(EventRecorder, "event", record)


@fault("EVT-02a", "EVT-02b", "EVT-02c")
def nobody_says_who_announces() -> None:
    """A speaker acquires an address without an Event."""
    real = speaker.Speaker.__init__

    def init(self: speaker.Speaker, **kwargs: Any) -> None:  # noqa: ANN401
        real(self, **(kwargs | {"on_acquired": lambda _service: None}))

    _set(speaker.Speaker, "__init__", init)


@fault("EVT-03a", "EVT-03b", "ARTICLE-15")
def another_pools_name() -> None:
    """The annotation names a pool that does not contain the address."""
    real = controller.Controller._write  # noqa: SLF001

    async def write(self: controller.Controller, service: Any, *, status: Any, pool: str | None) -> None:  # noqa: ANN401
        await real(self, service, status=status, pool=pool and f"{pool}-not")

    _set(controller.Controller, "_write", write)


@fault("EVT-03c")
def annotation_left_behind() -> None:
    """The pool annotation stays after the address was released."""
    real = controller.Controller._write  # noqa: SLF001

    async def write(self: controller.Controller, service: Any, *, status: Any, pool: str | None) -> None:  # noqa: ANN401
        if pool is not None:
            await real(self, service, status=status, pool=pool)

    _set(controller.Controller, "_write", write)


@fault(
    "TIER-01",
    "TIER-02a",
    "TIER-02b",
    "TIER-02c",
    "TIER-03a",
    "TIER-03b",
    "TIER-04",
    "ETP-02",
    "ARTICLE-05",
    "ARTICLE-06",
    "ARTICLE-19",
)
def not_programmed() -> None:
    """The status has `ipMode: Proxy`, so that kube-proxy does not handle traffic to the address."""
    real = controller.Controller._write  # noqa: SLF001

    async def write(self: controller.Controller, service: Any, *, status: Any, pool: str | None) -> None:  # noqa: ANN401
        proxied = [{**entry, "ipMode": "Proxy"} for entry in status] if status else status
        await real(self, service, status=proxied, pool=pool)

    _set(controller.Controller, "_write", write)


@fault("FAIL-01", "FAIL-05", "ARTICLE-16", "ARTICLE-17", "ARTICLE-20")
def no_failover() -> None:
    """A dead speaker is treated as alive."""
    _set(segment.Segment, "expire_peers", lambda *_: [])


@fault("FAIL-02")
def stays_down() -> None:
    """No speaker takes over from a killed one, which acquires nothing after its restart."""
    receive = segment.Segment.receive

    def shy(self: segment.Segment, heartbeat: Any, now: float) -> bool:  # noqa: ANN401
        if heartbeat.node not in self.peers and heartbeat.sequence > LATE:
            self.listen_until = float("inf")
        return receive(self, heartbeat, now)

    suspend = segment.Segment.on_suspend

    def still_shy(self: segment.Segment, gap: float, now: float) -> None:
        listen_until = self.listen_until
        suspend(self, gap, now)  # on a busy machine this would end what `receive` has begun
        self.listen_until = max(self.listen_until, listen_until)

    _set(segment.Segment, "receive", shy)
    _set(segment.Segment, "on_suspend", still_shy)
    _set(segment.Segment, "expire_peers", lambda *_: [])


@fault("FAIL-04", "FAIL-05")
def never_yields() -> None:
    """A restarted speaker acquires every address at once and keeps it, even if another speaker claims it."""
    real, init = _real(segment, "plan"), segment.Segment.__init__

    def stubborn(view: plan.SegmentView) -> Any:  # noqa: ANN401
        found = real(view)
        return replace(found, withdraw=tuple(a for a in found.withdraw if a not in view.desired))

    def hasty(self: segment.Segment, *, now: float, **kwargs: Any) -> None:  # noqa: ANN401
        init(self, now=now, **kwargs)
        self.listen_until = now

    _set(segment, "plan", stubborn)
    _set(segment.Segment, "__init__", hasty)


@fault("UPGR-01", "UPGR-02")
def moved_on_restart() -> None:
    """A restarted controller does not restore earlier assignments."""
    _set(controller.Controller, "_restore", lambda _self: None)

    def shuffled(self: Any, held: Iterable[IP]) -> IP | None:  # noqa: ANN401
        numbers = [n for address_range in self.pool.ranges for n in range(address_range.first, address_range.last + 1)]
        free = [ip for n in numbers if (ip := ip_from_int(4, n)) not in held]
        return random.SystemRandom().choice(free) if free else None

    _set(allocate.FreeList, "take", shuffled)


@fault("CRD-01a", "CRD-01b", "CRD-01c")
def says_nothing_of_bad_pools() -> None:
    """An invalid pool gets neither a condition nor an Event."""

    async def nothing(*_: object) -> None:
        return

    _set(controller.Controller, "_set_pool_condition", nothing)
