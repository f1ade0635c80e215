"""Faults that a fifth reader of the requirements' sentences thought of, who had seen neither checks nor other faults.

Each breaks its sentence in some circumstances alone: in one order of events, for one of several, for one way to ask.
"""
# ruff: noqa: SLF001 - a fault replaces what is private

from __future__ import annotations

import asyncio
import ipaddress
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.mutants.authority import reads_addresses_alone
from tests.mutants.data_path import IPTABLES
from tests.mutants.mutant import fault, patch

from lbproof_reference.controller import loop as controller_loop
from lbproof_reference.controller.allocate import ALONE, AddressRequest, Allocation, Allocator, Sharing
from lbproof_reference.controller.loop import Controller
from lbproof_reference.frames import ETHERNET, IPV6, NDP, SOLICITATION, NdpFrame, read_ndp
from lbproof_reference.kube import SERVICES
from lbproof_reference.nodes import may_announce
from lbproof_reference.pools import parse_ip
from lbproof_reference.services import FROM_POOL, assigned, ingress_ips, is_managed
from lbproof_reference.speaker import loop as speaker_loop
from lbproof_reference.speaker import offers as speaker_offers
from lbproof_reference.speaker import segment as speaker_segment
from lbproof_reference.speaker.offers import AnnouncementPolicy, Known, service_of
from lbproof_reference.speaker.plan import plan
from lbproof_reference.speaker.source import SLICES, Source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP, Pool
    from lbproof_reference.retained import Retained
    from lbproof_reference.speaker.plan import Offer, Plan, SegmentView

_UNSPECIFIED = bytes(16)
_ATTEMPT_SECONDS = 15.0


@fault("DUAL-03b")
def second_family_only_with_new_pool() -> None:
    """A Service with one of two families gets the other with a new pool, not with a freed address (metallb #1776)."""
    original = Controller._release

    def release(self: Controller, key: str, keep: Iterable[IP] = ()) -> None:
        pending = self._pending
        self._pending = {one for one in pending if self._allocator.allocation_of(one) is None}
        try:
            original(self, key, keep)
        finally:
            self._pending = pending

    patch(Controller, "_release", release)


@fault("L2-11a")
def solicitations_of_routers_ignored() -> None:
    """Solicitations from link-local addresses, as a router sends them, are not answered (cilium #43774)."""
    needs_reply = NdpFrame.needs_reply

    def is_answered(self: NdpFrame) -> bool:
        return needs_reply.__get__(self) and not ipaddress.IPv6Address(self.source).is_link_local

    patch(NdpFrame, "needs_reply", property(is_answered))


@fault("L2-12b")
def probes_with_nonce_ignored() -> None:
    """A probe with any option is invalid, so that the nonce of RFC 7527, as Linux sends it, hides it (opte #265)."""

    def read(frame: bytes) -> NdpFrame | None:
        found = read_ndp(frame)
        if found and found.kind == SOLICITATION and found.source == _UNSPECIFIED:
            _, length, *_ = IPV6.unpack_from(frame, ETHERNET.size)
            return found if length == NDP.size else None
        return found

    patch(speaker_loop, "read_ndp", read)


@fault("SHARE-02a")
def ports_noted_when_sharing_begins() -> None:
    """The ports of a Service that shares are noted with its address and never again (cilium #34783)."""
    original = Allocator.assign

    def assign(self: Allocator, key: str, ip: IP, pool: str = "", sharing: Sharing = ALONE) -> bool:
        noted = self._sharers.get(ip, {}).get(key)
        is_assigned = original(self, key, ip, pool, sharing)
        if is_assigned and noted and noted.key == sharing.key:
            self._sharers[ip][key] = noted
        return is_assigned

    patch(Allocator, "assign", assign)


