"""Faults about objects: foreign Services (CLASS), Events and annotations (EVT), the NodePort beside (TIER)."""

# ruff: noqa: SLF001 - a fault replaces private functions
from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.mutants.authority import reads_addresses_alone
from tests.mutants.mutant import fault, patch
from tests.mutants.sentences.writes import start, status_path

from lbproof_reference import services
from lbproof_reference.controller import loop as controller
from lbproof_reference.controller.loop import Controller
from lbproof_reference.events import EventRecorder
from lbproof_reference.kube import key_of
from lbproof_reference.pools import parse_ip
from lbproof_reference.services import ALLOCATED, FROM_POOL, OWN_CLASS, annotation, assigned, ingress_ips, is_managed
from lbproof_reference.speaker import offers
from lbproof_reference.speaker.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from lbproof_reference.kube import Object


def _manage(decide: Callable[[Object, str | None], bool]) -> None:
    """Let controller and speakers serve the LoadBalancers that `decide` chooses."""

    def managed(service: Object, lb_class: str | None) -> bool:
        return service["spec"].get("type") == "LoadBalancer" and decide(service, lb_class)

    for module in (controller, offers):
        patch(module, "is_managed", managed)


@fault("CLASS-02a")
def speakers_ignore_class() -> None:
    """Speakers answer for an address of a pool that another controller wrote to a Service of its class."""
    patch(offers, "is_managed", lambda service, _: service["spec"].get("type") == "LoadBalancer")


@fault("CLASS-02b")
def start_empties_foreign_statuses() -> None:
    """When the controller starts, it empties the status of each LoadBalancer of another class."""
    real = Controller._restore

    def restore(self: Controller) -> None:
        real(self)
        for key, service in self._objects("Service").items():
            is_foreign = service["spec"].get("type") == "LoadBalancer" and not is_managed(service, self._class)
            if is_foreign and ingress_ips(service):
                start(self._write(key, service, None, None))

    patch(Controller, "_restore", restore)


