"""Faults of what the reference reports: Events, annotations, conditions and the status."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.mutants.mutant import fault, patch

from lbproof_reference import services
from lbproof_reference.controller import loop as controller
from lbproof_reference.controller import status
from lbproof_reference.events import EventRecorder
from lbproof_reference.speaker import loop as speaker


@fault("PEND-02", "EVT-01b")
def no_event_for_failed_allocation() -> None:
    """A failed allocation is not reported in an Event."""
    real = EventRecorder.event

    def record(self: EventRecorder, about: Any, kind: str, reason: str, message: str) -> None:  # noqa: ANN401
        if kind != "Warning":
            real(self, about, kind, reason, message)

    patch(EventRecorder, "event", record)


@fault("EVT-01a", "ARTICLE-15")
def wrong_address_in_event() -> None:
    """The Event of an allocation names another address."""
    real = EventRecorder.event

    def record(self: EventRecorder, about: Any, kind: str, reason: str, message: str) -> None:  # noqa: ANN401
        real(self, about, kind, reason, 'Assigned IP ["192.0.2.1"]' if reason == "IPAllocated" else message)

    patch(EventRecorder, "event", record)


@fault("EVT-02a", "EVT-02b", "EVT-02c", "EVT-04")
def no_event_for_announcement() -> None:
    """A speaker acquires an address without an Event."""
    real = speaker.Speaker.__init__

    def init(self: speaker.Speaker, config: speaker.Config) -> None:
        real(self, dataclasses.replace(config, on_acquired=lambda _service: None))

    patch(speaker.Speaker, "__init__", init)


@fault("EVT-03a", "EVT-03b", "ARTICLE-15")
def wrong_pool_annotation() -> None:
    """The annotation names a pool that does not contain the address."""
    real = controller.Controller._write  # noqa: SLF001

    async def write(self: controller.Controller, key: str, service: Any, ip: str | None, pool: str | None) -> None:  # noqa: ANN401
        await real(self, key, service, ip, pool and f"{pool}-not")

    patch(controller.Controller, "_write", write)


@fault("EVT-03c")
def stale_pool_annotation() -> None:
    """The pool annotation stays after the address was released."""
    real = controller.Controller._write  # noqa: SLF001

    async def write(self: controller.Controller, key: str, service: Any, ip: str | None, pool: str | None) -> None:  # noqa: ANN401
        if pool is not None:
            await real(self, key, service, ip, pool)

    patch(controller.Controller, "_write", write)


@fault(
    "EVT-08",
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
def ip_mode_proxy() -> None:
    """The status has `ipMode: Proxy`, so that kube-proxy does not handle traffic to the address."""
    patch(services, "_IP_MODE", "Proxy")


@fault("CRD-01a", "CRD-01b", "CRD-01c")
def invalid_pool_not_reported() -> None:
    """An invalid pool gets neither a condition nor an Event."""
    patch(status, "valid_condition", lambda *_: None)
