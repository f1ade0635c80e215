"""Two copies of the controller at a time, as in a rollout, or when a node with one of them is cut off."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.checks.pool.holders import Holders
from lbproof.context import proves
from lbproof.context.service_watch import ServiceWatch
from lbproof.lab.base import Capability

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

COPIES = 2
STAYING = 6
COMING = 8
"""Services that come in one turn, half of them at once."""
SIZE = STAYING + COMING + 2
"""Addresses: one is for who asks for one, and one is spare."""


@proves("UPGR-04", "b", disruptive=True)
def test_two_copies_give_no_address_twice(check: CheckContext) -> None:
    """No two statuses have one address at any time, and none that has one changes, while Services come, go and ask.

    Two copies run meanwhile; each is killed once, and each is deleted once. A Service that comes while one ends is
    waited for as after a restart; one that comes later is served as ever.
    """
    check.pool(SIZE)
    _ = check.run.backends  # once, before there are threads
    holders = Holders((check.namespace, check.second_namespace), keep=True)
    with ServiceWatch(check.cluster, check.namespace, holders.changed, everywhere=True):
        staying = at_once(check, "stays", STAYING)
        with check.precondition():
            check.all_assigned(*staying)
        with check.run.workloads.copies(WorkloadRole.CONTROLLER, COPIES):
            present = at_once(check, "first", COMING)
            check.all_assigned(*present)
            for number, end in enumerate(ends(check)):
                present = turn(check, f"turn-{number}", present, end)
        check.keep_assigned(*staying, *present)


def at_once(check: CheckContext, name: str, count: int, *, ask: IPAddress | str = "") -> list[Service]:
    """Create that many Services in two namespaces at once."""
    places = (check.namespace, check.second_namespace)
    with ThreadPoolExecutor(count) as workers:
        return list(workers.map(lambda n: check.service(f"{name}-{n}", namespace=places[n % 2], ask=ask), range(count)))


def ends(check: CheckContext) -> list[Callable[[], None]]:
    """Return what ends one of the copies: each is killed, where the lab can do that, and then each is deleted."""
    workloads = check.run.workloads
    names = [name for *_, name in workloads.pods(WorkloadRole.CONTROLLER)]
    acts = [workloads.kill_pod] if check.lab.can(Capability.KILL) else []
    return [
        functools.partial(act, WorkloadRole.CONTROLLER, name) for act in (*acts, workloads.delete_pod) for name in names
    ]


def turn(check: CheckContext, name: str, leaving: Sequence[Service], end: Callable[[], None]) -> list[Service]:
    """Have Services go, and others come, while one copy ends and afterwards; return those that are there then.

    Where addresses can be requested, two Services ask at once for one that is released.
    """
    freed = check.random.choice([address for held in check.statuses(*leaving).values() for address in held])
    for service in leaving:
        check.cluster.discard(service.path)
    asking = at_once(check, f"{name}-asks", 2, ask=freed) if check.run.ways else []
    coming = at_once(check, f"{name}-meanwhile", COMING // 2)
    end()
    with check.precondition():
        check.all_assigned(*coming, budget="restarted")
    for service in leaving:
        check.gone(service.path)
        service.gone = True
    if asking:
        with check.precondition("PEND-03"):
            statuses = check.wait.eventually(
                lambda: check.statuses(*asking, *coming),
                lambda seen: any(freed in held for held in seen.values()),
                what=f"{freed}, which was released, is given to a Service that may have it",
                budget="reclaimed",
            )
        check.delete_all(*(service for service in asking if not statuses[service]))
        asking = [service for service in asking if statuses[service]]
    check.run.workloads.copies_run(WorkloadRole.CONTROLLER, COPIES)
    later = at_once(check, f"{name}-later", COMING // 2)
    check.all_assigned(*later, budget=max(("address_assigned", "reclaimed"), key=check.wait.budget))
    return [*asking, *coming, *later]
