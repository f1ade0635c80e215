"""Uniqueness of assigned addresses."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lbproof.context import ingress, proves
from lbproof.context.service_watch import ServiceWatch
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

PARALLEL = 50
ROUNDS = 4
HELD = 4


@proves("POOL-02", "a")
def test_one_after_the_other(check: CheckContext) -> None:
    """Five Services created in sequence get five distinct addresses."""
    check.pool(5)
    given = Counter(check.assigned(check.service(f"web-{n}")) for n in range(5))

    assert max(given.values()) == 1, (
        f"given twice: {words([str(address) for address, times in given.items() if times > 1])}"
    )


@proves("POOL-02", "b")
def test_fifty_in_parallel(check: CheckContext) -> None:
    """Fifty Services created at once get fifty distinct addresses, and never share one meanwhile."""
    pool = check.pool(PARALLEL)
    statuses = _Statuses()
    with ServiceWatch(check.cluster, check.namespace, statuses.changed):
        with ThreadPoolExecutor(8) as workers:
            list(workers.map(lambda n: check.service(f"web-{n}"), range(PARALLEL)))
        check.wait.eventually(
            lambda: sum(bool(held) for held in list(statuses.now.values())),
            lambda count: count == PARALLEL,
            what=f"all of {PARALLEL} Services are given an address",
            budget="address_assigned",
        )
    given = Counter(address for held in statuses.now.values() for address in held)

    assert not statuses.shared, f"held by two Services at once: {words(statuses.shared)}"
    assert set(given) <= set(pool.addresses)
    assert max(given.values()) == 1, (
        f"given twice: {words([str(address) for address, times in given.items() if times > 1])}"
    )


@proves("POOL-02", "c")
def test_in_turn_with_deletions(check: CheckContext) -> None:
    """No two existing Services share an address while Services are created and deleted in a nearly full pool."""
    check.pool(HELD)
    statuses = _Statuses()
    with ServiceWatch(check.cluster, check.namespace, statuses.changed):
        alive: list[Service] = [check.service(f"web-{n}") for n in range(HELD)]
        for turn in range(ROUNDS):
            for service in alive:
                check.assigned(service)
            leaving, alive = alive[:2], alive[2:]
            for service in leaving:
                check.cluster.delete(service.path)
            alive += [check.service(f"web-{turn}-{n}") for n in range(2)]
        for service in alive:
            check.assigned(service)

    assert not statuses.shared, f"held by two Services at once: {words(statuses.shared)}"


class _Statuses:
    """Current holders of addresses, and all conflicts, in the event order of the API server."""

    def __init__(self) -> None:
        self.now: dict[str, list[IPAddress]] = {}
        self.shared: list[tuple[str, list[str]]] = []
        """Address and the Services that held it."""

    def changed(self, kind: str, service: Object) -> None:
        name = service["metadata"]["name"]
        self.now.pop(name, None)
        if kind == "DELETED":
            return
        self.now[name] = ingress(service)
        for address in self.now[name]:
            holders = [other for other, held in self.now.items() if address in held]
            if len(holders) > 1:
                self.shared.append((str(address), holders))
