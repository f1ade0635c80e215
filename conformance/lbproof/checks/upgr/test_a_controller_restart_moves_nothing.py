"""Stability of addresses through restarts of the controller, as in an upgrade."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause, WorkloadRole
from lbproof.context import ingress, proves
from lbproof.context.service_watch import ServiceWatch
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Service

RESTARTS = 5


@contextmanager
def watched(check: CheckContext, services: list[Service]) -> Iterator[list[str]]:
    """Record every change of the addresses of some Services, including short ones that polling would miss."""
    before = {service.name: service.addresses() for service in services}
    changes: list[str] = []

    def changed(kind: str, service: Object) -> None:
        name, now = service["metadata"]["name"], [] if kind == "DELETED" else ingress(service)
        if before.get(name, now) != now:
            changes.append(f"{name}: {before[name]} → {now}")

    with ServiceWatch(check.cluster, check.namespace, changed):
        yield changes


@proves("UPGR-01", disruptive=True)
def test_a_restart_moves_nothing(check: CheckContext) -> None:
    """Three Services keep their addresses through a restart; no status is empty or different at any time."""
    check.pool(6)
    services = [check.service(f"web-{n}") for n in range(4)]
    for service in services:
        check.assigned(service)
    check.delete(services.pop(0))
    with watched(check, services) as changes:
        check.run.workloads.restart(WorkloadRole.CONTROLLER)
        # a restarted controller that assigns an address has also processed the other Services
        check.assigned(check.service("after"))
        check.keep_assigned(*services)

    assert not changes, f"moved by a restart of the controller: {words(changes)}"


@proves("UPGR-02", disruptive=True)
def test_five_restarts_with_a_full_pool_move_nothing(check: CheckContext) -> None:
    """Two assigned Services keep their addresses through five restarts while two others are Pending."""
    check.pool(2)
    holders = [check.service(f"holder-{n}") for n in range(2)]
    for service in holders:
        check.assigned(service)
    waiting = [check.service(f"waiting-{n}") for n in range(2)]
    for service in waiting:
        check.refused(service, Cause.POOL_EXHAUSTED)
    with watched(check, [*holders, *waiting]) as changes:
        for _ in range(RESTARTS):
            check.run.workloads.restart(WorkloadRole.CONTROLLER)
        check.control_apart()
        check.keep_assigned(*holders)

    assert not changes, f"changed hands by restarts of the controller: {words(changes)}"
