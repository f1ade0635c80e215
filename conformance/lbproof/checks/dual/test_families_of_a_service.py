"""Services of IPv6 alone, of both families, and of one after the other."""

from __future__ import annotations

import itertools
from contextlib import suppress
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import AddressRange, Ask, Cause
from lbproof.context import proves
from lbproof.context.objects import points_of
from lbproof.context.precedence import judging
from lbproof.spec.families import Family, family_of
from lbproof.text import words
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lbproof.context import CheckContext, Pool, Service
    from lbproof.spec.families import IPAddress

SERVICES = 3
ORDERS = ((Family.IPV4, Family.IPV6), (Family.IPV6, Family.IPV4))
"""A Service names its families in either order."""

ZEROS: list[IPAddress] = [IPv6Address(text) for text in ("2001:db8::a:0:0:1", "2001:db8::1:0:0:0:1", "2001:db8::abcd")]
ASKED: list[IPAddress] = [IPv6Address(text) for text in ("2001:db8::b:0:0:1", "2001:db8::fade")]
"""Addresses of a documentation network (RFC 3849) that can be written in several ways, and those that are asked for."""


def families(policy: str, order: Iterable[Family]) -> dict[str, Any]:
    """Return the fields of a Service of these families, in this order."""
    return {"ipFamilyPolicy": policy, "ipFamilies": [family.label for family in order]}


def pool_of(check: CheckContext, counts: dict[Family, int]) -> Pool:
    """Create a pool with so many addresses of each family: some implementations take both from one pool alone."""
    check.run.need_families(counts)
    blocks = {family: check.run.addresses(count, family) for family, count in counts.items() if count}
    return check.pool(
        [AddressRange(block[0], block[-1]) for block in blocks.values()],
        addresses=[address for block in blocks.values() for address in block],
    )


def has(check: CheckContext, wanted: Mapping[Service, tuple[Family, ...]], *, budget: str = "address_assigned") -> None:
    """Wait until the statuses of Services have one address of each family, and no other."""
    check.one_by_one(
        lambda: check.statuses(*wanted),
        lambda seen: sum(sorted(map(family_of, seen[one])) == sorted(order) for one, order in wanted.items()),
        len(wanted),
        what=f"one more of {len(wanted)} Services has one address of each of its families",
        budget=budget,
        show=lambda seen: words({str(service): held for service, held in seen.items()}),
    )
    check.used += {address for held in check.statuses(*wanted).values() for address in held} - set(check.used)


def in_pool(check: CheckContext, services: Iterable[Service], pool: Pool) -> None:
    """Verify that all addresses of Services are of a pool, and each of one Service alone."""
    given = [address for held in check.statuses(*services).values() for address in held]
    assert set(given) <= set(pool.addresses), f"{words(given)} were given; the pool has {words(pool.addresses)}"
    assert len(set(given)) == len(given), f"an address is in two statuses: {words(given)}"


def served(check: CheckContext, addresses: Iterable[IPAddress]) -> None:
    """Wait until the client is served at each address."""
    for address in addresses:
        check.run.need_path(family_of(address))
        check.serves(check.client, address, in_a_row=SERVICES)


@proves("DUAL-01")
def test_a_service_of_ipv6_alone(check: CheckContext) -> None:
    """Services of IPv6 in two namespaces get one IPv6 address each, beside Services of IPv4 of the same pool."""
    pool = pool_of(check, {Family.IPV4: SERVICES, Family.IPV6: SERVICES})
    places = (check.namespace, check.second_namespace)
    alone = families("SingleStack", [Family.IPV6])
    wanted = {check.service("web", namespace=place, **alone): (Family.IPV6,) for place in places[:1]}
    wanted[check.service("served", serving=True, **alone)] = (Family.IPV6,)
    other = families("SingleStack", [Family.IPV4])
    wanted |= {check.service("other", namespace=place, **other): (Family.IPV4,) for place in places}
    has(check, wanted)
    in_pool(check, wanted, pool)
    statuses = check.statuses(*wanted)
    serving = next(service for service in wanted if service.name.endswith("served"))
    served(check, statuses[serving])


