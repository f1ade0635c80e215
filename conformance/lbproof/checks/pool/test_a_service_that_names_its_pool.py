"""Pools that Services name: theirs is used, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters import rendering
from lbproof.adapters.base import AddressRange, Cause
from lbproof.checks.share.sharers import KEY, SECOND, given_key, joining, ports
from lbproof.context import proves
from lbproof.context.precedence import judging
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Pool, Service
    from lbproof.spec.families import IPAddress

EACH = 2
"""Services of each pool."""


def of_pools(check: CheckContext, pools: list[Pool], count: int = EACH) -> dict[Service, Pool]:
    """Create Services in two namespaces that name pools, those of one pool between those of the others."""
    places = (check.namespace, check.second_namespace)
    wanted = [pool for pool in pools for _ in range(count)]
    check.random.shuffle(wanted)
    return {
        check.service(f"names-{n // 2}-{pool.name}", namespace=places[n % 2], pool=pool): pool
        for n, pool in enumerate(wanted)
    }


@proves("POOL-04", "a")
def test_an_address_comes_from_the_pool_that_is_named(check: CheckContext) -> None:
    """Each Service is given an address of the pool that it names, of three that interleave, until that one is full.

    One of them is kept for those that name it, where that can be declared. Services that name a full pool wait.
    """
    block = check.run.addresses(3 * EACH)
    blocks = [block[n::3] for n in range(3)]
    kept = check.run.claims("auto-assign")
    with check.precondition("POOL-03"):
        pools = [check.pool(one, addresses=one, auto_assign=not (kept and n == 1)) for n, one in enumerate(blocks)]
    services = of_pools(check, pools)
    late: list[Service] = []

    def elsewhere() -> None:
        held = check.statuses(*services, *late)
        own = services | {service: pools[n] for n, service in enumerate(late)}
        wrong = {str(s): held[s] for s, pool in own.items() if set(held[s]) - set(pool.addresses)}
        assert not wrong, f"given addresses of another pool than was named: {words(wrong)}"

    with judging(elsewhere):
        check.one_by_one(
            lambda: check.statuses(*services),
            lambda seen: sum(bool(set(seen[one]) & set(pool.addresses)) for one, pool in services.items()),
            len(services),
            what=f"one more of {len(services)} Services is given an address of the pool that it names",
            budget="address_assigned",
            show=lambda seen: words({str(one): seen[one] for one in services}),
        )
        late += [check.service(f"late-{n}", pool=pool) for n, pool in enumerate(pools)]
        with check.unchanged(*services):
            check.pool(1)
            check.control()
            check.stays_pending(*late)


@proves("POOL-04", "b")
def test_an_unknown_pool_gives_no_address(check: CheckContext) -> None:
    """Services that name a pool that does not exist get no address and a reason; others are served.

    Names that are longer and shorter than that of a pool, and that of a pool that was removed.
    """
    pool = check.pool(4)
    name = rendering.pool_name(check.run.adapter, pool.spec)
    removed = check.pool(1)
    names = [f"{name}-x", name[:-1], "no-pool", rendering.pool_name(check.run.adapter, removed.spec)]
    check.run.pools.drop(removed.name)
    check.wait_out("pool_applied")
    wrong = [
        service
        for n, one in enumerate(dict.fromkeys(names))
        for service in check.unusable(f"wrong-{n}", change=named(check, one))
    ]
    for service in wrong:
        check.refused(service, Cause.BAD_REQUEST)
    with check.unchanged(*wrong):
        right = [check.service("any"), check.service("names", namespace=check.second_namespace, pool=pool)]
        with check.precondition():
            check.all_assigned(*right)
        check.delete(right[0])
        check.control()
        check.stays_pending(*wrong)


def named(check: CheckContext, name: str) -> Callable[[Object], None]:
    """Return a change of a manifest that names a pool."""

    def change(service: Object) -> None:
        check.run.adapter.pool_request.set(service, name)

    return change


@proves("POOL-04", "c")
def test_a_pool_that_is_kept_serves_those_that_name_it_alone(check: CheckContext) -> None:
    """Services that name no pool are given no address of a pool that is kept, though nothing else is free.

    Nor of one that is kept only later, from which an address was given before, nor by the sharing key of a Service that
    has one of these; those that name them are served.
    """
    key = KEY if check.run.claims("sharing") else ""
    block = check.run.addresses(2 * EACH)
    kept = check.pool([AddressRange(block[0], block[1])], addresses=block[:EACH], auto_assign=False)
    late = check.pool([AddressRange(block[2], block[3])], addresses=block[EACH:])
    with check.precondition():
        check.assigned(check.service("first", share=key))
    check.change_pool(late, auto_assign=False)
    check.wait_out("pool_applied")
    common = check.pool(3)
    common.addresses.remove(
        check.control(pool=common, budget="pool_applied")
    )  # so that the pools are known as they are
    apart: set[IPAddress] = {*kept.addresses, *late.addresses}
    places = (check.namespace, check.second_namespace)
    plain = [check.service(f"plain-{n // 2}", namespace=places[n % 2]) for n in range(len(common.addresses) + 2)]
    by_key: list[Service] = []

    def taken() -> None:
        held = check.statuses(*plain, *by_key)
        wrong = {str(service): found for service, found in held.items() if apart & set(found)}
        assert not wrong, f"given addresses of pools that are kept: {words(wrong)}"

    with judging(taken):
        check.one_by_one(
            lambda: [address for held in check.statuses(*plain).values() for address in held],
            len,
            len(common.addresses),
            what=f"one more of {words(common.addresses)} is given to a Service that names no pool",
            budget="address_assigned",
        )
        taken()
        by_key += [check.service("keyed-later", ports=ports(SECOND))] if key else []
        check.all_assigned(check.service("holder", pool=kept, share=key), *of_pools(check, [kept], EACH - 1))
        if key:
            given_key(check, by_key[0])
            by_key += [made for place in places for made in joining(check, namespace=place)]
        check.wait.consistently(
            lambda: sum(map(bool, check.statuses(*plain, *by_key).values())),
            lambda count: count == len(common.addresses),
            what="no more Services that name no pool are served than there are addresses for them",
            budget="stays_pending",
        )