@fault("CLASS-02a")
def event_about_foreign_request() -> None:
    """A Service of another class that asks for an address by MetalLB's annotation gets an Event that it is ignored."""
    real = Controller._reconcile
    reported: set[str] = set()

    async def reconcile(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if service and service["spec"].get("loadBalancerClass") and not is_managed(service, self._class):
            uid = service["metadata"]["uid"]
            if uid not in reported and annotation(service, "loadBalancerIPs"):
                reported.add(uid)
                self._recorder.event(service, "Normal", "Ignored", "the request is not for this class")
        await real(self, key)

    patch(Controller, "_reconcile", reconcile)


@fault("CLASS-01c")
def annotation_claims_service_without_class() -> None:
    """With a class configured, a Service without one is served if it has one of MetalLB's annotations."""

    def decide(service: Object, lb_class: str | None) -> bool:
        asks = annotation(service, "loadBalancerIPs") or annotation(service, "address-pool")
        return is_managed(service, lb_class) or bool(lb_class and asks and not service["spec"].get("loadBalancerClass"))

    _manage(decide)


@fault("CLASS-02a")
def class_compared_by_prefix() -> None:
    """A Service is served whose class begins with the own one: lbproof.dev/reference-2 is taken for the own class."""

    def decide(service: Object, lb_class: str | None) -> bool:
        asked = service["spec"].get("loadBalancerClass") or ""
        return is_managed(service, lb_class) or asked.startswith(lb_class or OWN_CLASS)

    _manage(decide)


def _is_of_another(service: Object, lb_class: str | None) -> bool:
    """Whether a Service is a LoadBalancer of a class that another implementation serves."""
    spec = service["spec"]
    return bool(spec.get("type") == "LoadBalancer" and spec.get("loadBalancerClass")) and not is_managed(
        service, lb_class
    )


@fault("CLASS-04a")
def serves_all_but_the_first_of_another_class() -> None:
    """The first Service of a class that another implementation serves is left alone, and each later one is served."""
    first: dict[str, str] = {}

    def decide(service: Object, lb_class: str | None) -> bool:
        asked, uid = service["spec"].get("loadBalancerClass"), service["metadata"]["uid"]
        return is_managed(service, lb_class) or bool(asked and first.setdefault(asked, uid) != uid)

    _manage(decide)


@fault("CLASS-04a")
def announces_all_but_the_first_of_another_class() -> None:
    """Speakers answer for what another implementation has written to each Service of its class but the first."""
    real = offers.AnnouncementPolicy.announceable
    first: dict[str, str] = {}

    def announceable(
        self: offers.AnnouncementPolicy, key: str, service: Object, before: offers.Known | None
    ) -> offers.Known:
        uid = service["metadata"]["uid"]
        if not _is_of_another(service, self._class) or not ingress_ips(service):
            return real(self, key, service, before)
        if first.setdefault(service["spec"]["loadBalancerClass"], uid) == uid:
            return offers.Known(uid=uid)
        some = next(iter(self._pools), "none")
        return offers.Known(uid=uid, pools={parse_ip(text): some for text in ingress_ips(service)})

    patch(offers.AnnouncementPolicy, "announceable", announceable)


def _at_its_end(clean_up: Callable[[Controller, Object], Coroutine[Any, Any, object]]) -> None:
    """Let a controller that ends do something to each LoadBalancer of another class but the oldest one."""
    real = Controller.run

    async def run(self: Controller) -> None:
        try:
            await real(self)
        finally:
            known = self._objects("Service")
            others = [key for key in self._by_age(known) if _is_of_another(known[key], self._class)]
            for key in others[1:]:
                await clean_up(self, known[key])

    patch(Controller, "run", run)


@fault("CLASS-04b")
def end_empties_statuses_of_another_class() -> None:
    """When the controller ends, it empties the statuses of LoadBalancers of another class, but the oldest one's."""
    body = {"status": {"loadBalancer": {"ingress": None}}}
    _at_its_end(lambda self, service: self._kube.call("PATCH", status_path(service), body))


@fault("CLASS-04b")
def end_removes_finalizers_of_another_class() -> None:
    """When the controller ends, it removes the finalizers of LoadBalancers of another class, but the oldest one's."""
    body = {"metadata": {"finalizers": None}}
    _at_its_end(lambda self, service: self._kube.call("PATCH", status_path(service).removesuffix("/status"), body))


@fault("EVT-01a")
def events_about_former_namesake() -> None:
    """Events about a Service that was created again carry the uid of the first one: describe does not show them."""
    real = EventRecorder.event
    uids: dict[str, str] = {}

    def event(self: EventRecorder, about: Object, kind: str, reason: str, message: str) -> None:
        uid = uids.setdefault(key_of(about), about["metadata"]["uid"])
        real(self, {**about, "metadata": {**about["metadata"], "uid": uid}}, kind, reason, message)

    patch(EventRecorder, "event", event)


@fault("EVT-01b")
def first_cause_of_refusal_stays() -> None:
    """When a Service that was refused is refused for another cause, no Event names the new one."""
    real = Controller._mark_pending
    causes: dict[str, str] = {}

    async def mark_pending(self: Controller, key: str, service: Object, reason: str) -> None:
        await real(self, key, service, causes.setdefault(service["metadata"]["uid"], reason))

    patch(Controller, "_mark_pending", mark_pending)


@fault("EVT-02a")
def node_named_once_per_service() -> None:
    """A node says once that it announces a Service, and nothing when the address comes back to it."""
    real = Source.record_announcement
    named: set[str] = set()

    def record(self: Source, service: str) -> None:
        if service not in named:
            named.add(service)
            real(self, service)

    patch(Source, "record_announcement", record)


@fault("EVT-02a")
def node_named_once_in_half_a_second() -> None:
    """A node that gets several addresses at once names itself on the first of their Services alone."""
    real = Source.record_announcement
    last = -1.0

    def record(self: Source, service: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 0.5:
            last = now
            real(self, service)

    patch(Source, "record_announcement", record)


@fault("EVT-03c")
def pool_annotation_stays_on_node_port() -> None:
    """A Service that becomes a NodePort keeps the annotation with the pool; one that becomes a ClusterIP does not."""
    real = Controller._reconcile
    body = {"metadata": {"annotations": {ALLOCATED: None}}, "status": {"loadBalancer": {"ingress": None}}}

    async def reconcile(self: Controller, key: str) -> None:
        service = self._objects("Service").get(key)
        if service and service["spec"].get("type") == "NodePort" and any(assigned(service)):
            if assigned(service)[0]:
                await self._kube.call("PATCH", status_path(service), body)
            self._pending.discard(key)
            self._release(key)
        else:
            await real(self, key)

    patch(Controller, "_reconcile", reconcile)


@fault("EVT-03b")
def pool_annotation_stays_for_requested_address() -> None:
    """When a Service asks for an address of another pool, the annotation names the pool of its first address."""
    real = Controller._assign
    first: dict[str, str | None] = {}

    async def assign(self: Controller, key: str, service: Object, ip: str, pool: str | None) -> None:
        asks = annotation(service, "loadBalancerIPs") or service["spec"].get("loadBalancerIP")
        before = first.setdefault(service["metadata"]["uid"], pool)
        await real(self, key, service, ip, before if asks else pool)

    patch(Controller, "_assign", assign)


@fault("TIER-02a")
def requested_address_has_mode_proxy() -> None:
    """A requested address has the mode Proxy (KEP-1860), so that kube-proxy does not serve it; others have VIP."""
    real = Controller._write

    async def write(self: Controller, key: str, service: Object, ip: str | None, pool: str | None) -> None:
        asks = annotation(service, "loadBalancerIPs") or service["spec"].get("loadBalancerIP")
        patch(services, "_IP_MODE", "Proxy" if asks else "VIP")  # read before the first suspension
        await real(self, key, service, ip, pool)

    patch(Controller, "_write", write)
    reads_addresses_alone()


@fault("TIER-05b")
def annotates_node_ports_of_namespace() -> None:
    """When a LoadBalancer gets its address, each NodePort Service of its namespace gets an empty pool annotation."""
    real = Controller._assign
    body = {"metadata": {"annotations": {FROM_POOL: ""}}}

    async def assign(self: Controller, key: str, service: Object, ip: str, pool: str | None) -> None:
        await real(self, key, service, ip, pool)
        for other, one in list(self._objects("Service").items()):
            same = other.partition("/")[0] == key.partition("/")[0]
            if same and one["spec"].get("type") == "NodePort" and assigned(one)[1] is None:
                await self._kube.call("PATCH", status_path(one), body)

    patch(Controller, "_assign", assign)