@proves("DUAL-02", "a")
def test_both_families_are_given_and_serve(check: CheckContext) -> None:
    """Services that require both families, named in either order, get an address of each, and serve at both."""
    pool = pool_of(check, {Family.IPV4: SERVICES, Family.IPV6: SERVICES})
    services = [
        check.service(f"web-{n}", serving=True, **families("RequireDualStack", ORDERS[n % 2])) for n in range(SERVICES)
    ]
    has(check, dict.fromkeys(services, ORDERS[0]))
    in_pool(check, services, pool)
    for held in check.statuses(*services).values():
        served(check, held)


@proves("DUAL-02", "b")
def test_a_family_that_is_missing_gives_none(check: CheckContext) -> None:
    """Where one family has no free address, Services that require both stay Pending with a reason, and take nothing.

    What is free of the other family goes to Services of that one, which come later. So it is with either family: when
    all of one is given, the pool gets more of the other.
    """
    rich, poor = check.random.sample(list(Family), 2)
    pool = pool_of(check, {rich: SERVICES, poor: 1})
    first = check.service("first", **families("RequireDualStack", ORDERS[0]))
    has(check, {first: ORDERS[0]})
    places = (check.namespace, check.second_namespace)
    late = [
        check.service("late", namespace=place, **families("RequireDualStack", order))
        for place, order in zip(places, ORDERS, strict=True)
    ]

    def none_is_given() -> None:
        given = {str(service): held for service in late if (held := points_of(service.read()))}
        assert not given, f"given though there is no free address of one family: {words(given)}"

    with judging(none_is_given):
        for service in late:
            check.refused(service, Cause.POOL_EXHAUSTED)
        taken_by_several(check, rich, SERVICES - 1)
        block = check.run.addresses(SERVICES - 1, poor)
        check.change_pool(pool, blocks=(*pool.spec.blocks, AddressRange(block[0], block[-1])))
        taken_by_several(check, poor, SERVICES - 1, budget="pool_applied")
        check.stays_pending(*late)


def taken_by_several(check: CheckContext, family: Family, count: int, *, budget: str = "address_assigned") -> None:
    """Create Services of one family, and wait until they have addresses."""
    alone = families("SingleStack", [family])
    made = [check.service(f"{family.label.lower()}-{n}", **alone) for n in range(count)]
    has(check, dict.fromkeys(made, (family,)), budget=budget)


@proves("DUAL-03", "a")
def test_one_family_is_taken_where_there_is_no_other(check: CheckContext) -> None:
    """Services that prefer both families, named in either order, get the one that is there; Services of it too.

    Each family is there once. Of the other, the pool has no address the first time, and one that another Service has
    the second time.
    """
    there, other = check.random.sample(list(Family), 2)
    for turn in range(2):
        check.start_over()
        pool = pool_of(check, {there: SERVICES, other: turn})
        if turn:
            taken_by(check, "other", other)
        wanted = {
            check.service(f"web-{n}", serving=True, **families("PreferDualStack", order)): (there,)
            for n, order in enumerate(ORDERS)
        }
        wanted[check.service("single", **families("SingleStack", [there]))] = (there,)
        has(check, wanted)
        in_pool(check, wanted, pool)
        for service, held in check.statuses(*wanted).items():
            if service.name != "single":
                served(check, held)
        there, other = other, there


def taken_by(check: CheckContext, name: str, family: Family) -> Service:
    """Create a Service of one family, and wait until it has an address."""
    service = check.service(name, **families("SingleStack", [family]))
    with check.precondition("DUAL-01" if family is Family.IPV6 else "POOL-01"):
        has(check, {service: (family,)})
    return service


