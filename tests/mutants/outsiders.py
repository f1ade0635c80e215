"""Faults that hosts on the segment, tenants and those who may write statuses can use."""

from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from tests.mutants.mutant import fault, patch

from lbproof_reference import advertisements, frames
from lbproof_reference.controller import allocate
from lbproof_reference.controller import loop as controller
from lbproof_reference.services import OWN_CLASS, ingress_ips
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker import offers, plan, source, wire

if TYPE_CHECKING:
    from lbproof_reference.frames import ArpFrame
    from lbproof_reference.kube import Object

ACCEPT = ((0x06, 0, 0, 0xFFFF),)
"""Classic BPF program that accepts every frame."""


@fault("L2-05a")
def answers_whatever_names_an_address() -> None:
    """A speaker answers replies, and requests that are for another hardware address."""
    patch(wire, "arp_filter", lambda *_: ACCEPT)
    patch(frames.ArpFrame, "needs_reply", property(lambda arp: arp.sender != arp.target))


@fault("L2-05b")
def answers_malformed_frames() -> None:
    """A speaker reads addresses where they are in ARP for IPv4, and no other field."""
    patch(wire, "arp_filter", lambda *_: ACCEPT)

    def read(frame: bytes) -> ArpFrame | None:
        if len(frame) < frames.FRAME_BYTES:
            return None
        *_, mac, sender, _, target = frames.ARP.unpack_from(frame, frames.ETHERNET.size)
        return frames.ArpFrame(op=frames.REQUEST, mac=mac, sender=sender, target=target)

    patch(speaker, "read_arp", read)


@fault("TIER-01", "TIER-04")
def answers_each_host_once() -> None:
    """A host that asks for an address again, since it forgot the answer, gets none."""
    asked: set[tuple[bytes, bytes]] = set()
    real = frames.read_arp

    def read(frame: bytes) -> ArpFrame | None:
        arp = real(frame)
        if arp is None or (arp.mac, arp.target) in asked:
            return None
        asked.add((arp.mac, arp.target))
        return arp

    patch(speaker, "read_arp", read)


@fault("L2-05c", "L2-05d")
def gives_in_to_another_host() -> None:
    """An address that another host announces is left to it, without a word."""
    patch(speaker.SegmentSpeaker, "_defend", lambda *_: None)


@fault("CLASS-03b")
def never_takes_what_was_foreign() -> None:
    """A Service that once had another class is ignored for ever."""
    foreign = set[str]()
    for module in (controller, offers):
        real = module.is_managed

        def is_managed(service: Object, lb_class: str | None, real: Any = real) -> bool:  # noqa: ANN401
            if service["spec"].get("loadBalancerClass") not in {None, OWN_CLASS, lb_class}:
                foreign.add(service["metadata"]["uid"])
            return service["metadata"]["uid"] not in foreign and bool(real(service, lb_class))

        patch(module, "is_managed", is_managed)


@fault("SEC-02a", "SEC-02b", "SEC-02c")
def leaves_a_status_that_is_not_empty() -> None:
    """A status that shows some address is never written, whoever wrote it."""
    real = controller.Controller._write  # noqa: SLF001 - a fault replaces private functions

    async def write(self: controller.Controller, key: str, service: Object, ip: str | None, pool: str | None) -> None:
        if not ingress_ips(service) or service["spec"].get("type") != "LoadBalancer":
            await real(self, key, service, ip, pool)

    patch(controller.Controller, "_write", write)


@fault("SEC-03")
def announces_external_addresses() -> None:
    """Speakers also announce the addresses in spec.externalIPs of Services."""
    real = offers.AnnouncementPolicy.announceable

    def announceable(
        self: offers.AnnouncementPolicy, key: str, service: Object, before: offers.Known | None
    ) -> offers.Known:
        known = real(self, key, service, before)
        pool = next(iter(self._pools), "")
        external = {ip_address(text): pool for text in service["spec"].get("externalIPs") or []}
        return replace(known, pools={**known.pools, **external})

    patch(offers.AnnouncementPolicy, "announceable", announceable)


@fault("SEC-04a")
def requests_pass_the_fences() -> None:
    """A pool that is for some Services also serves those that ask for one of its addresses or name it."""
    real = allocate.Allocator.allows

    def allows(self: allocate.Allocator, pool: str, request: allocate.AddressRequest) -> bool:
        return bool(request.requested_ip or request.pool) or real(self, pool, request)

    patch(allocate.Allocator, "allows", allows)


@fault("SEC-05a")
def truncated_frame_ends_the_speaker() -> None:
    """A speaker receives every ARP frame, and ends when one is too short."""
    patch(wire, "arp_filter", lambda *_: ACCEPT)
    real = frames.read_arp

    def read(frame: bytes) -> ArpFrame | None:
        if len(frame) < frames.FRAME_BYTES:
            raise ValueError(frame)
        return real(frame)

    patch(speaker, "read_arp", read)


@fault("SEC-06")
def control_character_ends_the_controller() -> None:
    """The controller ends when an annotation of a Service has a control character."""
    real = allocate.read_address_request

    def read(key: str, service: Object) -> Any:  # noqa: ANN401
        if any("\x1b" in value for value in (service["metadata"].get("annotations") or {}).values()):
            os._exit(70)
        return real(key, service)

    patch(controller, "read_address_request", read)


@fault("L2-08a")
def announces_on_the_first_interface() -> None:
    """Whatever interfaces an advertisement names, its addresses are announced on the first one of a node."""

    def allows(self: plan.Offer, node: str, interface: str, *, reaches: bool = True) -> bool:
        return interface == "eth0" and any(node in one.nodes and reaches for one in self.allowed)

    patch(plan.Offer, "allows", allows)


@fault("L2-08b")
def announces_on_every_interface() -> None:
    """The interfaces that an advertisement names are not looked at."""

    def allows(self: plan.Offer, node: str, _interface: str, *, reaches: bool = True) -> bool:
        return any(node in one.nodes and reaches for one in self.allowed)

    patch(plan.Offer, "allows", allows)


@fault("L2-09a", "L2-09b")
def announces_on_every_node() -> None:
    """The nodes that an advertisement selects are not looked at."""
    patch(advertisements.Advertisement, "selects_node", lambda *_: True)


@fault("L2-09c")
def changed_advertisement_is_not_read() -> None:
    """An advertisement is read when it is new, and not when it has changed."""
    real = source.Source._policy_changed  # noqa: SLF001

    def policy_changed(self: source.Source, _key: str = "", before: Object | None = None) -> None:
        if not (before and "ipAddressPools" in before["spec"]):
            real(self)

    patch(source.Source, "_policy_changed", policy_changed)
