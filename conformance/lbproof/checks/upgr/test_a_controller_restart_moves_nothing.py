"""An upgrade is a restart, and nobody's address may depend on when the operator upgrades."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause
from lbproof.proves import proves
from lbproof.stage import ingress
from lbproof.stage.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.adapters.base import Object
    from lbproof.stage import Service, Stage

RESTARTS = 5


@contextmanager
def watched(stage: Stage, services: list[Service]) -> Iterator[list[str]]:
    """Every change of the addresses of some Services: a blink is caught that a look would miss."""
    before = {service.name: service.addresses() for service in services}
    changes: list[str] = []

    def changed(kind: str, service: Object) -> None:
        name, now = service["metadata"]["name"], [] if kind == "DELETED" else ingress(service)
        if before.get(name, now) != now:
            changes.append(f"{name}: {before[name]} → {now}")

    with Watching(stage.cluster, stage.namespace, changed):
        yield changes


@proves("UPGR-01")
def test_a_restart_moves_nothing(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """Three Services keep their addresses through a restart; at no moment is a status empty or another's."""
    stage.pool(6)
    services = [stage.service(f"web-{n}") for n in range(4)]
    for service in services:
        stage.assigned(service)
    stage.delete(services.pop(0))
    with watched(stage, services) as changes:
        stage.restart(stage.ground.adapter.controller)
        # a controller that has started gives an address again: then it has also looked at the others
        stage.assigned(stage.service("after"))
        stage.keep_assigned(*services)

    assert not changes, f"moved by a restart of the controller: {changes}"


@proves("UPGR-02")
def test_five_restarts_with_a_full_pool_move_nothing(stage: Stage, case: str) -> None:  # noqa: ARG001 - one verdict
    """With two Services assigned and two that wait, nothing that is assigned changes hands, five times over."""
    stage.pool(2)
    holders = [stage.service(f"holder-{n}") for n in range(2)]
    for service in holders:
        stage.assigned(service)
    waiting = [stage.service(f"waiting-{n}") for n in range(2)]
    for service in waiting:
        stage.refused(service, Cause.POOL_EXHAUSTED)
    with watched(stage, [*holders, *waiting]) as changes:
        for _ in range(RESTARTS):
            stage.restart(stage.ground.adapter.controller)
        stage.keep_assigned(*holders)

    assert not changes, f"changed hands by restarts of the controller: {changes}"
