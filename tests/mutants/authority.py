"""Faults of what is believed: statuses, annotations, and objects of other namespaces (the reference as it was)."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
from tests.mutants.mutant import fault, patch

from lbproof_reference import retained
from lbproof_reference.controller import allocate
from lbproof_reference.controller import loop as controller
from lbproof_reference.kube import status_code
from lbproof_reference.pools import pool_holding
from lbproof_reference.retained import parse_record
from lbproof_reference.services import assigned, ingress_ips, is_managed
from lbproof_reference.speaker import offers, source
from lbproof_reference.speaker.plan import Allowed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from lbproof_reference.kube import Kube, Object
    from lbproof_reference.pools import IP, Pool
    from lbproof_reference.speaker.plan import Offer

NO_FORGERY = "no case writes such a status or an annotation while the implementation is not there to correct it"
NO_NODE_ADDRESS = "no case has a pool that contains the address of a node"


def reads_addresses_alone() -> None:
    """Compare no more of a status than its addresses."""
    patch(controller, "is_shown", lambda service, ips: ingress_ips(service) == ips)


@fault(
    uncaught="no case writes anything else beside the right address of a status",
    test="test_reconcile.py::test_whatever_else_a_status_says_of_an_address_is_corrected",
)
def leaves_what_else_a_status_says() -> None:
    """A status with the right address is left, whatever mode, ports or host name somebody wrote beside it."""
    reads_addresses_alone()


@fault("L2-04f")
def announces_every_address_of_a_status() -> None:
    """Speakers announce whatever a Service's status shows, in a pool or not."""

    def announceable(
        self: offers.AnnouncementPolicy, _key: str, service: Object, _before: offers.Known | None
    ) -> offers.Known:
        uid = service["metadata"]["uid"]
        if not is_managed(service, self._class):
            return offers.Known(uid=uid)
        ips = map(ipaddress.ip_address, ingress_ips(service))
        some = next(iter(self._pools), "none")
        return offers.Known(uid=uid, pools={ip: pool_holding(ip, self._index) or some for ip in ips})

    patch(offers.AnnouncementPolicy, "announceable", announceable)


@fault(uncaught=NO_FORGERY, test="test_offers.py::test_a_status_that_nothing_explains_changes_nothing")
def forged_status_silences_address() -> None:
    """A status that shows only an address outside all pools ends the announcement of the real address."""
    real = offers.AnnouncementPolicy.announceable

    def announceable(
        self: offers.AnnouncementPolicy, key: str, service: Object, _before: offers.Known | None
    ) -> offers.Known:
        return real(self, key, service, None)

    patch(offers.AnnouncementPolicy, "announceable", announceable)


@fault(uncaught=NO_FORGERY, test="test_offers.py::test_annotations_change_no_offer")
def annotation_decides_on_announcement() -> None:
    """An address is announced only while the Service's annotation names its pool."""
    real = offers.AnnouncementPolicy.announceable

    def announceable(
        self: offers.AnnouncementPolicy, key: str, service: Object, before: offers.Known | None
    ) -> offers.Known:
        known, noted = real(self, key, service, before), assigned(service)[1]
        return replace(known, pools=dict.fromkeys(known.pools, noted) if noted else {})

    patch(offers.AnnouncementPolicy, "announceable", announceable)


@fault(uncaught=NO_NODE_ADDRESS, test="test_offers.py::test_an_address_of_a_node_is_not_announced")
def announces_address_of_node() -> None:
    """Speakers announce the address of a node that a Service's status shows."""
    patch(offers, "node_addresses", lambda *_: frozenset())


@fault(uncaught=NO_NODE_ADDRESS, test="test_allocator.py::test_an_address_of_a_node_is_not_assigned")
def assigns_address_of_node() -> None:
    """The controller assigns the address of a node that is in a pool."""
    real = allocate.Allocator.set_pools

    def set_pools(self: allocate.Allocator, pools: Iterable[Pool], of_nodes: Collection[IP] = ()) -> None:  # noqa: ARG001 - called by name
        real(self, pools)

    patch(allocate.Allocator, "set_pools", set_pools)


