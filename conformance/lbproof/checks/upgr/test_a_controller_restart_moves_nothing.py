"""Stability of addresses through restarts of the controller, as in an upgrade."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import WorkloadRole
from lbproof.checks.share.sharers import KEY, ports
from lbproof.context import proves
from lbproof.context.classes import of_own_class, without_class
from lbproof.context.draws import with_namesakes
from lbproof.context.precedence import judging
from lbproof.context.refusal import Refused, admission
from lbproof.text import words
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof.adapters.base import Ask
    from lbproof.context import CheckContext, Pool, Service
    from lbproof.spec.families import IPAddress

MANY = 24
"""Holders at a restart: more than a client reads that asks for few at a time."""
NEW = 3
"""Services that are created after restarts, in place of as many that were deleted before."""
HOLDERS = 8
RESTARTS = 5


def fill(check: CheckContext, pool: Pool, *, spare: int = 0) -> dict[Service, IPAddress]:
    """Fill a pool, but for `spare` addresses, with Services of two namespaces, some of which asked for their address.

    Namesakes are among them, and Services that are the implementation's in every way: without a class, and of its own
    class where that is seen.
    """
    own = of_own_class(check)
    free = check.random.sample([a for a in pool.addresses if a not in own.values()], len(pool.addresses) - len(own))
    places = [check.namespace, check.second_namespace]
    asking = [
        check.service(f"asks-{n}", namespace=place, ask=free.pop(), how=way)
        for n, way in enumerate(check.run.ways)
        for place in places
    ]
    held = own | check.all_assigned(*asking)
    if check.run.claims("default-class"):
        plain = [check.service("plain", namespace=place, change=without_class) for place in places]
        held |= check.all_assigned(*plain)
        free = free[len(plain) :]
    names = [(f"web-{n // len(places)}", places[n % len(places)]) for n in range(len(free) - 1 - spare)]
    names.append(("b-web-0", check.namespace))  # with its namespace, it reads like web-0 of the second one
    check.random.shuffle(names)
    return held | check.all_assigned(*(check.service(name, namespace=place) for name, place in names))


def sharers(check: CheckContext) -> list[Service]:
    """Create Services that share two addresses of a pool by one key, two each; return them.

    All would fit one address: two more that have gone since kept the others apart by their ports. None where Services
    are not given addresses so, which is judged elsewhere.
    """
    if not check.run.claims("sharing"):
        return []
    pool = check.pool(2)
    common, *rest = range(8080, 8085)
    between = [check.service(f"between-{n}", share=KEY, ports=ports(common, *rest[n::2])) for n in range(2)]
    with suppress(Violation), check.wait.tentative():
        check.all_assigned(*between)
        found = [check.service(f"shares-{n}", share=KEY, ports=ports(port)) for n, port in enumerate(rest)]
        check.all_assigned(*found)
        check.delete_all(*between)
        return found
    check.delete_all(*check.services)
    check.remove_pool(pool)
    return []


def requests_what_no_pool_has(check: CheckContext, service: Service, how: Ask) -> None:
    """Have a Service ask for an address that is in no pool, beside its own.

    Nobody is forbidden to take it away then, before a restart.
    """
    asked: dict[str, Any] = {"metadata": {}, "spec": {}}
    check.run.ask(asked, str(check.run.addresses(1)[0]), how)
    try:
        with admission(f"the request of {service}"):
            service.patch(**asked)
    except Refused as refusal:
        check.saw("api", f"the request of {service} is refused", str(refusal))
    newer = check.service("newer")
    with check.precondition():
        check.assigned(newer)
    check.delete(newer)


@proves("UPGR-01", disruptive=True)
def test_a_restart_moves_nothing(check: CheckContext) -> None:
    """Services of all kinds keep their addresses through two restarts; no status is ever empty.

    New Services get the addresses that are free. A Service whose pool was removed counts where it was let alone then,
    and so do those that ask for an address in no pool, by each way, since they have their own. Services that share an
    address are among them, although by now another one of their key would fit.
    """
    shared = sharers(check)
    removed = check.pool(1)
    orphan = check.service("of-removed-pool")
    address = check.assigned(orphan)
    held = fill(check, check.pool(MANY), spare=2)
    check.remove_pool(removed)  # its Service may keep its address, or take a spare one at any time until it is asked
    held |= check.all_assigned(check.service("last"))
    for service in with_namesakes(check.random, held, NEW):
        check.delete(service)
        del held[service]
    let_alone = {orphan: address}
    ways = check.run.ways
    for edited, how in zip(with_namesakes(check.random, held, len(ways)), ways, strict=True):
        let_alone[edited] = held.pop(edited)
        requests_what_no_pool_has(check, edited, how)
    kept = check.still_held(let_alone, budget="pool_applied")
    held |= {service: let_alone[service] for service in kept}
    if orphan not in kept:
        check.delete(orphan)
    held |= check.all_assigned(*shared)

    new: list[Service] = []
    with judging(lambda: has_no_address_of(check, held, new)), check.unchanged(*held):
        check.run.workloads.restart(WorkloadRole.CONTROLLER)
        new += [check.service(f"new-{n}", namespace=check.second_namespace) for n in range(NEW - 1)]
        after(check, *new)
        check.run.workloads.restart(WorkloadRole.CONTROLLER)
        new.append(check.service("new"))
        after(check, new[-1])
        check.keep_assigned(*held)


def after(check: CheckContext, *services: Service) -> None:
    """Wait until a controller that has started again gives addresses: it has then read the older Services too."""
    with check.precondition():
        check.all_assigned(*services, budget="restarted")


@proves("UPGR-02", disruptive=True)
def test_five_restarts_with_a_full_pool_move_nothing(check: CheckContext) -> None:
    """Holders keep their addresses through five restarts while Services wait for any address and for theirs.

    Some of those that wait are older than the holder of the address that they ask for. After each restart, something is
    given: an address of a pool apart, or without such pools that of a Service which goes, to one that waits or is new.
    """
    held = fill(check, check.pool(HOLDERS))
    (last,) = with_namesakes(check.random, held, 1)
    first = check.random.choice([service for service in held if service is not last])
    places = (check.namespace, check.second_namespace)
    waiting = {
        place: [
            check.service(f"asker-{n}", namespace=place, ask=held[first], how=way)
            for n, way in enumerate(check.run.ways)
        ]
        for place in places
    }
    check.delete(last)
    del held[last]
    check.next_second()
    younger = check.service("younger", namespace=check.random.choice(places))
    held |= check.all_assigned(younger)
    for service, way in zip(waiting[check.namespace], check.run.ways, strict=True):
        asked: dict[str, Any] = {"metadata": {}, "spec": {}}
        check.run.ask(asked, str(held[younger]), way)
        service.patch(**asked)
    anything = [check.service("waits", namespace=place) for place in places]
    asking = [service for asked in waiting.values() for service in asked]
    controls = check.apart(RESTARTS)

    leaving = [check.random.choice([service for service in held if service not in {first, younger}])]
    staying = {service: address for service, address in held.items() if service not in leaving}
    still = [*leaving, *asking, *anything] if controls else []
    with judging(lambda: has_no_address_of(check, staying, asking)), check.unchanged(*staying, *still):
        for n in range(RESTARTS):
            check.run.workloads.restart(WorkloadRole.CONTROLLER)
            if controls:
                check.control(budget="restarted", **controls[n])
            else:
                leaving, anything = check.control_in_turn(anything, leaving, budget="restarted")
        check.keep_assigned(*staying, *(leaving if controls else ()))


def has_no_address_of(check: CheckContext, held: Mapping[Service, IPAddress], others: Sequence[Service]) -> None:
    """Verify that no address of some Services is in the status of another one."""
    given = check.statuses(*others)
    twice = [f"{service} has the address of {old}" for old in held for service in others if held[old] in given[service]]
    assert not twice, f"given to another Service after a restart: {words(twice)}"
