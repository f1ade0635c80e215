"""Faults that a seventh reader expects, of sentences whose cases were being written at the time."""

from __future__ import annotations

import asyncio
import ipaddress
import random
from typing import TYPE_CHECKING

from tests.mutants.mutant import fault, patch

from lbproof_reference.controller.allocate import ALONE, Allocator, FreeList
from lbproof_reference.controller.leader import LeaderElection
from lbproof_reference.controller.loop import Controller
from lbproof_reference.services import assigned, ingress, ingress_ips, is_managed
from lbproof_reference.speaker.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Collection

    from lbproof_reference.controller.allocate import Sharing
    from lbproof_reference.kube import Kube, Object
    from lbproof_reference.pools import IP
    from lbproof_reference.speaker.heartbeat import Heartbeat
    from lbproof_reference.speaker.plan import Subnet

_DRAWN = 8
"""Free addresses of which one is drawn."""
_JITTER_SECONDS = 0.05
_LEADER = "lbproof-controller"
_LINK_LOCAL = b"\xa9\xfe"
"""First bytes of 169.254.0.0/16 (RFC 3927)."""


def _draw() -> None:
    """Let a pool give one of its lowest free addresses at random, so that no two copies choose alike."""
    real = FreeList.take

    def take(self: FreeList, held: Collection[IP]) -> IP | None:
        found = [ip for _ in range(_DRAWN) if (ip := real(self, held)) is not None]
        chosen = random.choice(found) if found else None  # noqa: S311 - no secret
        for ip in found:
            if ip != chosen:
                self.put_back(int(ip))
        return chosen

    patch(FreeList, "take", take)


def _is_load_balancer(service: Object) -> bool:
    return bool(service["spec"].get("type") == "LoadBalancer")


def _all_lead() -> None:
    """Let each copy of the controller take the Lease for its own."""
    real = LeaderElection.__init__

    def begin(self: LeaderElection, kube: Kube, namespace: str, pod: str, uid: str) -> None:
        real(self, kube, namespace, pod, uid)
        self._identity = _LEADER

    patch(LeaderElection, "__init__", begin)


@fault("UPGR-04b")
def all_copies_have_one_name() -> None:
    """The Lease names the Deployment and not the Pod, so each copy takes it for its own (metallb #140)."""
    _draw()
    _all_lead()


@fault("UPGR-04b")
def what_another_copy_gives_is_not_noted() -> None:
    """Two copies lead; each leaves alone what the other serves, and may give its addresses again (metallb #2629)."""
    _draw()
    _all_lead()
    real = Controller._reconcile  # noqa: SLF001 - patched

    async def reconcile(self: Controller, key: str) -> None:
        await asyncio.sleep(random.uniform(0, _JITTER_SECONDS))  # noqa: S311 - no secret
        service = self._objects("Service").get(key)
        shown = ingress_ips(service) if service and is_managed(service, self._class) else []
        own = [str(one.ip) for one in self._allocator.allocations().get(key, ())]
        if service and shown and assigned(service)[0] == ",".join(shown) and set(shown) != set(own):
            self._allocator.release(key)
            self._pending.discard(key)
            return
        await real(self, key)

    patch(Controller, "_reconcile", reconcile)


@fault("CLASS-04a")
def marks_of_others_are_taken_for_leftovers() -> None:
    """A mark on a LoadBalancer of another class is taken for a leftover, and removed with the status (metallb #2887).

    Only a neighbour that marks its Services with the same annotation is disturbed, as one that is compatible does.
    """
    real = Controller._reconcile  # noqa: SLF001 - patched

    async def reconcile(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        is_foreign = service and _is_load_balancer(service) and not is_managed(service, self._class)
        if service and is_foreign and any(assigned(service)):
            await self._write(key, service, None, None)
        await real(self, key)

    patch(Controller, "_reconcile", reconcile)


@fault("CLASS-04b")
def who_ends_tidies_up_for_all() -> None:
    """A controller that ends empties each status that its own list does not explain (kubernetes #106474)."""
    real = Controller.run

    async def run(self: Controller) -> None:
        try:
            await real(self)
        except asyncio.CancelledError:
            for key, service in list(self._objects("Service").items()):
                if _is_load_balancer(service) and ingress(service) and not self._allocator.allocation_of(key):
                    await self._write(key, service, None, None)
            raise

    patch(Controller, "run", run)


def _are_abroad(allocator: Allocator, key: str, ip: IP, sharing: Sharing) -> bool:
    """Whether all Services that keep one from an address are in other namespaces, and no port is in use."""
    theirs = allocator._sharers.get(ip, {allocator.holder[ip]: ALONE})  # noqa: SLF001 - of the reference
    others = {other: one for other, one in theirs.items() if other != key and sharing.conflict_with(one)}
    is_at_home = any(other.partition("/")[0] == key.partition("/")[0] for other in others)
    return not is_at_home and not any(sharing.ports & one.ports for one in others.values())


@fault("SEC-04b")
def keys_of_another_namespace_allow_all() -> None:
    """A key lets a Service join any address of another namespace, whatever is allowed there (cilium #30055)."""
    real = Allocator.conflict

    def conflict(self: Allocator, key: str, ip: IP, sharing: Sharing) -> str | None:
        why = real(self, key, ip, sharing)
        is_judged = sharing.key or self.holder.get(ip) == key
        return None if why and is_judged and _are_abroad(self, key, ip, sharing) else why

    patch(Allocator, "conflict", conflict)


@fault("SEC-04b")
def permission_is_asked_for_once() -> None:
    """A Service that shares with another namespace is not judged again when one allows it no more (cilium #45819)."""
    real = Allocator.conflict

    def conflict(self: Allocator, key: str, ip: IP, sharing: Sharing) -> str | None:
        why = real(self, key, ip, sharing)
        has_it = ip in self._allocations.get(key, {})
        return None if why and has_it and _are_abroad(self, key, ip, sharing) else why

    patch(Allocator, "conflict", conflict)


@fault("FAIL-11b")
def stations_of_another_subnet_are_not_heard() -> None:
    """A node takes stations without a subnet of its own for another cluster's, and so announces what they do as well.

    Whoever is alone and reaches no address by a subnet announces all of them (metallb #484, purelb #29).
    """
    real = Segment.receive

    def receive(self: Segment, heartbeat: Heartbeat, frame: bytes, now: float) -> bool:
        return not set(self.subnets).isdisjoint(heartbeat.subnets) and real(self, heartbeat, frame, now)

    patch(Segment, "receive", receive)


@fault("FAIL-11b")
def a_link_local_address_is_enough_to_announce() -> None:
    """An interface with an address of 169.254.0.0/16 alone is used, and nobody is heard there (metallb #737, #1809)."""
    real = Segment.receive

    def is_link_local(subnet: Subnet) -> bool:
        return subnet[0].startswith(_LINK_LOCAL) and len(subnet[0]) == 4

    def receive(self: Segment, heartbeat: Heartbeat, frame: bytes, now: float) -> bool:
        return not all(map(is_link_local, self.subnets)) and real(self, heartbeat, frame, now)

    patch(ipaddress.IPv4Network, "is_link_local", False)  # so `links_of` counts it as a subnet
    patch(Segment, "receive", receive)
