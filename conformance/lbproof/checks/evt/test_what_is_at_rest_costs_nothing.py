"""Writes and Events while nothing changes: what a storm of them costs, all of a cluster pays."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause
from lbproof.adapters.reports import times_of
from lbproof.context import proves
from lbproof.context.service_watch import ServiceWatch
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Service

HOLDERS = 3
LATE = 1
"""Versions of a Service that may still be written for what happened before."""
FEW = 3
"""Events that a Service may cost in the watched time: one that is retried with growing pauses costs fewer."""


def at_rest(check: CheckContext) -> list[Service]:
    """Create Services that have addresses and that wait, in two namespaces; wait until all that is to be told is told.

    They wait for a full pool, for an address that no pool has, and for a pool that does not exist.
    """
    pool = check.pool(HOLDERS)
    places = (check.namespace, check.second_namespace)
    services = [check.service("asks", ask=pool.addresses[1])] if check.run.ways else []
    with check.precondition():
        check.all_assigned(*services)
        services += [check.service(f"web-{n // 2}", namespace=places[n % 2]) for n in range(HOLDERS - len(services))]
        for service, address in check.all_assigned(*services).items():
            check.shown(service, address)
    waiting = [(service, Cause.POOL_EXHAUSTED) for service in (check.service("late", namespace=p) for p in places)]
    if check.run.ways:
        asking = check.unusable("outside", ask=check.run.addresses(1)[0])
        waiting += [(service, Cause.NOT_IN_POOL) for service in asking]
    with check.precondition():
        for service, cause in waiting:
            check.refused(service, cause)
        check.stays_pending(*(service for service, _ in waiting))
    return [*services, *(service for service, _ in waiting), check.service("plain", type="ClusterIP")]


@proves("EVT-07", "a")
def test_nothing_is_written_at_rest(check: CheckContext) -> None:
    """No Service gets version after version while nothing changes, whether it has an address or waits for one.

    What was still to be written for what happened before is written within the time of an annotation; then nothing is.
    """
    services = at_rest(check)
    written: Counter[str] = Counter()

    def changed(_kind: str, made: Object) -> None:
        written[f"{made['metadata']['namespace']}/{made['metadata']['name']}"] += 1

    with ServiceWatch(check.cluster, check.namespace, changed, everywhere=True):
        check.wait.consistently(
            lambda: {str(service): written[str(service)] for service in services if written[str(service)] > LATE},
            lambda seen: not seen,
            what="no Service is written more than once while nothing changes",
            budget="annotation_seen",
        )
        before = Counter(written)
        check.wait.consistently(
            lambda: {str(one): more for one in services if (more := written[str(one)] - before[str(one)])},
            lambda seen: not seen,
            what="no Service is written while nothing changes",
            budget="stays_unwritten",
        )


@proves("EVT-07", "b")
def test_a_service_that_waits_costs_few_events(check: CheckContext) -> None:
    """No Service costs Event after Event while nothing changes, whether it waits for an address or has one."""
    services = at_rest(check)
    before = {service: told(service) for service in services}
    check.wait.consistently(
        lambda: {str(one): count for one in services if (count := told(one) - before[one]) > FEW},
        lambda seen: not seen,
        what=f"no Service costs more than {FEW} Events while nothing changes",
        budget="stays_quiet",
        every=0.5,
        show=lambda seen: words(seen) if seen else "few",
    )


def told(service: Service) -> int:
    """Count the Events about a Service, each as often as it was repeated."""
    return sum(map(times_of, service.events()))
