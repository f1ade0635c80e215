"""Assignment to Pending Services without a change to them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.adapters.base import AddressRange
from lbproof.context import CannotShow, proves
from lbproof.context.refusal import Refused, admission
from lbproof.spec import Untestable
from lbproof.text import words
from lbproof.witnesses.wait import EventuallyFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lbproof.adapters.base import Ask, Object
    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

WAITERS = 3


@proves("PEND-03")
def test_a_freed_address_goes_to_who_waits(check: CheckContext, case: str) -> None:
    """Each address that its holder leaves goes to a Service that waits: for any, or for that one.

    Holders leave in every way, one after the other and two at once; those that ask for another address, by each way to
    ask. The Service that waits longest can use none of it.
    """
    leaving: list[list[Callable[[Service], None]]] = [
        [check.delete],
        [lambda service: check.retype(service, "ClusterIP")],
        [lambda service: check.retype(service, "NodePort"), lambda service: check.cluster.discard(service.path)],
        [lambda service: check.retype(service, "ExternalName")],
        [check.delete],
    ]
    apart = check.run.claims("auto-assign")
    spare = check.run.addresses(len(check.run.ways)) if check.run.ways and (case == "b" or apart) else []
    asked = zip(spare, check.run.ways, strict=False)
    leaving += [[functools.partial(moves, check, address=address, how=how)] for address, how in asked]
    count = sum(map(len, leaving))
    pool = check.pool(count)
    places = (check.namespace, check.second_namespace)
    holders = [check.service(f"holder-{n // 2}", namespace=places[n % 2]) for n in range(count)]
    held = check.all_assigned(*holders)
    if spare:  # no Service that waits may take it: its pool is kept for who asks, or each asks for another address
        check.pool(spare, addresses=spare, auto_assign=not apart)
    check.random.shuffle(holders)
    if check.run.ways:
        check.unusable("elsewhere", ask=check.run.addresses(1)[0])
    ways = [check.run.ways[n % len(check.run.ways)] if case == "b" else None for n in range(count)]
    waiting = [
        check.service(f"waiting-{n}", namespace=places[n % 2], ask=held[holders[n]] if case == "b" else "", how=ways[n])
        for n in check.random.sample(range(count), count)
    ]
    check.waits(*waiting)
    wanted = {service: held[holders[int(service.name.removeprefix("waiting-"))]] for service in waiting}

    check.random.shuffle(leaving)
    freed: list[IPAddress] = []
    for acts in leaving:
        left = [holders.pop() for _ in acts]
        for act, service in zip(acts, left, strict=True):
            act(service)
        freed += [held[service] for service in left]
        woken(check, waiting, freed, exact=case == "b")
        given = check.statuses(*waiting) if case == "b" else {}
        wrong = {str(service): held for service, held in given.items() if held and held != [wanted[service]]}
        assert not wrong, f"given another address than was asked for: {words(wrong)}"
    assert set(freed) == set(pool.addresses)


def moves(check: CheckContext, service: Service, *, address: IPAddress, how: Ask) -> None:
    """Have a Service ask for another address; delete it where it keeps its own, which REQ-05 judges."""
    asked: Object = {"metadata": {}, "spec": {}}
    check.run.ask(asked, str(address), how)
    try:
        with admission(f"the request of {service}"):
            service.patch(**asked)
        with check.wait.tentative():
            check.wait.eventually(
                service.addresses,
                lambda held: held == [address],
                what=f"{service} has {address}, for which it asks now, and no other address",
                budget="address_assigned",
            )
    except (Refused, EventuallyFailed) as error:
        check.saw("api", f"{service} is deleted, since it does not move to {address}", str(error))
        check.delete(service)


def woken(check: CheckContext, waiting: Sequence[Service], freed: Sequence[IPAddress], *, exact: bool) -> None:
    """Wait until exactly the addresses that have been freed so far are held by Services that wait.

    Raises `CannotShow` when the address that was freed last is given to nobody, not even to a new Service that asks.
    """
    expected = sorted(map(str, freed))

    def given() -> list[str]:
        return sorted(str(address) for held in check.statuses(*waiting).values() for address in held)

    try:
        check.one_by_one(
            given,
            lambda seen: len(seen) if seen == sorted(set(seen) & set(expected)) else 0,
            len(expected),
            what=f"one more of {words(expected)}, which were freed, goes to one of {len(waiting)} Services that wait",
            budget="address_assigned",
        )
    except EventuallyFailed as failure:
        free = set(freed) - {address for held in check.statuses(*waiting).values() for address in held}
        probe = check.service("probe", ask=min(free, key=str) if exact else "")
        try:
            check.wait.eventually(
                lambda: [service.addresses() for service in (probe, *waiting)],
                lambda seen: bool(seen[0]) or sum(map(len, seen[1:])) >= len(expected),
                what="an address that was freed is given to anybody",
                budget="address_assigned",
            )
        except EventuallyFailed as nobody:
            raise CannotShow(Untestable.NOT_PROVOKED, str(nobody)) from failure
        raise


@proves("PEND-04")
def test_a_pool_that_grows_serves_who_waits(check: CheckContext, case: str) -> None:
    """Each Service that waits gets an address when a pool is added or extended, twice; other Services keep theirs.

    Those that ask for an address that is in no pool, one by each way, get it when a third one has it.
    """
    block = check.run.addresses(2 + 2 * WAITERS)
    places = (check.namespace, check.second_namespace)
    first = check.pool([AddressRange(block[2], block[3])], addresses=block[2:4])
    holders = [check.service("web", namespace=place) for place in places]
    check.all_assigned(*holders)
    asked = dict(zip(check.run.ways, check.run.addresses(len(check.run.ways)), strict=True)) if check.run.ways else {}
    with check.unchanged(*holders):
        askers = {s: ask for how, ask in asked.items() for s in check.unusable(f"asks-{how}", ask=ask, how=how)}
        waiting = waiters(check, "waiting")
        check.waits(*waiting, *askers)
        if case == "a":
            new = [block[n] for n in (0, 1, 4)]
            check.pool([AddressRange(block[0], block[1]), AddressRange(block[4], block[4])], addresses=new)
        else:
            new = [*block[:2], block[4]]
            check.change_pool(first, blocks=(AddressRange(block[0], block[4]),))
        served(check, waiting, new)

        with check.unchanged(*waiting):
            more = waiters(check, "more")
            check.waits(*more)
            if case == "a":
                check.pool([AddressRange(block[5], block[7])], addresses=block[5:])
            else:
                check.change_pool(first, blocks=(AddressRange(block[5], block[7]), AddressRange(block[0], block[4])))
            served(check, more, block[5:])
            if askers:
                last = list(askers.values())
                if case == "a":
                    check.pool(last, addresses=last)
                else:
                    check.change_pool(first, blocks=(*first.spec.blocks, *last))
                served(check, list(askers), last)


def served(check: CheckContext, waiting: Sequence[Service], new: Sequence[IPAddress]) -> None:
    """Wait until Services that waited have addresses, and verify that these are the new ones."""
    given = check.all_assigned(*waiting, budget="pool_applied")
    assert set(given.values()) == set(new), f"{words(list(given.values()))} were given, expected {words(new)}"


def waiters(check: CheckContext, name: str) -> list[Service]:
    """Create Services in two namespaces, in an order drawn from the seed."""
    places = [(f"{name}-{n // 2}", (check.namespace, check.second_namespace)[n % 2]) for n in range(WAITERS)]
    check.random.shuffle(places)
    return [check.service(name, namespace=place) for name, place in places]
