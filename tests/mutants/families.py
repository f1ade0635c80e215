"""Faults of IPv6: neighbour discovery, and Services of both families."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

from tests.mutants.mutant import fault, patch

from lbproof_reference import frames
from lbproof_reference.controller import allocate
from lbproof_reference.controller import loop as controller
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker import wire

if TYPE_CHECKING:
    from lbproof_reference.controller.allocate import AddressRequest, Allocation, Allocator
    from lbproof_reference.frames import NdpFrame


@fault("L2-11a")
def answers_solicitations_without_the_solicited_flag() -> None:
    """The advertisement that answers a solicitation looks like one that nobody asked for."""
    real = frames._advertisement  # noqa: SLF001 - patched

    def ndp_reply(asked: NdpFrame, mac: bytes) -> bytes:
        if asked.source == bytes(16):
            return frames.announcements(asked.target, mac)[0]
        return real(to=asked.mac, mac=mac, destination=asked.source, flags=0, target=asked.target)

    patch(speaker, "ndp_reply", ndp_reply)


@fault("L2-11b")
def joins_no_groups() -> None:
    """A speaker does not join the solicited-node groups of the addresses that it announces."""
    patch(wire.Groups, "join", lambda _self, _addresses: None)


@fault("L2-12a")
def answers_solicitations_by_multicast_alone() -> None:
    """A solicitation that is sent to the node itself is not answered: no host can confirm an entry."""
    real = frames.read_ndp
    patch(speaker, "read_ndp", lambda frame: real(frame) if frame[:2] == b"\x33\x33" else None)


@fault("L2-12b")
def leaves_duplicate_address_probes_unanswered() -> None:
    """A host that is about to take an assigned address gets no answer, and takes it."""
    real = frames.read_ndp

    def read_ndp(frame: bytes) -> NdpFrame | None:
        found = real(frame)
        return None if found and found.source == bytes(16) else found

    patch(speaker, "read_ndp", read_ndp)


@fault("DUAL-01")
def takes_every_service_for_one_of_ipv4() -> None:
    """A Service of IPv6 alone is given an IPv4 address."""
    for module in (allocate, controller):
        patch(module, "families", lambda _service: [4])


@fault("DUAL-02a")
def gives_the_first_family_alone() -> None:
    """A Service of both families is given an address of the one that it names first."""
    for module in (allocate, controller):
        real = module.families
        patch(module, "families", lambda service, real=real: real(service)[:1])


def _requests(change: dict[str, Any]) -> None:
    """Change fields of every request for two addresses."""
    real = allocate.read_address_request

    def read(key: str, service: dict[str, Any]) -> AddressRequest:
        found = real(key, service)
        return replace(found, **change, second=replace(found.second, **change)) if found.second else found

    patch(controller, "read_address_request", read)


@fault("DUAL-02b")
def gives_one_family_where_both_are_required() -> None:
    """A Service that requires both families is given an address of one where the other has none."""
    _requests({"is_optional": True})


@fault("DUAL-03a")
def requires_both_families_that_are_preferred() -> None:
    """A Service that prefers both families stays Pending where there is one alone."""
    _requests({"is_optional": False})


@fault("DUAL-03b")
def adds_no_family_later() -> None:
    """A Service that prefers both families, and has an address of one, is given none of the other any more."""
    real = allocate.Allocator.allocate_all

    def allocate_all(self: Allocator, request: AddressRequest) -> list[Allocation]:
        held = [one for family in (4, 6) if (one := self.allocation_of(request.key, family))]
        return held if held and request.is_optional else real(self, request)

    patch(allocate.Allocator, "allocate_all", allocate_all)


@fault("DUAL-04a")
def keeps_the_family_that_is_dropped() -> None:
    """A Service that drops a family keeps the address of it."""
    known: dict[str, list[int]] = {}
    for module in (allocate, controller):
        real = module.families

        def families(service: dict[str, Any], real: Any = real) -> list[int]:  # noqa: ANN401
            uid, now = service["metadata"]["uid"], list(real(service))
            return known.setdefault(uid, now) if len(now) > 1 else known.get(uid, now)

        patch(module, "families", families)


@fault("DUAL-04b")
def has_ipv4_first_in_every_status() -> None:
    """The status of a Service that names IPv6 first has its IPv4 address first."""
    for module in (allocate, controller):
        real = module.families
        patch(module, "families", lambda service, real=real: sorted(real(service)))


@fault("DUAL-04c")
def writes_all_zeros() -> None:
    """An IPv6 address is written in full."""
    real = controller._texts  # noqa: SLF001 - patched

    def texts(found: Any) -> tuple[str, str]:  # noqa: ANN401
        ips, pools = real(found)
        return ",".join(IPv6Address(ip).exploded if ":" in ip else ip for ip in ips.split(",")), pools

    patch(controller, "_texts", texts)
