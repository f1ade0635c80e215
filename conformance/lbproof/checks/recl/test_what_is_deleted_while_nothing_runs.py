"""Addresses that are released while the controller or the announcers do not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.context import proves
from lbproof.context.draws import types_to_leave_for, with_namesakes
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

SERVICES = 6


def held_and_seen(check: CheckContext) -> dict[Service, IPAddress]:
    """Fill all but one address of a pool by Services in two namespaces; wait until theirs are answered for."""
    places = (check.namespace, check.second_namespace)
    with check.room():
        services = [check.service(f"web-{n // 2}", namespace=places[n % 2]) for n in range(SERVICES)]
        held = check.all_assigned(*services)
    if check.run.claims("l2"):
        with check.precondition("L2-01"):
            check.holders(*held.values())
    return held


def release(check: CheckContext, services: list[Service]) -> None:
    """Release the addresses of Services without waiting for finalizers: the last two leave for two types."""
    *deleted, first, second = services
    for service in deleted:
        check.cluster.discard(service.path)
    for service, kind in zip((first, second), types_to_leave_for(check.random), strict=False):
        check.retype(service, kind)


@proves("RECL-06", "a", disruptive=True)
def test_what_is_released_without_a_controller_is_free_afterwards(check: CheckContext) -> None:
    """Addresses that are released while no controller runs are silent when one is back, and given to new Services.

    By deletion and for each other type; a new one has the name of one that was deleted, and asks for an address that
    was released. The others, namesakes of those among them, keep their addresses at any time.
    """
    pool = check.pool(SERVICES + 1)
    held = held_and_seen(check)
    spare = [address for address in pool.addresses if address not in held.values()]
    leaving = with_namesakes(check.random, held, 3)
    leaving.append(check.random.choice([service for service in held if service not in leaving]))
    staying = [service for service in held if service not in leaving]
    released = [held[service] for service in leaving]
    with check.unchanged(*staying):
        with check.run.workloads.stopped(WorkloadRole.CONTROLLER):
            release(check, leaving)
        control = check.control(budget="restarted")  # of any address that is free
        for service in leaving[:-2]:
            check.gone(service.path)
        if check.run.claims("l2"):
            check.goes_silent(*(address for address in released if address != control))
        free = [address for address in (*released, *spare) if address != control]
        asked = check.random.choice([address for address in released if address != control]) if check.run.ways else ""
        same = check.service(leaving[0].name, namespace=leaving[0].namespace, ask=asked)
        given = check.all_assigned(same, budget="reclaimed")
        assert not asked or given[same] == asked, f"{given[same]} was given to who asked for {asked}"
        given |= check.all_assigned(*(check.service(f"next-{n}") for n in range(len(free) - 1)), budget="reclaimed")
    shown = [words(sorted(map(str, some))) for some in (free, given.values())]
    assert set(given.values()) == set(free), f"{shown[0]} are free, and {shown[1]} were given"


@proves("RECL-06", "b", disruptive=True)
def test_what_is_released_without_announcers_is_silent_afterwards(check: CheckContext) -> None:
    """Addresses that are released while no announcer runs are silent when they are back; others are answered for."""
    check.pool(SERVICES + 1)
    held = held_and_seen(check)
    leaving = with_namesakes(check.random, held, 3)
    staying = {service: address for service, address in held.items() if service not in leaving}
    with check.unchanged(*staying):
        with check.run.workloads.stopped(WorkloadRole.ANNOUNCER):
            release(check, leaving)
        for service in leaving[:-2]:
            check.gone(service.path)
        with check.precondition("FAIL-02"):
            check.holders(*staying.values(), budget="failover")
        check.goes_silent(*(held[service] for service in leaving))