@fault(uncaught=NO_FORGERY, test="test_reconcile.py::test_a_status_outside_all_pools_is_not_adopted")
def adopts_status_outside_pools() -> None:
    """A started controller adopts the address of a status that neither a pool nor its record explains."""

    def restore(self: controller.Controller, key: str, text: str, *_: object, in_status: bool) -> None:  # noqa: ARG001 - called by name
        self._allocator.assign(key, ipaddress.ip_address(text), "none")

    patch(controller.Controller, "_restore_address", restore)


@fault(
    uncaught="no case has two Services whose statuses show one address",
    test="test_offers.py::test_of_two_services_the_first_keeps_an_address",
)
def later_service_takes_address() -> None:
    """Of two Services with one address in their statuses, the later one is announced."""
    real = offers.OfferIndex.update

    def update(self: offers.OfferIndex, key: str, found: dict[bytes, Offer]) -> dict[bytes, Offer | None]:
        changes = real(self, key, found)
        return {a: offer and next(reversed(self._for[a].values())) for a, offer in changes.items()}

    patch(offers.OfferIndex, "update", update)


@fault("CRD-03a", "CRD-03b")
def serves_pools_of_other_namespaces() -> None:
    """The controller assigns addresses of pools in every namespace."""
    patch(controller.Controller, "_is_own", lambda *_: True)


@fault("L2-09d")
def merges_advertisements() -> None:
    """Nodes of one advertisement announce through the interfaces of another that selects the same pool."""
    real = offers.AnnouncementPolicy.offers

    def merged(*args: Any) -> dict[bytes, Offer]:  # noqa: ANN401 - the arguments of `offers`
        found = real(*args)
        for address, offer in found.items():
            nodes = frozenset[str]().union(*(one.nodes for one in offer.allowed))
            named = [one.interfaces for one in offer.allowed]
            interfaces = None if None in named else frozenset[str]().union(*(one for one in named if one))
            found[address] = replace(offer, allowed=(Allowed(nodes=nodes, interfaces=interfaces),))
        return found

    patch(offers.AnnouncementPolicy, "offers", merged)


@fault(
    uncaught="no case has the API server reject the write of a status",
    test="test_reconcile.py::test_an_address_is_given_on_only_after_the_former_status_was_written",
)
def reassigns_address_before_status_is_written() -> None:
    """A former address is assigned to a waiting Service while its former holder's status still shows it."""
    real, real_assign = allocate.Allocator.assign, controller.Controller._assign  # noqa: SLF001

    def assign(self: allocate.Allocator, key: str, ip: IP, *more: Any, **named: Any) -> bool:  # noqa: ANN401 - its arguments
        is_assigned = real(self, key, ip, *more, **named)
        self.release(key, {ip})
        return is_assigned

    async def requeue_first(self: controller.Controller, key: str, service: Object, ip: str, pool: str) -> None:
        self._enqueue(self._pending)
        await real_assign(self, key, service, ip, pool)

    patch(allocate.Allocator, "assign", assign)
    patch(controller.Controller, "_assign", requeue_first)


@fault(
    uncaught="no case has the API server reject the write of a status",
    test="test_refused_writes.py::test_addresses_whose_writes_were_refused_are_free",
)
def refused_address_stays_held() -> None:
    """An address whose every write was refused is held by a Service that cannot have it."""
    patch(controller, "_REFUSED", frozenset())


@fault(
    uncaught="no case has the API server reject the write of a status",
    test="test_refused_writes.py::test_an_address_that_may_be_shown_is_held_until_the_service_is_read",
)
def address_of_unknown_outcome_is_free() -> None:
    """An address whose write had an unknown outcome is assigned again, although a status may show it."""
    patch(controller, "_REFUSED", frozenset(range(400, 600)))


@fault(
    uncaught="no case delays a write or a watch between the API server and the implementation",
    test="test_refused_writes.py::test_an_event_older_than_a_write_frees_no_address",
)
def writes_to_versions_not_read() -> None:
    """A status is written to any version of a Service: with an older event or a late write two get one address."""
    real = controller._status_patch  # noqa: SLF001

    def status_patch(service: Object, ip: str | None, pool: str | None) -> Object:
        made = real(service, ip, pool)
        del made["metadata"]["resourceVersion"]
        return made

    patch(controller, "_status_patch", status_patch)


