"""Published numbers of assigned and available addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lbproof.adapters import rendering
from lbproof.adapters.base import PoolUsage
from lbproof.context import proves
from lbproof.context.draws import types_to_leave_for
from lbproof.context.manifests import TARGET_PORT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.context import CheckContext, Pool, Service

SIZES = (7, 3)
STEPS = 3
SHARERS = 3
KEY = "one"
MOST = 5
"""Services that are created or deleted in one step."""


@proves("POOL-06")
def test_the_published_numbers_are_true(check: CheckContext) -> None:
    """The numbers of two pools are those of the statuses after Services were created, deleted and retyped at random.

    Also at first, when a pool is full, with Services that wait, with Services that share an address or ask for one, and
    when a pool has more addresses than before.
    """
    first, second = (check.pool(size) for size in SIZES)
    true_numbers(check, first, second)
    if check.run.claims("sharing"):
        sharers_count_once(check, first, second)
    who_asks_counts(check, first, second)
    places = (check.namespace, check.second_namespace)
    services: list[Service] = []
    types = types_to_leave_for(check.random)
    for step in range(STEPS):
        count = check.random.randint(2, MOST) if step else sum(SIZES) + 1
        services += [check.service(f"web-{step}-{n}", namespace=places[n % 2]) for n in range(count)]
        leaving = check.random.sample(services, min(len(services) - 1, check.random.randint(2, MOST)))
        if not step:  # all of both are given, and one waits
            with check.precondition():
                all_given(check, services)
            true_numbers(check, first, second)
        check.retype(leaving[0], next(types))
        check.delete_all(*leaving[1:])
        services = [service for service in services if service not in leaving]
        true_numbers(check, first, second)
    more = check.run.addresses(2)
    check.change_pool(second, blocks=(*second.spec.blocks, *more))
    second.addresses += more
    true_numbers(check, first, second)


def sharers_count_once(check: CheckContext, *pools: Pool) -> None:
    """Have Services share an address of pools and leave one after the other; the numbers are of addresses."""
    with check.precondition("SHARE-01"):
        sharers = [check.service("shares-0", share=KEY)]
        address = check.assigned(sharers[0])
        asks: dict[str, Any] = {"ask": address} if check.run.ways else {}
        for n in range(1, SHARERS):
            port = {"name": "other", "port": 8080 + n, "targetPort": TARGET_PORT}
            sharers.append(check.service(f"shares-{n}", share=KEY, ports=[port], **asks))
        check.all_assigned(*sharers)
    true_numbers(check, *pools)
    for service in check.random.sample(sharers, SHARERS):
        check.delete(service)
        true_numbers(check, *pools)


def who_asks_counts(check: CheckContext, *pools: Pool) -> None:
    """Have Services ask for an address of each pool by each way, and leave one by one."""
    with check.precondition("REQ-01"):
        asking = [
            check.service(f"asks-{turn}-{how}", ask=address, how=how)
            for turn, pool in enumerate(pools)
            for how, address in zip(check.run.ways, pool.addresses[1:], strict=False)
        ]
        check.all_assigned(*asking)
    true_numbers(check, *pools)
    for service in check.random.sample(asking, len(asking)):
        check.delete(service)
        true_numbers(check, *pools)


def all_given(check: CheckContext, services: Sequence[Service]) -> None:
    """Wait until as many Services as both pools have addresses are given one."""
    check.one_by_one(
        lambda: sum(map(len, check.statuses(*services).values())),
        int,
        sum(SIZES),
        what=f"one more of {sum(SIZES)} addresses is given",
        budget="address_assigned",
    )


def true_numbers(check: CheckContext, *pools: Pool) -> None:
    """Wait until the published numbers of pools are those of the statuses."""

    def seen() -> dict[str, tuple[PoolUsage, PoolUsage]]:
        live = [service for service in check.services if not service.gone]
        given = {address for held in check.statuses(*live).values() for address in held} if live else set()
        wrong = {}
        for pool in pools:
            assigned = len(given & set(pool.addresses))
            true = PoolUsage(assigned=assigned, available=len(pool.addresses) - assigned)
            told = rendering.pool_usage(check.run.adapter, check.cluster, pool.spec)
            if told != true:
                wrong[pool.name] = (told, true)
        return wrong

    check.wait.eventually(
        seen,
        lambda wrong: not wrong,
        what="the published numbers of assigned and available addresses are those of the statuses",
        budget="pool_applied",
        show=lambda wrong: (
            "; ".join(f"{name}: {told}, and it is {true}" for name, (told, true) in wrong.items()) or "true"
        ),
    )
