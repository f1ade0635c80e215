"""Statuses that somebody else than the implementation writes: what no pool explains is not announced for long."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lbproof.checks.crd.owners import one_each
from lbproof.context import proves
from lbproof.context.objects import points_of
from lbproof.spec.families import family_of
from lbproof.text import words
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof.context import CheckContext, Pool, Service

HOLDERS = 3


def corrected(check: CheckContext, right: Mapping[Service, list[str]]) -> None:
    """Wait until the statuses of Services have what they are to have."""
    wanted = {str(service): points for service, points in right.items()}
    check.one_by_one(
        lambda: {str(service): points_of(service.read()) for service in right},
        lambda seen: sum(seen[name] == points for name, points in wanted.items()),
        len(wanted),
        what=f"one more forged status is corrected, of {words(wanted)}",
        budget="corrected",
    )


def have_their_own(check: CheckContext, services: Sequence[Service], pool: Pool) -> None:
    """Wait until the status of each Service has one address of a pool, and no other one has the same."""
    free = set(map(str, pool.addresses))

    def alone(seen: Mapping[str, list[str]]) -> int:
        times = Counter(point for points in seen.values() for point in points)
        return sum(len(points) == 1 and points[0] in free and times[points[0]] == 1 for points in seen.values())

    check.one_by_one(
        lambda: {str(service): points_of(service.read()) for service in services},
        alone,
        len(services),
        what=f"one more of {words(list(map(str, services)))} has an address of the pool that no other one has",
        budget="corrected",
    )


@proves("SEC-02", "a")
def test_a_forged_address_outside_every_pool_is_corrected(check: CheckContext) -> None:
    """Free addresses of no pool, the router's and a node's are not announced for a Service whose status names them.

    The statuses have their own addresses again; that of a Service that has none is empty. So it is when the same ones
    are forged once more, some with the same address, and when these are written before and after their own addresses.
    """
    check.pool(HOLDERS)
    held = check.all_assigned(*(check.service(f"web-{n}", serving=True) for n in range(HOLDERS)))
    waiting = check.service("waits", serving=True)
    check.waits(waiting)
    family = family_of(next(iter(held.values())))
    outside = check.run.addresses(2, family)
    gateway, node = check.lab.segment.subnet_for(family)[1], check.lab.nodes[-1].address_for(family)
    owners = {host: check.who_has(host) for host in (gateway, node)}
    right = {service: [str(address)] for service, address in held.items()} | {waiting: list[str]()}
    first, second, *same = check.random.sample([*outside, gateway, node], len(right))
    for addresses in ((first, second, *same), (second, first, *same)):
        for service, address in zip(right, addresses, strict=True):
            service.write_address(address)
        corrected(check, right)
    for is_first in (False, True):
        for (service, own), address in zip(held.items(), (*same, first, second), strict=False):
            service.write_address(*((address, own) if is_first else (own, address)))
        corrected(check, right)
    check.goes_silent(*outside)
    now = {host: check.who_has(host) for host in owners}
    assert now == owners, f"answered for by {words(now)}, before the statuses named them by {words(owners)}"
    check.keep_assigned(*held)


@proves("SEC-02", "b")
def test_a_forged_address_of_another_service_is_corrected(check: CheckContext) -> None:
    """A Service keeps its address, for which one node answers; those whose statuses named it too have others.

    One of them is older than the Service, and one is younger, by its name too. It is so the second time too. Nothing
    says that they are given the addresses of before, where others are free.
    """
    places = (check.second_namespace, check.namespace, check.namespace)  # in the order of the names
    with check.pool_with_room(HOLDERS) as pool:
        held = check.all_assigned(*(check.service(f"web-{n}", namespace=place) for n, place in enumerate(places)))
    with check.precondition("L2-01"):
        before = check.sole_holders(*held.values())
    older, victim, younger = held
    with check.unchanged(victim):
        for _ in range(2):
            for service in check.random.sample([older, younger], 2):
                service.write_address(held[victim])
            have_their_own(check, list(held), pool)
    now = check.sole_holders(*check.all_assigned(*held).values())
    check.saw("arp", "who answers for the addresses, before and after", [words(before), words(now)])


@proves("SEC-02", "c")
def test_a_forged_free_address_has_one_holder(check: CheckContext) -> None:
    """A free address of a pool that the status of a Service names is given to no second Service meanwhile.

    Whether the Service may keep it is the implementation's to say. Where it may not, the same is forged once more.
    """
    pool = check.pool(HOLDERS + 1)
    held = check.all_assigned(*(check.service(f"web-{n}") for n in range(HOLDERS)))
    (free,) = [address for address in pool.addresses if address not in held.values()]
    forged = check.random.choice(list(held))
    for _ in range(2):
        forged.write_address(free)
        try:
            with check.wait.tentative():
                corrected(check, {forged: [str(held[forged])]})
        except Violation:  # it may be kept; until then nothing else asks for an address
            break
    new = [check.service(f"new-{n}", namespace=check.second_namespace) for n in range(2)]
    check.wait.eventually(
        lambda: [point for service in (*held, *new) for point in points_of(service.read())],
        lambda points: sorted(points) == sorted(map(str, pool.addresses)),
        what=f"each of {words(list(map(str, pool.addresses)))} has one holder",
        budget="corrected",
    )
    one_each(check)