@fault(
    uncaught="no case creates a Service again before the implementation noticed its deletion",
    test="test_reconcile.py::test_a_service_that_is_made_again_does_not_keep_an_address_outside_pools",
)
def keeps_address_of_deleted_service() -> None:
    """A Service that is deleted and created again at once keeps the former one's address, which no speaker believes."""
    real = controller.Controller._service_changed  # noqa: SLF001
    patch(controller.Controller, "_service_changed", lambda self, key, _: real(self, key, None))


@fault(
    uncaught="no case empties a status whose Service requests an address that it cannot have",
    test="test_reconcile.py::test_the_status_of_a_service_whose_request_cannot_be_met_is_restored",
)
def pending_status_not_restored() -> None:
    """An emptied status stays empty while the Service requests an address that it cannot have."""
    real = controller.Controller._assign  # noqa: SLF001

    async def assign(self: controller.Controller, key: str, service: Object, ip: str, pool: str) -> None:
        if key not in self._pending:
            await real(self, key, service, ip, pool)

    patch(controller.Controller, "_assign", assign)


@fault(
    uncaught="no case changes a pool that a Service requests by name",
    test="test_allocator.py::test_a_service_that_names_its_pool_keeps_its_address",
)
def edited_pool_moves_service_that_names_it() -> None:
    """A Service that names its pool loses its address at its next event after the pool was edited."""
    real = allocate.Allocator.allocate

    def allocate_again(self: allocate.Allocator, request: allocate.AddressRequest) -> allocate.Allocation:
        held = self.allocation_of(request.key)
        if held and request.pool and self.pool_of(held.ip) != request.pool:
            self.assign(request.key, self._allocate_any(request))
        return real(self, request)

    patch(allocate.Allocator, "allocate", allocate_again)


@fault(
    uncaught="no case replaces a pool by another one of the same range",
    test="test_reconcile.py::test_annotations_and_events_name_the_pool_that_has_the_address_now",
)
def annotation_names_former_pool() -> None:
    """After a pool was replaced by another one of the same range, annotations name the former one."""
    real, enqueue = controller.Controller._pools_changed, controller.Controller._enqueue  # noqa: SLF001

    def changed(self: controller.Controller, *which: object) -> None:
        patch(self, "_enqueue", lambda keys: enqueue(self, set(keys) & self._pending))
        real(self, *which)
        del self._enqueue

    patch(controller.Controller, "_pools_changed", changed)


@fault("CRD-05a")
def unannounced_address_not_reported() -> None:
    """A Service whose pool no advertisement selects is not told that its address is not announced."""

    async def wait(_: controller.Controller) -> None:
        await asyncio.Event().wait()

    patch(controller.Controller, "_report_unannounced", wait)


@fault(uncaught=NO_FORGERY, test="test_reconcile.py::test_an_older_service_does_not_take_an_address_by_its_status")
def older_service_takes_address_by_status() -> None:
    """A started controller restores addresses by the Services' age: whoever wrote an old status keeps its address."""

    def restore(self: controller.Controller) -> None:
        recorded = parse_record(self._record, self._skip_log)
        services = self._objects("Service")
        for key in self._by_age(services):
            for text in ingress_ips(services[key]) if is_managed(services[key], self._class) else ():
                if self._allocator.allocation_of(key) is None:
                    self._restore_address(key, text, recorded.get(key), in_status=True)
        for key in self._by_age(services):
            noted = assigned(services[key])[0]
            if noted and is_managed(services[key], self._class) and self._allocator.allocation_of(key) is None:
                self._restore_address(key, noted, recorded.get(key), in_status=False)

    patch(controller.Controller, "_restore", restore)


@fault(
    uncaught="no case has the API server reject a request of the implementation",
    test="test_reconcile.py::test_only_an_absent_record_is_an_empty_one",
)
def refused_record_is_empty() -> None:
    """A controller that the API server refuses once at its start (401, 403, 429) replaces the recorded addresses."""
    real = retained.read_record

    async def read_record(kube: Kube, namespace: str, *, required: bool = False) -> dict[str, str]:
        try:
            data: dict[str, str] = (await kube.call("GET", retained.record_path(namespace))).get("data") or {}
        except httpx.HTTPError as error:
            code = status_code(error)
            return {} if code and code < 500 else await real(kube, namespace, required=required)
        return data

    for module in (retained, controller, source):
        patch(module, "read_record", read_record)
