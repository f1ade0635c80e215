"""The reference with one deliberate fault each, made from outside: its own code knows nothing of them.

`@fault(requirement)` names the case that must catch it. A fault is a function that changes the reference in this
process before it starts; the docstring is what a reader of a surviving mutant wants to know.
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
from lbproof_reference.controller.pools import to_ip
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker import offers, plan, segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lbproof_reference.controller.pools import IP
    from lbproof_reference.frames import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One fault, and the case that must catch it."""

    name: str
    case: str
    text: str
    apply: Callable[[], None]


MUTANTS: dict[str, Mutant] = {}


def fault(case: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Declare the fault that the function makes, and the case that must catch it."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        name = function.__name__.replace("_", "-")
        MUTANTS[name] = Mutant(name=name, case=case, text=function.__doc__ or "", apply=function)
        return function

    return register


def _real(target: Any, name: str) -> Any:  # noqa: ANN401
    return getattr(target, name)


def _set(target: Any, name: str, value: Any) -> None:  # noqa: ANN401 - whatever is to be broken
    if not hasattr(target, name):
        raise AttributeError(f"{target} has no {name}: the mutant would change nothing")
    setattr(target, name, value)


@fault("L2-01")
def two_announcers() -> None:
    """Every eligible node answers for every address."""
    _set(plan, "elect", lambda *_: os.environ["NODE_NAME"])


@fault("L2-02")
def borrowed_mac() -> None:
    """The reply carries a hardware address that is no interface's."""
    real = _real(speaker, "reply")

    def reply(request: Request, mac: bytes) -> bytes:
        sent: bytes = real(request, mac)
        return sent.replace(mac, bytes([mac[0], mac[1] ^ 0x40]) + mac[2:])

    _set(speaker, "reply", reply)


@fault("L2-03")
def on_a_nic() -> None:
    """A speaker puts the address that it announces on its interface."""
    real = speaker.Port._announce  # noqa: SLF001 - a mutant reaches inside

    def bind(interface: str, addresses: tuple[bytes, ...]) -> None:
        with IPRoute() as ip:  # type: ignore[no-untyped-call]
            index = ip.link_lookup(ifname=interface)[0]
            for address in addresses:
                ip.addr("replace", index=index, address=str(ipaddress.ip_address(address)), prefixlen=32)

    def announce(self: speaker.Port, addresses: tuple[bytes, ...]) -> None:
        binding = threading.Thread(target=bind, args=(self.link.name, addresses))  # pyroute2 has a loop of its own
        binding.start()
        binding.join()
        real(self, addresses)

    _set(speaker.Port, "_announce", announce)


@fault("L2-04a")
def answers_for_what_is_not_assigned() -> None:
    """A speaker that announces anything answers for everything."""
    _set(segment.Segment, "answers", lambda self, _address, _now: bool(self.wanted))


@fault("L2-04c")
def answers_without_advertisement() -> None:
    """A pool that no advertisement carries is announced all the same."""
    _set(offers._Carrier, "carries", lambda *_: True)  # noqa: SLF001


@fault("L2-06")
def no_gratuitous_arp() -> None:
    """Nothing is said when an address is assigned or moves."""
    _set(speaker.Port, "_announce", lambda *_: None)


@fault("L2-07")
def gratuitous_arp_on_assignment_only() -> None:
    """A takeover is not announced, so that a client's entry stays with the dead node."""
    real = speaker.Port._announce  # noqa: SLF001

    def announce(self: speaker.Port, addresses: tuple[bytes, ...]) -> None:
        real(self, tuple(a for a in addresses if a in self.segment.mine and self.segment.mine[a].epoch <= 1))

    _set(speaker.Port, "_announce", announce)


@fault("POOL-01")
def outside_the_pool() -> None:
    """Addresses are given that lie behind the pool's last one."""
    real = allocate.Ledger._any  # noqa: SLF001

    def other(self: allocate.Ledger, wish: allocate.Wish) -> IP:
        return real(self, wish) + 64

    _set(allocate.Ledger, "_any", other)


@fault("POOL-02a")
def one_address_for_all() -> None:
    """The first address of the pool is given to everyone."""
    _set(allocate.Ledger, "adopt", lambda *_: True)


@fault("POOL-03a")
def off_by_one() -> None:
    """The last address of a block is never given."""
    real = allocate._Shelf._next  # noqa: SLF001

    def following(self: Any) -> int | None:  # noqa: ANN401
        number = real(self)
        return None if number in {block.last for block in self.pool.blocks} else number

    _set(allocate._Shelf, "_next", following)  # noqa: SLF001


@fault("PEND-02")
def silent_pending() -> None:
    """A refusal leaves no trace on the Service."""
    real = controller.Controller._tell  # noqa: SLF001

    def tell(self: controller.Controller, about: Any, kind: str, reason: str, message: str) -> None:  # noqa: ANN401
        if kind != "Warning":
            real(self, about, kind, reason, message)

    _set(controller.Controller, "_tell", tell)


@fault("PEND-03a")
def nobody_is_woken() -> None:
    """An address that becomes free waits for a restart to be given again."""
    _set(controller.Controller, "_wake", lambda *_: None)


@fault("PEND-04a")
def deaf_to_pools() -> None:
    """Services that wait are not looked at when a pool comes."""
    real = controller.Controller._pools_changed  # noqa: SLF001

    def changed(self: controller.Controller, key: str) -> None:
        waiting, self._waiting = self._waiting, {}
        real(self, key)
        self._waiting = waiting

    _set(controller.Controller, "_pools_changed", changed)


@fault("REQ-01a")
def deaf_to_requests() -> None:
    """Whatever is asked for, the next free address is given."""
    real = _real(controller, "read_wish")
    _set(controller, "read_wish", lambda key, service: replace(real(key, service), asked=None))


@fault("REQ-02")
def gives_what_is_in_no_pool() -> None:
    """An address outside every pool is given to who asks for it."""
    real = allocate.Ledger._asked  # noqa: SLF001

    def asked(self: allocate.Ledger, wish: allocate.Wish, ip: IP) -> IP:
        return ip if self.pool_of(ip) is None else real(self, wish, ip)

    _set(allocate.Ledger, "_asked", asked)


@fault("REQ-03")
def gives_what_another_holds() -> None:
    """An address that another Service holds is given to who asks for it."""
    real = allocate.Ledger._asked  # noqa: SLF001

    def asked(self: allocate.Ledger, wish: allocate.Wish, ip: IP) -> IP:
        self.holder.pop(ip, None)
        return real(self, wish, ip)

    _set(allocate.Ledger, "_asked", asked)


@fault("RECL-01a")
def never_reclaimed() -> None:
    """What a deleted Service held is never given again."""
    _set(allocate.Ledger, "release", lambda *_: None)


@fault("RECL-03")
def answers_for_what_was_released() -> None:
    """A speaker goes on answering for an address that was taken back."""
    real = _real(segment, "plan")

    def keep(view: plan.View) -> Any:  # noqa: ANN401
        return replace(real(view), withdraw=())

    _set(segment, "plan", keep)


@fault("CLASS-02a")
def serves_foreign_classes() -> None:
    """A Service of another implementation's class is given an address."""
    for module in (controller, offers):
        _set(module, "is_ours", lambda service, _class: service["spec"].get("type") == "LoadBalancer")


@fault("EVT-01a")
def wrong_event() -> None:
    """The event of an allocation names another address."""
    real = controller.Controller._tell  # noqa: SLF001

    def tell(self: controller.Controller, about: Any, kind: str, reason: str, message: str) -> None:  # noqa: ANN401
        real(self, about, kind, reason, 'Assigned IP ["192.0.2.1"]' if reason == "IPAllocated" else message)

    _set(controller.Controller, "_tell", tell)


@fault("EVT-02a")
def nobody_says_who_announces() -> None:
    """A speaker takes an address without an event."""
    real = speaker.Speaker.__init__

    def init(self: speaker.Speaker, **words: Any) -> None:  # noqa: ANN401
        real(self, **(words | {"took": lambda _service: None}))

    _set(speaker.Speaker, "__init__", init)


@fault("EVT-03c")
def annotation_left_behind() -> None:
    """The annotation that names the pool outlives the address."""
    real = controller.Controller._write  # noqa: SLF001

    async def write(self: controller.Controller, service: Any, *, status: Any, pool: str | None) -> None:  # noqa: ANN401
        if pool is not None:
            await real(self, service, status=status, pool=pool)

    _set(controller.Controller, "_write", write)


@fault("TIER-01")
def not_programmed() -> None:
    """The status says that a proxy forwards (`ipMode: Proxy`), so that kube-proxy serves nobody at the address."""
    real = controller.Controller._write  # noqa: SLF001

    async def write(self: controller.Controller, service: Any, *, status: Any, pool: str | None) -> None:  # noqa: ANN401
        proxied = [{**entry, "ipMode": "Proxy"} for entry in status] if status else status
        await real(self, service, status=proxied, pool=pool)

    _set(controller.Controller, "_write", write)


@fault("FAIL-01")
def no_failover() -> None:
    """A speaker that falls silent is taken for alive."""
    _set(segment.Segment, "bury", lambda *_: [])


@fault("FAIL-04")
def never_yields() -> None:
    """A speaker that comes back takes at once what it may, and keeps it, whoever else claims it."""
    real, init = _real(segment, "plan"), segment.Segment.__init__

    def stubborn(view: plan.View) -> Any:  # noqa: ANN401
        found = real(view)
        return replace(found, withdraw=tuple(a for a in found.withdraw if a not in view.wanted))

    def hasty(self: segment.Segment, *, now: float, **words: Any) -> None:  # noqa: ANN401
        init(self, now=now, **words)
        self.listen_until = now

    _set(segment, "plan", stubborn)
    _set(segment.Segment, "__init__", hasty)


@fault("UPGR-01")
def moved_on_restart() -> None:
    """A controller that starts knows nothing of what was given before."""
    _set(controller.Controller, "_adopt", lambda _self: None)

    def shuffled(self: Any, held: Iterable[IP]) -> IP | None:  # noqa: ANN401
        numbers = [n for block in self.pool.blocks for n in range(block.first, block.last + 1)]
        free = [ip for n in numbers if (ip := to_ip(4, n)) not in held]
        return random.SystemRandom().choice(free) if free else None

    _set(allocate._Shelf, "take", shuffled)  # noqa: SLF001


@fault("CRD-01a")
def says_nothing_of_bad_pools() -> None:
    """A pool that cannot be used is left uncommented."""

    async def nothing(*_: object) -> None:
        return

    _set(controller.Controller, "_say_pool", nothing)