@fault("SHARE-04")
def edited_sharer_counted_twice() -> None:
    """A Service whose ports change while it shares counts twice, so its address is never free (as cilium #34106)."""
    too_many = set[Any]()
    assign_original, release_original = Allocator.assign, Allocator.release

    def assign(self: Allocator, key: str, ip: IP, pool: str = "", sharing: Sharing = ALONE) -> bool:
        sharers = self._sharers.get(ip, {})
        is_edited = len(sharers) > 1 and key in sharers and sharers[key] != sharing
        is_assigned = assign_original(self, key, ip, pool, sharing)
        if is_assigned and is_edited:
            too_many.add(ip)
        return is_assigned

    def release(self: Allocator, key: str, keep: Collection[IP] = ()) -> list[IP]:
        released = release_original(self, key, keep)
        for ip in released:
            if ip in too_many:
                self.holder.setdefault(ip, key)
        return released

    patch(Allocator, "assign", assign)
    patch(Allocator, "release", release)


@fault("ETP-05a")
def endpoints_of_last_local_time() -> None:
    """Endpoints are followed only while the policy is Local: next time, those of the last time count (metallb #263)."""
    noted: dict[str, list[Object]] = {}
    slice_changed_original, offers_original = Source._slice_changed, AnnouncementPolicy.offers

    def slice_changed(self: Source, key: str, before: Object | None) -> None:
        for piece in filter(None, (before, self._informers[SLICES].objects.get(key))):
            service = self._informers[SERVICES].objects.get(service_of(piece))
            if service is None or service["spec"].get("externalTrafficPolicy") == "Local":
                noted.pop(service_of(piece), None)
        slice_changed_original(self, key, before)

    def offers(
        self: AnnouncementPolicy, key: str, service: Object, known: Known, slices: Iterable[Object]
    ) -> dict[bytes, Offer]:
        if service["spec"].get("externalTrafficPolicy") == "Local":
            slices = noted.setdefault(key, list(slices))
        return offers_original(self, key, service, known, slices)

    patch(Source, "_slice_changed", slice_changed)
    patch(AnnouncementPolicy, "offers", offers)


@fault("TIER-09a")
def first_source_range_counts() -> None:
    """Of several source ranges of IPv4, the first alone is let through by a second filter (kubernetes #109575)."""
    original = Source._offers
    rules: dict[str, set[tuple[str, str]]] = {}
    one_by_one = ThreadPoolExecutor(1)

    def iptables(action: str, address: str, source: str) -> None:
        match = ["-d", address, "!", "-s", source, "-j", "DROP"]
        command = [os.environ.get(IPTABLES, "iptables"), "-w", "-t", "mangle", action, "PREROUTING", *match]
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(command, check=False, timeout=10)

    def wanted(self: Source, key: str) -> set[tuple[str, str]]:
        service = self._informers[SERVICES].objects.get(key)
        texts = (service and service["spec"].get("loadBalancerSourceRanges")) or []
        ranges = list[str]()
        for text in texts:
            with suppress(ValueError, TypeError, AttributeError):
                ranges.append(str(ipaddress.IPv4Network(text.strip(), strict=False)))
        if len(ranges) < 2 or key not in self._known:
            return set()
        return {(str(ip), ranges[0]) for ip in self._known[key].pools if ip.version == 4}

    def offers(self: Source, key: str) -> dict[bytes, Offer]:
        found = original(self, key)
        before, now = rules.pop(key, set()), wanted(self, key)
        if now:
            rules[key] = now
        for action, changed in (("-D", before - now), ("-I", now - before)):
            for address, source in changed:
                one_by_one.submit(iptables, action, address, source)
        return found

    patch(Source, "_offers", offers)


@fault("SEC-04a")
def sharing_key_opens_restricted_pool() -> None:
    """A sharing key joins Services of all pools, also of one restricted to another namespace (cilium PR #48867)."""
    original = Allocator._allocate_any

    def allocate_any(self: Allocator, request: AddressRequest) -> IP:
        if request.sharing.key and request.pool is None:
            shared = self._shared_by_key(request, list(self._pools))
            if shared is not None:
                return shared
        return original(self, request)

    patch(Allocator, "_allocate_any", allocate_any)


@fault("SEC-06")
def freed_address_offered_to_oldest_alone() -> None:
    """A freed address is offered to the oldest Service that waits; if that cannot use it, to nobody (metallb #321)."""
    original = Controller._release

    def release(self: Controller, key: str, keep: Iterable[IP] = ()) -> None:
        pending = self._pending
        self._pending = set(self._by_age(pending - {key})[:1])
        try:
            original(self, key, keep)
        finally:
            self._pending = pending

    patch(Controller, "_release", release)


