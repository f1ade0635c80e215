"""Faults of shared addresses: who may share, what is kept of it when Services change, and who announces."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.mutants.mutant import fault, patch

from lbproof_reference.controller import allocate
from lbproof_reference.controller.allocate import ALONE, Allocator, Sharing
from lbproof_reference.speaker import elect, plan
from lbproof_reference.speaker.offers import OfferIndex

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP
    from lbproof_reference.speaker.plan import Offer


def _conflict_with(known: Callable[[Sharing, Sharing], tuple[Sharing, Sharing]]) -> None:
    """Judge whether two Services may share by what another function makes of both."""
    real = Sharing.conflict_with

    def conflict_with(self: Sharing, other: Sharing) -> str | None:
        one, another = known(self, other)
        return real(one, another)

    patch(Sharing, "conflict_with", conflict_with)


@fault("SHARE-01a", "SHARE-01b")
def nobody_shares() -> None:
    """A Service that asks to share is given no address that another has."""
    _conflict_with(lambda _, other: (ALONE, other))


@fault("SHARE-01b")
def protocols_are_not_told_apart() -> None:
    """A port of UDP is taken for in use if TCP has its number."""
    real = allocate.read_sharing

    def read_sharing(key: str, service: Object) -> Sharing:
        found = real(key, service)
        return replace(found, ports=frozenset(("any", number) for _, number in found.ports))

    patch(allocate, "read_sharing", read_sharing)


@fault("SHARE-02a")
def ports_of_sharers_may_clash() -> None:
    """Services with one key share an address though they have a port in common."""
    _conflict_with(lambda one, other: (replace(one, ports=frozenset()), other))


@fault("SHARE-02b")
def any_key_will_do() -> None:
    """Services share an address whatever their keys are."""
    _conflict_with(lambda one, other: (replace(one, key=other.key) if one.key else one, other))


@fault("SHARE-02c")
def one_key_is_enough() -> None:
    """Services share an address if one of them has a key."""

    def known(one: Sharing, other: Sharing) -> tuple[Sharing, Sharing]:
        key = one.key or other.key
        return replace(one, key=key), replace(other, key=key)

    _conflict_with(known)


@fault("SHARE-02d")
def a_requested_address_is_shared() -> None:
    """A Service that asks for an address shares it with whoever has it (OpenELB's way)."""
    real = Allocator._allocate_requested  # noqa: SLF001 - a fault replaces private functions

    def allocate_requested(self: Allocator, request: Any, ip: IP) -> IP:  # noqa: ANN401
        self.holder.pop(ip, None)
        return real(self, request, ip)

    patch(Allocator, "_allocate_requested", allocate_requested)


def _across_namespaces(joins: Callable[[Allocator, str, IP, Sharing], bool]) -> None:
    """Let a Service of another namespace than all that have an address join them when a function says so."""
    real = Allocator.conflict

    def judge(self: Allocator, key: str, ip: IP, sharing: Sharing) -> str | None:
        holders = {*self._sharers.get(ip, ()), *([self.holder[ip]] if ip in self.holder else [])} - {key}
        apart = {other.partition("/")[0] for other in holders}.isdisjoint({key.partition("/")[0]})
        return None if holders and apart and joins(self, key, ip, sharing) else real(self, key, ip, sharing)

    patch(Allocator, "conflict", judge)


@fault("SEC-04b")
def keys_are_compared_within_a_namespace() -> None:
    """A Service with a key shares the address of one of another namespace that has a key, whatever both are."""
    _across_namespaces(lambda self, _, ip, sharing: bool(sharing.key and self._sharers.get(ip)))


@fault("SEC-04b")
def a_key_takes_what_another_namespace_does_not_share() -> None:
    """A Service with a key shares the address of one of another namespace that has none."""
    _across_namespaces(lambda self, _, ip, sharing: bool(sharing.key) and not self._sharers.get(ip))


@fault("SEC-04b")
def what_two_share_is_for_other_namespaces() -> None:
    """An address that two Services share is given to one of another namespace that asks for it, without a key too."""
    _across_namespaces(lambda self, key, ip, _: len(self._sharers.get(ip, {}).keys() - {key}) > 1)


@fault("SHARE-03a", "SHARE-03b")
def sharers_are_not_judged_again() -> None:
    """Services that share an address keep it, however they are changed."""
    real = Allocator.conflict

    def conflict(self: Allocator, key: str, ip: IP, sharing: Sharing) -> str | None:
        held = self.allocation_of(key)
        return None if held and held.ip == ip else real(self, key, ip, sharing)

    patch(Allocator, "conflict", conflict)


@fault("SHARE-04")
def first_to_leave_takes_the_address_along() -> None:
    """An address that a Service leaves is no longer announced for those that it shared it with."""
    real = OfferIndex.update

    def update(self: OfferIndex, key: str, offers: dict[bytes, Offer]) -> dict[bytes, Offer | None]:
        found = real(self, key, offers)
        return {address: offer if address in offers else None for address, offer in found.items()}

    patch(OfferIndex, "update", update)


@fault("SHARE-05")
def each_sharer_has_an_announcer() -> None:
    """A shared address is announced by every node."""
    shared: set[bytes] = set()
    real, elected = OfferIndex.update, elect.elect

    def update(self: OfferIndex, key: str, offers: dict[bytes, Offer]) -> dict[bytes, Offer | None]:
        found = real(self, key, offers)
        shared.update(address for address, offer in found.items() if offer and offer.sharers)
        return found

    def announcer(address: bytes, *rest: Any) -> elect.Station | None:  # noqa: ANN401
        return elect.Station(os.environ["NODE_NAME"], "eth0") if address in shared else elected(address, *rest)

    patch(OfferIndex, "update", update)
    patch(plan, "elect", announcer)
