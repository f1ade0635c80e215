"""Annotation or label that names the pool of a Service's address."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lbproof.adapters import rendering
from lbproof.context import proves
from lbproof.text import words
from lbproof.witnesses.asking import Asking

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Pool, Service
    from lbproof.spec.families import IPAddress


def says(check: CheckContext, service: Service, pool: Pool | None) -> None:
    """Wait until an annotation or label names a pool, or all are removed."""
    wanted = rendering.pool_name(check.run.adapter, pool.spec) if pool else None
    check.wait.eventually(
        lambda: check.pool_marks(service),
        lambda values: wanted in values if wanted else not any(values),
        what=f"the pool's mark on {service} names {wanted or 'no pool'}",
        budget="annotation_seen",
    )


def has(check: CheckContext, service: Service, address: IPAddress, *, budget: str) -> None:
    """Wait until a Service has one address and no other."""
    check.wait.eventually(
        service.addresses, lambda held: held == [address], what=f"{service} has {address} alone", budget=budget
    )


@proves("EVT-03", "abc")
def test_the_annotation_names_the_pool(check: CheckContext, case: str) -> None:
    """The mark names the pool of each Service, follows a change of pool, and is removed with the type LoadBalancer.

    The addresses of one pool lie between those of the other. A change of pool is also when another one with the same
    addresses takes the place of the first.
    """
    apart = check.run.addresses(5)
    between = apart[1::2]
    with check.precondition("POOL-03"):
        pool = check.pool(apart[::2], addresses=apart[::2])
        auto = check.run.claims("auto-assign")
        kept = check.pool(between, addresses=between, auto_assign=False) if auto else None
    services = [check.service("web", namespace=place) for place in (check.namespace, check.second_namespace)]
    where = dict.fromkeys(services, pool)
    if kept and check.run.ways:
        where[check.service("asks", ask=kept.addresses[0])] = kept
    check.all_assigned(*where)
    for service, own in where.items():
        says(check, service, own)
    if case == "b" and kept:
        asked: Object = {"metadata": {}, "spec": {}}
        check.run.ask(asked, str(kept.addresses[1]))
        services[0].patch(**asked)
        with check.precondition("REQ-05"):
            has(check, services[0], kept.addresses[1], budget="address_assigned")
        says(check, services[0], kept)
        says(check, services[1], pool)
        if check.remove_pool(kept):
            successor = check.pool(kept.spec.blocks, addresses=kept.addresses, auto_assign=False)
            with check.precondition():
                has(check, services[0], kept.addresses[1], budget="pool_applied")
            says(check, services[0], successor)
    elif case == "c":
        for service, kind in zip(where, ("ClusterIP", "NodePort", "ClusterIP"), strict=False):
            check.retype(service, kind)
            says(check, service, None)
        check.retype(services[0], "LoadBalancer")
        check.assigned(services[0])
        says(check, services[0], pool)
        check.retype(services[0], "NodePort")
        says(check, services[0], None)


@proves("EVT-03", "d")
def test_the_mark_is_restored(check: CheckContext) -> None:
    """A mark that an author removes, empties or replaces by the name of another pool is restored each time.

    Once an author writes again what was corrected just before. The Services keep their addresses at any time, though
    each pool has a free one that is lower, and these are answered for all the time, by the same nodes.
    """
    pool, other = check.pool(3), check.pool(2)
    places = (check.namespace, check.second_namespace)
    held = check.all_assigned(*(check.service(f"web-{n}", namespace=places[n % 2]) for n in range(5)))
    lowest = {min(one.addresses, key=int) for one in (pool, other)}
    check.delete_all(*(service for service, address in held.items() if address in lowest))
    held = {service: address for service, address in held.items() if address not in lowest}
    services = list(held)
    where = {service: pool if address in pool.addresses else other for service, address in held.items()}
    for service, own in where.items():
        says(check, service, own)
    before = {}
    if check.run.claims("l2"):
        with check.precondition("L2-01"):
            before = check.holders(*held.values())
    names = [rendering.pool_name(check.run.adapter, one.spec) for one in (pool, other)]
    with ExitStack() as asked, check.unchanged(*services):
        asking = asked.enter_context(Asking(check.client, list(held.values()))) if before else None
        since = time.monotonic()
        values = check.random.sample([None, "", "no-pool", *names], 5)
        for value in (*values, values[-1]):
            for service, own in where.items():
                for key in check.run.adapter.pool_marks:
                    if key.value(service.read()) is not None:
                        service.patch(metadata=key.patch(value))
                says(check, service, own)
        check.control_apart()
        most = check.wait.budget("handed_over")
        silent = asking.silences(held.values(), since=since) if asking else {}
        longer = {address: seconds for address, seconds in silent.items() if seconds > most}
        assert not longer, f"marks were rewritten, and meanwhile there was no answer for seconds: {words(longer)}"
    if before:
        with check.precondition("L2-01"):
            after = check.holders(*held.values())
        assert after == before, f"answered for by others since marks were rewritten: {words(before)} → {words(after)}"