@fault("CLASS-03b")
def speaker_remembers_foreign_class() -> None:
    """A Service that a speaker saw with a foreign class is never announced, as its owner is cached (KEP-1959)."""
    original = AnnouncementPolicy.announceable
    foreign = set[str]()

    def announceable(self: AnnouncementPolicy, key: str, service: Object, before: Known | None) -> Known:
        uid = service["metadata"]["uid"]
        if service["spec"].get("type") == "LoadBalancer" and not is_managed(service, self._class):
            foreign.add(uid)
        return Known(uid=uid) if uid in foreign else original(self, key, service, before)

    patch(AnnouncementPolicy, "announceable", announceable)


@fault("FAIL-09b")
def cordon_counts_with_next_change() -> None:
    """A cordoned node loses its addresses with the next change of a pool or of a node (metallb #2470)."""

    def is_schedulable(node: Object, *, ignore_exclude: bool = False) -> bool:
        return may_announce(node, ignore_exclude=ignore_exclude) and not (node.get("spec") or {}).get("unschedulable")

    patch(speaker_offers, "may_announce", is_schedulable)


@fault(
    uncaught="no sentence says that a node which dies while the API server is away is replaced",
    test="test_handover.py::test_a_station_with_an_outdated_list_takes_over_from_one_that_dies",
)
def no_takeover_without_api_server() -> None:
    """A station that is cut from the API server takes nothing over from one that dies (kube-vip #732, #475)."""

    def without_takeovers(view: SegmentView) -> Plan:
        found = plan(view)
        return replace(found, acquire={}) if view.outdated else found

    patch(speaker_segment, "plan", without_takeovers)


