"""Two Services with one address are two Services that do not work; nothing may bring that about."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lbproof.proves import proves
from lbproof.stage import ingress
from lbproof.stage.watching import Watching

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.stage import Service, Stage

PARALLEL = 50
ROUNDS = 4
HELD = 4


@proves("POOL-02", "a")
def test_one_after_the_other(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """Five Services are given five addresses."""
    stage.pool(5)
    given = Counter(stage.assigned(stage.service(f"web-{n}")) for n in range(5))

    assert max(given.values()) == 1, f"given twice: {[address for address, times in given.items() if times > 1]}"


@proves("POOL-02", "b")
def test_fifty_in_parallel(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """Fifty Services created at once are given fifty addresses, and never shared one on the way."""
    pool = stage.pool(PARALLEL)
    statuses = _Statuses()
    with Watching(stage.cluster, stage.namespace, statuses.changed):
        with ThreadPoolExecutor(8) as workers:
            list(workers.map(lambda n: stage.service(f"web-{n}"), range(PARALLEL)))
        stage.wait.settles(
            lambda: sum(bool(held) for held in list(statuses.now.values())),
            lambda count: count == PARALLEL,
            what=f"all of {PARALLEL} Services are given an address",
            budget="address_assigned",
        )
    given = Counter(address for held in statuses.now.values() for address in held)

    assert not statuses.shared, f"held by two Services at once: {statuses.shared}"
    assert set(given) <= set(pool.addresses)
    assert max(given.values()) == 1, f"given twice: {[address for address, times in given.items() if times > 1]}"


@proves("POOL-02", "c")
def test_in_turn_with_deletions(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """While Services come and go in a pool that is nearly full, no two that exist hold one address."""
    stage.pool(HELD)
    statuses = _Statuses()
    with Watching(stage.cluster, stage.namespace, statuses.changed):
        alive: list[Service] = [stage.service(f"web-{n}") for n in range(HELD)]
        for turn in range(ROUNDS):
            for service in alive:
                stage.assigned(service)
            leaving, alive = alive[:2], alive[2:]
            for service in leaving:
                stage.cluster.delete(service.path)
            alive += [stage.service(f"web-{turn}-{n}") for n in range(2)]
        for service in alive:
            stage.assigned(service)

    assert not statuses.shared, f"held by two Services at once: {statuses.shared}"


class _Statuses:
    """Who holds what, and every moment at which two held one address, in the order of the API server."""

    def __init__(self) -> None:
        self.now: dict[str, list[str]] = {}
        self.shared: list[tuple[str, list[str]]] = []

    def changed(self, kind: str, service: Object) -> None:
        name = service["metadata"]["name"]
        self.now.pop(name, None)
        if kind == "DELETED":
            return
        self.now[name] = ingress(service)
        for address in self.now[name]:
            holders = [other for other, held in self.now.items() if address in held]
            if len(holders) > 1:
                self.shared.append((address, holders))
