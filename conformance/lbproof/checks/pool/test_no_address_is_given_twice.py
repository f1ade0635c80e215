"""Uniqueness of assigned addresses."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lbproof.checks.pool.holders import Holders
from lbproof.context import proves
from lbproof.context.precedence import judging
from lbproof.context.service_watch import ServiceWatch
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.context import CheckContext, Service

PARALLEL = 50
ROUNDS = 4
HELD = 5


@proves("POOL-02", "a")
def test_one_after_the_other(check: CheckContext) -> None:
    """Services created in sequence get distinct addresses: namesakes, of two pools, beside some that asked for one.

    So do those that follow when some were deleted, when one that had left the type before is deleted, and while the
    deletion of one has begun and is held back by a finalizer.
    """
    first, second = check.pool(3), check.pool(4)
    places = (check.namespace, check.second_namespace)
    free = [first.addresses[0], second.addresses[1]]
    asking = [check.service(f"asks-{n}", ask=free[n], how=way) for n, way in enumerate(check.run.ways)]
    services = [*asking]
    check.all_assigned(*asking)
    for n in range(6 - len(asking)):
        services.append(check.service(f"web-{n // 2}", namespace=places[n % 2]))
        check.assigned(services[-1])
    services.append(check.service("b-web-0"))  # `namespace-b-web-0` is what "web-0" of the second namespace is too
    check.assigned(services[-1])
    once(check, services)

    left, deleted = (services.pop(check.random.randrange(len(services))) for _ in range(2))
    check.retype(left, "ClusterIP")
    check.delete(deleted)
    services += [check.service("after", namespace=place) for place in places]
    with judging(lambda: once(check, services)), check.precondition():
        check.all_assigned(*services)
    check.delete(left)
    late = [check.service("late", namespace=place) for place in places]
    with judging(lambda: once(check, [*services, *late])):
        with check.unchanged(*late):
            check.control_apart()
            check.stays_pending(*late)
        check.control_in_turn(late, [services.pop()])

    going = services.pop()
    with check.deletion_held_back(going):
        check.control_apart()
        check.wait.consistently(
            lambda: twice(check, [*services, *late, going]),
            lambda found: not found,
            what=f"the address of {going}, whose deletion is held back, is in no other status",
            budget="stays_pending",
        )


def once(check: CheckContext, services: Sequence[Service]) -> None:
    """Verify that no address is in two statuses, and none twice in one."""
    found = twice(check, services)
    assert not found, f"given twice: {words(found)}"


def twice(check: CheckContext, services: Sequence[Service]) -> list[str]:
    """Return the addresses that are in two statuses, or twice in one."""
    given = Counter(address for held in check.statuses(*services).values() for address in held)
    return [str(address) for address, times in given.items() if times > 1]


@proves("POOL-02", "b")
def test_fifty_in_parallel(check: CheckContext) -> None:
    """Fifty Services created at once in two namespaces get fifty addresses, and never share one meanwhile."""
    pool = check.pool(PARALLEL)
    _ = check.run.backends  # once, before there are threads
    places = (check.namespace, check.second_namespace)
    statuses = Holders(places)
    with ServiceWatch(check.cluster, check.namespace, statuses.changed, everywhere=True):
        with ThreadPoolExecutor(8) as workers:
            services = list(
                workers.map(lambda n: check.service(f"web-{n // 2}", namespace=places[n % 2]), range(PARALLEL))
            )
        check.all_assigned(*services)
    given = {address for held in statuses.now.values() for address in held}

    assert given == set(pool.addresses), f"{len(given)} addresses of {PARALLEL} are given"


@proves("POOL-02", "c")
def test_in_turn_with_deletions(check: CheckContext) -> None:
    """No two existing Services share an address while Services come and go, in every way, in a nearly full pool."""
    check.pool(HELD)
    places = (check.namespace, check.second_namespace)
    statuses = Holders(places)
    with ServiceWatch(check.cluster, check.namespace, statuses.changed, everywhere=True):
        alive = [check.service(f"web-{n // 2}", namespace=places[n % 2]) for n in range(HELD)]
        former: list[Service] = []
        for turn in range(ROUNDS):
            with check.precondition():
                check.all_assigned(*alive)
            check.random.shuffle(alive)
            deleted, retyped, alive = alive[0], alive[1], alive[2:]
            check.cluster.delete(deleted.path)
            check.retype(retyped, ("ClusterIP", "NodePort")[turn % 2])
            alive += [
                check.service_again(deleted),
                check.service(f"web-{turn}-new", namespace=places[turn % 2]),
            ]
            for service in former:
                check.cluster.delete(service.path)
            former = [retyped]
        with check.precondition():
            check.all_assigned(*alive)