@fault("UPGR-04a")
def unconfirmed_statuses_in_their_turn() -> None:
    """At a first start, an older Service that waits is served before a younger one's status counts (metallb #2443)."""
    restore_original, address_original = Controller._restore, Controller._restore_address
    reconcile_original = Controller._reconcile
    unread = set[str]()

    def restore(self: Controller) -> None:
        unread.update(self._objects("Service"))
        restore_original(self)

    def restore_address(
        self: Controller, key: str, text: str, recorded: tuple[Retained, ...] | None, *, in_status: bool
    ) -> None:
        noted = (assigned(self._objects("Service")[key])[0] or "").split(",")
        if text in noted or recorded:
            address_original(self, key, text, recorded, in_status=in_status)

    async def reconcile(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if key in unread and service and is_managed(service, self._class):
            for text in ingress_ips(service):
                with suppress(TypeError, ValueError):
                    if self._allocator.allocation_of(key, parse_ip(text).version) is None:
                        address_original(self, key, text, None, in_status=True)
        unread.discard(key)
        await reconcile_original(self, key)

    patch(Controller, "_restore", restore)
    patch(Controller, "_restore_address", restore_address)
    patch(Controller, "_reconcile", reconcile)


@fault("EVT-05")
def status_names_ports_of_assignment() -> None:
    """The ports in a status are those at the assignment, and stay when the ports of the spec change (KEP-1435)."""
    original = controller_loop._status_patch

    def status_patch(service: Object, ip: str | None, pool: str | None) -> Object:
        made = original(service, ip, pool)
        for entry in made["status"]["loadBalancer"]["ingress"] or []:
            entry["ports"] = [
                {"port": port["port"], "protocol": port.get("protocol", "TCP")}
                for port in service["spec"].get("ports") or []
            ]
        return made

    patch(controller_loop, "_status_patch", status_patch)
    reads_addresses_alone()


@fault("EVT-07a")
def attempts_noted_on_waiting_service() -> None:
    """The time of each attempt is written to a Service that waits, every 15 s (metallb #430, #3135)."""
    original = Controller._mark_pending
    last: dict[str, float] = {}

    async def mark_pending(self: Controller, key: str, service: Object, reason: str) -> None:
        await original(self, key, service, reason)
        meta, now = service["metadata"], time.monotonic()
        if self._allocator.allocation_of(key) or now - last.get(meta["uid"], -_ATTEMPT_SECONDS) < _ATTEMPT_SECONDS:
            return
        last[meta["uid"]] = now
        asyncio.get_running_loop().call_later(_ATTEMPT_SECONDS, self._queue.add, ("Service", key))
        path = f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status"
        note = {
            FROM_POOL: f"none at {datetime.now(UTC):%H:%M:%S}"
        }  # an annotation that it may write; it is removed again
        await self._kube.call("PATCH", path, {"metadata": {"uid": meta["uid"], "annotations": note}})

    patch(Controller, "_mark_pending", mark_pending)


@fault("POOL-06")
def shared_address_counted_per_service() -> None:
    """A shared address counts as often as it has Services, where addresses are asked for (metallb #1638)."""
    original = Allocator.usage

    def usage(self: Allocator) -> dict[str, dict[str, int]]:
        found = original(self)
        for ip, sharers in self._sharers.items():
            if (name := self.pool_holding(ip)) and len(sharers) > 1:
                found[name][f"assignedIPv{ip.version}"] += len(sharers) - 1
                left = found[name][f"availableIPv{ip.version}"] - len(sharers) + 1
                found[name][f"availableIPv{ip.version}"] = max(left, 0)
        return found

    patch(Allocator, "usage", usage)


@fault("CRD-04a")
def deleted_pool_forgets_its_services() -> None:
    """With its pool, an address is forgotten that a status has, and the next pool gives it again (metallb #1591)."""
    original = Allocator.set_pools

    def set_pools(self: Allocator, pools: Iterable[Pool], of_nodes: Collection[IP] = ()) -> None:
        original(self, pools, of_nodes)
        for key, found in list(self._allocations.items()):
            for ip in [one for one in found if self.pool_holding(one) is None]:
                del found[ip]
                self.holder.pop(ip, None)
                self._sharers.pop(ip, None)
            if not found:
                del self._allocations[key]

    patch(Allocator, "set_pools", set_pools)


@fault("REQ-05b")
def request_removed_in_reserved_pool() -> None:
    """A Service that no longer asks leaves a pool that is not assigned from by itself (metallb #703)."""
    original = Allocator.allocate

    def allocate(self: Allocator, request: AddressRequest) -> Allocation:
        held = self.allocation_of(request.key, request.family)
        asks = request.requested_ip is not None or request.pool is not None
        if held is None or asks or held.pool not in self._pools or held.pool in self._eligible(request):
            return original(self, request)
        ip = self._allocate_any(request)
        self.assign(request.key, ip, sharing=request.sharing)
        return Allocation(ip=ip, pool=self._allocations[request.key][ip])

    patch(Allocator, "allocate", allocate)


@fault("RECL-06a")
def annotation_reserves_after_restart() -> None:
    """A Service that left its type while no controller ran keeps its annotated address from others (metallb #190)."""
    restore_original, reconcile_original = Controller._restore, Controller._reconcile
    kept: dict[str, str] = {}

    def restore(self: Controller) -> None:
        restore_original(self)
        for key, service in self._objects("Service").items():
            noted = (assigned(service)[0] or "").split(",")
            if service["spec"].get("type") != "LoadBalancer" and any(noted):
                for text in noted:
                    with suppress(TypeError, ValueError):
                        if self._allocator.pool_of(parse_ip(text)) and self._allocator.assign(key, parse_ip(text)):
                            kept[key] = service["metadata"]["resourceVersion"]

    async def reconcile(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if service is None or service["metadata"]["resourceVersion"] != kept.get(key):
            kept.pop(key, None)
            await reconcile_original(self, key)

    patch(Controller, "_restore", restore)
    patch(Controller, "_reconcile", reconcile)


@fault("L2-09c")
def changed_selectors_for_new_services() -> None:
    """A changed L2Advertisement counts for a Service with the Service's own next change (as metallb #348 of pools)."""
    original = Source._policy_changed

    def policy_changed(self: Source, *change: Any) -> None:  # noqa: ANN401 - key and object of before, or nothing
        key, before = change or (None, None)
        if before and key in self._informers[self._advertisements_path].objects:
            self._policy = None
        else:
            original(self, *change)

    patch(Source, "_policy_changed", policy_changed)