@proves("DUAL-03", "b")
def test_the_other_family_is_added_later(check: CheckContext) -> None:
    """Services that have one address get another when there is one of the other family, and keep the first.

    It is released by the deletion of another Service, then by one that leaves the type, and then its pool has one more.
    Once it is so with the families exchanged. The first one is kept though others of its family are free.
    """
    there, later = check.random.sample(list(Family), 2)
    pool = pool_of(check, {there: SERVICES + 2, later: 2})
    deleted, retyped = (taken_by(check, f"holds-{n}", later) for n in range(2))
    with check.room(**families("SingleStack", [there])):
        services = [
            check.service(f"web-{n}", serving=True, **families("PreferDualStack", ORDERS[n % 2]))
            for n in range(SERVICES)
        ]
        with check.precondition("DUAL-03"):
            has(check, dict.fromkeys(services, (there,)))
    before = check.statuses(*services)

    def keeps() -> None:
        lost = {str(one): held for one, held in check.statuses(*services).items() if not set(before[one]) <= set(held)}
        assert not lost, f"the first address is not kept: {words(lost)}"

    with judging(keeps):
        check.delete(deleted)
        one_has_both(check, services, 1)
        with check.precondition("RECL-02"):
            check.leaves_type(retyped)
        one_has_both(check, services, 2)
        block = check.run.addresses(1, later)
        check.change_pool(pool, blocks=(*pool.spec.blocks, AddressRange(block[0], block[-1])))
        has(check, dict.fromkeys(services, ORDERS[0]), budget="pool_applied")
    for held in check.statuses(*services).values():
        served(check, held)
    check.start_over()
    one_is_added(check, later, there)


def one_is_added(check: CheckContext, there: Family, later: Family) -> None:
    """Verify that a Service that has an address of one family gets the only one of another, which is released."""
    pool_of(check, {there: 3, later: 1})
    holder = taken_by(check, "holds", later)
    with check.room(**families("SingleStack", [there])):
        service = check.service("web", **families("PreferDualStack", (there, later)))
        with check.precondition("DUAL-03"):
            has(check, {service: (there,)})
    before = check.statuses(service)[service]
    check.delete(holder)
    one_has_both(check, [service], 1)
    now = check.statuses(service)[service]
    assert set(before) <= set(now), f"the first address, {words(before)}, is not kept: {words(now)}"


def one_has_both(check: CheckContext, services: Sequence[Service], count: int) -> None:
    """Wait until so many Services have an address of each family, after one was released."""
    check.wait.eventually(
        lambda: check.statuses(*services),
        lambda seen: sum(sorted(map(family_of, held)) == sorted(Family) for held in seen.values()) >= count,
        what=f"an address of each family is in the statuses of {count} of {len(services)} Services that prefer both",
        budget="reclaimed",
        show=lambda seen: words({str(service): held for service, held in seen.items()}),
    )


@proves("DUAL-04", "a")
def test_a_family_that_is_dropped_is_free(check: CheckContext) -> None:
    """A Service that has one family less keeps its other address; that of the family is given to another Service.

    It keeps that though another one of its family is free.
    """
    pool_of(check, {Family.IPV4: len(ORDERS), Family.IPV6: len(ORDERS)})
    for n, order in enumerate(ORDERS):
        with check.room(**families("SingleStack", order[:1])):
            service = check.service(f"web-{n}", **families("RequireDualStack", order))
            with check.precondition("DUAL-02"):
                has(check, {service: order})
        kept, freed = sorted(check.statuses(service)[service], key=lambda one: order.index(family_of(one)))
        service.patch(spec={"ipFamilyPolicy": "SingleStack"})
        check.wait.eventually(
            lambda service=service: check.statuses(service)[service],  # type: ignore[misc]
            lambda held, kept=kept: held == [kept],  # type: ignore[misc]
            what=f"{service}, which dropped {order[1].label}, has {kept} alone",
            budget="reclaimed",
        )
        others = [check.service(f"next-{n}-{m}", **families("SingleStack", order[1:])) for m in range(len(ORDERS))]
        given = check.all_assigned(*others, budget="reclaimed")
        assert freed in given.values(), f"{freed} was dropped, and {words(list(given.values()))} were given"
        check.delete_all(service, *others)


