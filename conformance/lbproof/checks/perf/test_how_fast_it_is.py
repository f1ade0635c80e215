"""Times of one and of many Services, from the API and from the wire, measured and not judged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lbproof.checks.perf.figures import Moments, asking, create, most, spread, watched
from lbproof.context import proves
from lbproof.witnesses import neighbour
from lbproof.witnesses.prober import Prober

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Service

BURST = 100
DELETED = 20
CHURNED = 20
REQUESTS = 1000
"""Neighbour requests that are sent within the time that an answer may take."""


@proves("PERF-01")
def test_how_long_services_wait(check: CheckContext) -> None:
    """One Service alone, then a hundred at once: address in status, first answer on the segment, first one by HTTP."""
    for count in (1, most(check, BURST)):
        told = "one Service" if count == 1 else f"{count} Services at once"
        pool, moments = check.pool(count), Moments()
        names = [f"web-{count}-{n}" for n in range(count)]
        with watched(check, moments), asking(check, pool.addresses, moments):
            services = create(check, names, moments)
            check.all_assigned(*services)
            if check.run.claims("l2"):
                check.one_by_one(
                    lambda pool=pool, moments=moments: [a for a in pool.addresses if a not in moments.first],  # type: ignore[misc]
                    lambda missing, pool=pool: len(pool.addresses) - len(missing),  # type: ignore[misc]
                    len(pool.addresses),
                    what="one more address is answered for",
                    budget="announced",
                )
            answered = first_answer(check, services[-1])
        began = {address: moments.created[name] for name, (_, address) in moments.assigned.items()}
        spread(
            check,
            f"{told}: address in status",
            [at - moments.created[name] for name, (at, _) in moments.assigned.items()],
        )
        spread(
            check,
            f"{told}: first answer on the segment",
            [at - began[address] for address, at in moments.first.items() if address in began],
        )
        check.measured(
            f"{told}: first answer by HTTP, of the last", round(answered - moments.created[names[-1]], 3), "s"
        )
        check.delete_all(*services)
        check.run.pools.drop(pool.name)


def first_answer(check: CheckContext, service: Service) -> float:
    """Wait until the client is served at the address of a Service; return when it was."""
    check.serves(check.client, service.addresses()[0])
    return time.monotonic()


@proves("PERF-02")
def test_how_long_a_deleted_address_is_answered_for(check: CheckContext) -> None:
    """Twenty Services that are answered for are deleted at once."""
    pool, moments = check.pool(DELETED), Moments()
    services = create(check, [f"web-{n}" for n in range(DELETED)], Moments())
    held = check.all_assigned(*services)
    with asking(check, pool.addresses, moments):
        check.one_by_one(
            lambda: [address for address in pool.addresses if address not in moments.first],
            lambda missing: len(pool.addresses) - len(missing),
            len(pool.addresses),
            what="one more address is answered for",
            budget="announced",
        )
        deleted = {}
        for service, address in held.items():
            deleted[address] = time.monotonic()
            check.cluster.discard(service.path)
        check.goes_silent(*pool.addresses)
    spread(
        check,
        f"{DELETED} Services deleted at once: last answer after the deletion",
        [max(moments.last[address] - at, 0.0) for address, at in deleted.items()],
    )


@proves("PERF-05")
def test_what_a_client_sees_while_services_come_and_go(check: CheckContext) -> None:
    """Requests by HTTP at a steady rate while twenty other Services come and go, then a burst of neighbour requests."""
    check.pool(CHURNED + 1)
    service = check.service("web")
    address = check.assigned(service)
    with check.precondition("TIER-01"):
        check.serves(check.client, address)
    with check.precondition("TIER-01"), Prober(check.client, address) as prober:
        began = time.monotonic()
        others = create(check, [f"other-{n}" for n in range(CHURNED)], Moments())
        check.all_assigned(*others)
        check.delete_all(*others)
        samples = prober.since(began)
    took = sorted(sample.took for sample in samples if sample.took is not None)
    check.measured("requests by HTTP", len(samples))
    check.measured("requests by HTTP without an answer", len(samples) - len(took))
    if took:
        check.measured("answer by HTTP, median", round(took[len(took) // 2] * 1000, 1), "ms")
        check.measured("answer by HTTP, 99 of 100", round(took[len(took) * 99 // 100] * 1000, 1), "ms")
    within = check.wait.budget("arp_answer")
    replies = neighbour.ask_each(
        check.client, [neighbour.Question(target=address)] * REQUESTS, every=within / REQUESTS, within=within
    )
    check.measured("neighbour requests a second", round(REQUESTS / within))
    answers = sum(map(len, replies))  # which of two requests close together was answered, no reply says
    check.measured("neighbour requests without an answer", max(REQUESTS - answers, 0))
