"""Services that share an address and are changed so that they may not, or leave; and who answers for it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

from lbproof.checks.share.sharers import (
    FIRST,
    FOURTH,
    KEY,
    OTHER_KEY,
    ROOM,
    SECOND,
    THIRD,
    filled,
    keep_serving,
    ports,
    served,
    taken_up,
    together,
)
from lbproof.context import proves
from lbproof.context.claims import claimants
from lbproof.context.draws import types_to_leave_for
from lbproof.text import words
from lbproof.witnesses import neighbours

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

T = TypeVar("T")


@proves("SHARE-03")
def test_a_change_that_forbids_sharing_is_followed(check: CheckContext, case: str) -> None:
    """Either of the two has the address then; the other gets it when that one is deleted.

    The port that both have is one that the other was given while they shared. At first no other address is free, then
    some are, with another Service that shares: either of the two keeps the address, and the other one may be given one.
    """
    check.pool(1 + ROOM)
    with filled(check):
        address, services = together(check, FIRST, SECOND)
        left, key = one_is_served(check, case, address, services)
        joins = check.service("joins", share=key, ports=ports(FOURTH))
        with check.precondition("SHARE-01"):
            check.assigned(joins)
    served_at = {left: services[left], joins: FOURTH}
    if case == "a":
        another = KEY if key == OTHER_KEY else OTHER_KEY
        check.random.choice([left, joins]).patch(metadata=check.run.adapter.sharing_key.patch(another))
    else:
        joins.patch(spec={"ports": ports(THIRD)})
        served_at[joins] = THIRD
    held = check.wait.eventually(
        lambda: check.statuses(*served_at),
        lambda seen: sum(address in found for found in seen.values()) == 1,
        what=f"one of {left} and {joins} keeps {address}, while others are free",
        budget="address_assigned",
    )
    (keeper,) = (service for service, found in held.items() if address in found)
    with check.unchanged(keeper):
        check.control()
        served(check, address, {keeper: served_at[keeper]})


def one_is_served(
    check: CheckContext, case: str, address: IPAddress, services: dict[Service, int]
) -> tuple[Service, str]:
    """Change one of two Services that share the only free address; verify that one has it, then the other.

    Return the one that has it at the end, and its key.
    """
    changed, other = check.random.sample(list(services), 2)
    if case == "a":
        changed.patch(metadata=check.run.adapter.sharing_key.patch(OTHER_KEY))
    else:
        other.patch(spec={"ports": ports(services[other], THIRD)})
        taken_up(check, *services)
        changed.patch(spec={"ports": ports(THIRD)})
        services[changed] = THIRD
    held = check.wait.eventually(
        lambda: check.statuses(*services),
        lambda seen: sum(bool(found) for found in seen.values()) == 1,
        what=f"one of {changed} and {other} has {address}",
        budget="address_assigned",
    )
    (keeper,) = (service for service, found in held.items() if found)
    (loser,) = (service for service in services if service is not keeper)
    with check.unchanged(keeper):
        served(check, address, {keeper: services[keeper]})
        taken_up(check, keeper)
        check.stays_pending(loser)
    check.delete(keeper)
    with check.precondition("PEND-03"):
        check.assigned(loser)
    served(check, address, {loser: services[loser]})
    return loser, OTHER_KEY if case == "a" and loser is changed else KEY


def who_leaves(random: Random, sharers: Sequence[T]) -> tuple[T, list[T]]:
    """Draw which of some sharers leaves and returns, and in which order all leave then.

    The first may be the one that counts as the holder: it does not return, and is not the last to leave.
    """
    first, *others = sharers
    leaving = random.sample(others, len(others))
    leaving.insert(random.randrange(len(others)), first)
    return random.choice(others), leaving


@proves("SHARE-04")
def test_an_address_stays_until_its_last_service_is_gone(check: CheckContext) -> None:
    """Services leave one after the other, by deletion and by type; the rest is served, and then nobody answers.

    One has changed its port before, and one has left for ClusterIP or NodePort and come back; one leaves for the other
    type then. The first of them leaves while others have the address, and another one while the first has. The address
    is given to another one at the end. Others are free meanwhile, but when one comes back.
    """
    check.pool(1 + ROOM)
    with filled(check):
        address, services = together(check, FIRST, SECOND, THIRD)
    returned, leaving = who_leaves(check.random, list(services))
    types = types_to_leave_for(check.random)
    edited, other = check.random.sample([service for service in services if service is not returned], 2)
    with check.unchanged(other):
        edited.patch(spec={"ports": ports(FOURTH)})
        services[edited] = FOURTH
        with check.precondition("RECL-02"):
            check.leaves_type(returned, next(types))
        keep_serving(check, address, [services[other]])
        with filled(check), check.precondition("SHARE-01"):
            check.retype(returned, "LoadBalancer")
            check.all_assigned(*services)
            served(check, address, services)
    for turn, service in enumerate(leaving):
        del services[service]
        with check.unchanged(*services):
            if turn % 2:
                check.retype(service, next(types))
            else:
                check.delete(service)
            if services:
                keep_serving(check, address, list(services.values()))
    if check.run.claims("l2"):
        check.goes_silent(address)
    check.all_assigned(*(check.service(f"next-{n}") for n in range(1 + ROOM)), budget="reclaimed")


@proves("SHARE-05")
def test_a_shared_address_has_one_answerer(check: CheckContext) -> None:
    """Services whose endpoints are on different nodes, go to others, and one of which leaves.

    That the address goes from one node to another meanwhile is no fault, as long as the former one claims it no more.
    """
    nodes = check.nodes_with_pods(least=2)
    check.pool(1)
    address, services = together(check, FIRST, SECOND, THIRD)
    check.undo.later("the client's entry", functools.partial(neighbours.forget, check.client, address))
    for turn in range(3):
        if turn == 2:  # noqa: PLR2004 - the last one
            gone = check.random.choice(list(services))
            check.delete(gone)
            del services[gone]
        for n, service in enumerate(services):
            check.serve_from(service, nodes=[nodes[(n + turn) % len(nodes)]])
        first = check.sole_holders(address)[address]
        with check.claims() as claims:
            check.wait.consistently(
                lambda: sorted(check.answerers(address)),
                lambda who: len(who) <= 1,
                what=f"one node answers for {address}",
                budget="stays_silent",
            )
            last = check.sole_holders(address)[address]
            order = claimants(claims.of([address])[address], first, last)
        assert len(order) == len(set(order)), (
            f"{address} is claimed by {words(order)} in this order, expected no return"
        )
        neighbours.forget(check.client, address)
        served(check, address, services)