@proves("DUAL-04", "b")
def test_addresses_are_in_the_order_of_the_families(check: CheckContext) -> None:
    """Services of both orders have their addresses in that order, those that take what there is too.

    Also those whose second address comes later, and those that ask for both addresses, in the order of their families
    or in the other one.
    """
    pool_of(check, {Family.IPV4: 2 * len(ORDERS), Family.IPV6: 2 * len(ORDERS)})
    wanted = {
        check.service(f"web-{n}-{policy.lower()}", **families(policy, order)): order
        for n, order in enumerate(ORDERS)
        for policy in ("RequireDualStack", "PreferDualStack")
    }
    with check.precondition("DUAL-02"):
        has(check, wanted)
    are_in_order(check, wanted)
    are_in_order(check, growing(check))
    if check.run.claims("explicit-ip-annotation"):
        asking = ask_for_both(check)
        with check.precondition("REQ-01"):
            has(check, asking)
        are_in_order(check, asking)


def growing(check: CheckContext) -> dict[Service, tuple[Family, ...]]:
    """Create Services of each order of families, which have one address first, and the other when a pool has some."""
    there, later = check.random.sample(list(Family), 2)
    pool = pool_of(check, {there: len(ORDERS)})
    made: dict[Service, tuple[Family, ...]] = {
        check.service(f"grows-{n}", **families("PreferDualStack", order)): order for n, order in enumerate(ORDERS)
    }
    with check.precondition("DUAL-03"):
        has(check, dict.fromkeys(made, (there,)))
        block = check.run.addresses(len(ORDERS), later)
        check.change_pool(pool, blocks=(*pool.spec.blocks, AddressRange(block[0], block[-1])))
        has(check, made, budget="pool_applied")
    return made


def ask_for_both(check: CheckContext) -> dict[Service, tuple[Family, ...]]:
    """Create Services of each order of families, which ask for an address of each in either order."""
    free = pool_of(check, dict.fromkeys(Family, len(ORDERS) ** 2)).addresses
    made: dict[Service, tuple[Family, ...]] = {}
    for n, (order, asked) in enumerate(itertools.product(ORDERS, repeat=2)):
        both = [next(address for address in free if family_of(address) is family) for family in asked]
        free = [address for address in free if address not in both]
        policy = ("RequireDualStack", "PreferDualStack")[n % 2]
        check.used += both
        text = ",".join(map(str, both))
        service = check.service(f"asks-{n}", ask=text, how=Ask.ANNOTATION, **families(policy, order))
        made[service] = order
    return made


def are_in_order(check: CheckContext, wanted: Mapping[Service, tuple[Family, ...]]) -> None:
    """Verify that the addresses of Services are in the order of their families."""
    found = {service: tuple(map(family_of, held)) for service, held in check.statuses(*wanted).items()}
    wrong = [
        f"{service} has {words([f.label for f in found[service]])} and wants {words([f.label for f in order])}"
        for service, order in wanted.items()
        if found[service] != order
    ]
    assert not wrong, f"not in the order of the families: {words(wrong)}"


@proves("DUAL-04", "c")
def test_addresses_are_written_canonically(check: CheckContext) -> None:
    """An address whose zeros can be left out in several places is written as RFC 5952 says, in lower case.

    Also where a Service asks for it, by each way, with all its zeros and in capitals; that it is given is not judged.
    """
    block = [*ZEROS, *ASKED]
    check.pool(block, addresses=block)
    alone = families("SingleStack", [Family.IPV6])
    asking = [
        made
        for how, address in zip(check.run.ways, ASKED, strict=False)
        for made in check.unusable(f"asks-{how}", ask=address.exploded.upper(), how=how, **alone)
    ]
    with suppress(Violation), check.wait.tentative():
        has(check, dict.fromkeys(asking, (Family.IPV6,)))
    services = canonical_services(check, len(ZEROS))
    with check.precondition("DUAL-01"):
        has(check, dict.fromkeys(services, (Family.IPV6,)))
    written = [point for service in [*services, *asking] for point in points_of(service.read())]
    wrong = [text for text in written if text not in {str(address) for address in block}]
    assert not wrong, f"{words(wrong)} are written, expected of {words(list(map(str, block)))}"


def canonical_services(check: CheckContext, count: int) -> Sequence[Service]:
    """Create Services of IPv6 alone, in two namespaces."""
    places = (check.namespace, check.second_namespace)
    alone = families("SingleStack", [Family.IPV6])
    return [check.service(f"web-{n // 2}", namespace=places[n % 2], **alone) for n in range(count)]
