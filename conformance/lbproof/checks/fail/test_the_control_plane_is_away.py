"""The API server or the allocator is away for a time: what was given stays, and what waits is served afterwards."""

from __future__ import annotations

import functools
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.checks.fail.moves import assigned
from lbproof.context import CannotShow, proves
from lbproof.lab.base import Capability
from lbproof.spec import Untestable
from lbproof.text import words
from lbproof.witnesses.asking import Asking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

HOLDERS = 6
WAITING = 2
ASKS = 3
"""Requests of a client before it counts as not served."""


def not_served(check: CheckContext, addresses: Sequence[IPAddress]) -> dict[str, str]:
    """Ask each address for a page; return those where some requests in a row had no answer, with the last reason."""
    found: dict[str, str] = {}
    for address in addresses:
        why = ""
        for _ in range(ASKS):
            why = check.ask_pod_or_why(check.client, address)
            if why.startswith(check.run.web):
                break
        else:
            found[str(address)] = why
    return found


@proves("FAIL-12", disruptive=True)
def test_addresses_are_served_without_the_api_server(check: CheckContext) -> None:
    """While the API server is away, each address is answered and served all the time."""
    check.run.need(Capability.STOP_API)
    _ = check.run.web  # which is made and reached while the API server is there
    held = list(assigned(check))
    with check.precondition("TIER-01"):
        for address in held:
            check.serves(check.client, address)
    most = check.wait.budget("handed_over")
    with Asking(check.client, held) as asking:
        since = time.monotonic()

        def missed() -> dict[str, object]:
            silent = {a: seconds for a, seconds in asking.silences(held, since=since).items() if seconds > most}
            return {"without an answer": silent, "not served": not_served(check, held)}

        with check.fault(Capability.STOP_API, check.lab.stop_api):
            check.wait.consistently(
                missed,
                lambda seen: not any(seen.values()),
                what=f"{words(list(map(str, held)))} are answered and served without the API server",
                budget="api_away",
                every=0.2,
            )
        check.settled_after_fault()


@proves("FAIL-10", "b", disruptive=True)
def test_new_services_wait_for_the_allocator(check: CheckContext) -> None:
    """While the allocator stands still, what is assigned stays as it is and is answered; then new Services are given.

    These are in another namespace, and each asks for its address where that can be asked for. They are no longer new
    when the allocator sees them.
    """
    check.run.need(Capability.FREEZE_POD)
    pods = check.run.workloads.pods(WorkloadRole.CONTROLLER)
    if both := set(pods) & set(check.run.workloads.pods(WorkloadRole.ANNOUNCER)):
        raise CannotShow(Untestable.NO_WORKLOAD, f"{words([name for *_, name in both])} allocate and announce")
    pool = check.pool(HOLDERS + WAITING + 1)
    with check.room():
        held = check.all_assigned(*(check.service(f"web-{n}") for n in range(HOLDERS)))
    with check.precondition("L2-01"):
        check.holders(*held.values())
    free = [address for address in pool.addresses if address not in held.values()]
    with check.unchanged(*held):
        with ExitStack() as still:
            for _, namespace, name in pods:
                freeze = functools.partial(check.lab.freeze_pod, namespace, name)
                still.enter_context(check.fault(Capability.FREEZE_POD, freeze))
            asked = dict(enumerate(free if check.run.ways else ()))  # who does not ask may take what another asks for
            new = [
                check.service(f"web-{n}", namespace=check.second_namespace, ask=asked.get(n, ""))
                for n in range(len(free))
            ]
            check.holders(*held.values())
            check.stays_pending(*new)
            check.wait_out("address_assigned")
        check.all_assigned(*new, budget="api_back")
        check.keep_assigned(*held)


@proves("FAIL-10", "c", disruptive=True)
def test_nothing_moves_when_the_api_server_is_back(check: CheckContext) -> None:
    """All Services have the addresses of before, and one that waited gets the address that is released then.

    The API server is away for so long that watches break and leases end. All are answered for when it is back; whether
    they are meanwhile is judged by FAIL-12.
    """
    check.run.need(Capability.STOP_API)
    check.pool(HOLDERS)
    held = check.all_assigned(*(check.service(f"web-{n}") for n in range(HOLDERS)))
    waiting = [check.service(f"waits-{n}", namespace=check.second_namespace) for n in range(WAITING)]
    with check.precondition("L2-01"):
        check.holders(*held.values())
    with check.fault(Capability.STOP_API, check.lab.stop_api):
        check.wait_out("api_away")
    check.settled_after_fault()
    check.holders(*held.values(), budget="api_back")
    assert not (moved := differ(check, held)), f"moved while the API server was away: {words(moved)}"
    leaving = check.random.sample(list(held), WAITING)
    released = {held.pop(service) for service in leaving}
    for service in leaving:
        check.cluster.discard(service.path)
    given = check.all_assigned(*waiting, budget="api_back")
    for service in leaving:
        check.gone(service.path)
    assert set(given.values()) == released, f"given {words(given)}, while {words(released)} were free"
    check.keep_assigned(*held)
    assert not (moved := differ(check, held)), f"moved when the API server was back: {words(moved)}"


def differ(check: CheckContext, held: dict[Service, IPAddress]) -> dict[str, str]:
    """Return the Services whose statuses are not as they were, with the addresses in them now."""
    now = check.statuses(*held)
    return {str(service): words(now[service]) for service, address in held.items() if now[service] != [address]}
