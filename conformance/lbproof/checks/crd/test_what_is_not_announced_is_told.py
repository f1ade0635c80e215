"""What keeps an address from being announced, or a pool from being declared: its author is told."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.adapters import rendering
from lbproof.adapters.base import AddressRange, PoolSpec, WorkloadRole
from lbproof.context import proves
from lbproof.text import words
from lbproof.witnesses.kube import ApiError

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Service

SERVICES = 3


def warnings(service: Service) -> list[str]:
    """Return the texts of the Warning Events about a Service, and of its conditions that are False."""
    now = service.read()
    events = [event for event in service.cluster.events_about(now) if event.get("type") == "Warning"]
    rows = [row for row in now.get("status", {}).get("conditions", []) if row.get("status") == "False"]
    return [row.get("message") or row.get("reason") or "" for row in (*events, *rows)]


@proves("CRD-05", "a")
def test_a_service_that_nothing_advertises_is_told(check: CheckContext) -> None:
    """A Warning Event or a condition tells each Service that has an address and is not announced; nobody else.

    Of a pool that never was advertised, and of one that no longer is.
    """
    good = check.pool(2)
    announced = [check.service("announced", namespace=place) for place in (check.namespace, check.second_namespace)]
    check.all_assigned(*announced)
    check.pool(SERVICES, advertised=False)
    services = [check.service(f"web-{n}") for n in range(SERVICES)]
    check.all_assigned(*services)
    for service in services:
        is_told(check, service)
    wrong = {str(service): found for service in announced if (found := warnings(service))}
    assert not wrong, f"told to Services that are announced: {words(wrong)}"

    check.change_pool(good, advertised=False)
    for service in announced:
        is_told(check, service)


def is_told(check: CheckContext, service: Service) -> None:
    """Wait until a Service has a warning."""
    check.wait.eventually(
        lambda: warnings(service),
        bool,
        what=f"a Warning Event or a condition says that the address of {service} is not announced",
        budget="event_seen",
        show=lambda found: words(found) or "nothing",
    )


@proves("CRD-05", "b", disruptive=True)
def test_pools_are_taken_or_refused_while_no_controller_runs(check: CheckContext) -> None:
    """While no controller runs, and with it no webhook of its own, Services keep their addresses and are answered for.

    A pool that is created meanwhile is taken, and used when a controller is back, or its author has an error that says
    why; then it can be created again.
    """
    check.pool(3)
    services = [check.service("web", namespace=place) for place in (check.namespace, check.second_namespace)]
    held = check.all_assigned(*services)
    if check.run.claims("l2"):
        with check.precondition("L2-01"):
            check.holders(*held.values())
    block = check.run.addresses(2)
    spec = PoolSpec(name="crd-05b-late", blocks=(AddressRange(block[0], block[-1]),))
    check.used += block
    with check.unchanged(*services):
        with check.run.workloads.stopped(WorkloadRole.CONTROLLER):
            check.undo.later(f"pool {spec.name}", functools.partial(check.run.pools.drop, spec.name))
            check.run.acts.add_pool(spec)
            check.undo.later(f"pool {spec.name} beside", functools.partial(check.run.acts.drop_pool, spec.name))
            error = refusal(check, spec)
            assert error is None or error.strip(), "the author of a pool is refused without a reason"
            if check.run.claims("l2") and not announces_too(check):
                check.holders(*held.values())
        check.run.pools.put(spec)
        check.control(budget="restarted")
        after = [check.service(f"after-{n}") for n in range(2)]
        check.all_assigned(*after, budget="pool_applied")  # all five addresses are given then


def announces_too(check: CheckContext) -> bool:
    """Return whether the pods of a controller are those of an announcer too."""
    return any({WorkloadRole.CONTROLLER, WorkloadRole.ANNOUNCER} <= {*one.roles} for one in check.run.workloads.all)


def refusal(check: CheckContext, spec: PoolSpec) -> str | None:
    """Create the objects of a pool; return the error of the one that is refused, None when all are taken."""
    for made in rendering.pools(check.run.adapter, [spec], check.run.site):
        try:
            check.cluster.apply(made)
        except ApiError as error:
            check.saw("api", "a pool is refused while no controller runs", str(error))
            return error.message
    return None
