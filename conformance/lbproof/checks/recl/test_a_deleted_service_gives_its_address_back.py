"""Reuse of the addresses of deleted Services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.checks.recl.released import given_to_new
from lbproof.context import proves
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof.context import CheckContext, Pool, Service
    from lbproof.spec.families import IPAddress

SERVICES = 4


def holders(check: CheckContext, pool: Pool) -> dict[Service, IPAddress]:
    """Fill a pool with Services in two namespaces, namesakes among them; one asked for its address by each way."""
    asked = check.random.sample(pool.addresses, len(check.run.ways))
    services = [
        check.service(f"web-{n}", namespace=check.second_namespace, ask=address, how=way)
        for n, (address, way) in enumerate(zip(asked, check.run.ways, strict=True))
    ]
    held = check.all_assigned(*services)
    rest = len(pool.addresses) - len(asked)
    return held | check.all_assigned(*(check.service(f"web-{n}", namespace=check.namespace) for n in range(rest)))


def given_again(check: CheckContext, services: Iterable[Service], free: Iterable[IPAddress]) -> None:
    """Verify that as many Services as addresses are free are given exactly those."""
    given = check.all_assigned(*services, budget="reclaimed")
    assert sorted(given.values(), key=str) == sorted(free, key=str), (
        f"{words(list(map(str, free)))} were released, and {words(list(map(str, given.values())))} were given"
    )


@proves("RECL-01", "a")
def test_deleted_services_give_their_addresses_back(check: CheckContext) -> None:
    """All addresses of a full pool are given again when their Services are deleted at once, and one after the other.

    To Services that ask for them, and to others that do not. The deletion of a Service that waits frees nothing.
    """
    pool = check.pool(SERVICES)
    held = holders(check, pool)

    check.delete_all(*held)
    second = given_to_new(check, pool.addresses, "again", namespace=check.second_namespace)

    check.delete(check.service("waiting"))
    known = check.statuses(*second)
    for n, service in enumerate(check.random.sample(second, 2)):
        check.delete(service)
        given_to_new(check, known[service], f"next-{n}", asking=n)


@proves("RECL-01", "b")
def test_a_deleted_namespace_gives_its_addresses_back(check: CheckContext) -> None:
    """The addresses of the Services of a deleted namespace are given again, as in RECL-01a; namesakes keep theirs."""
    pool = check.pool(SERVICES)
    held = holders(check, pool)
    gone = {service: address for service, address in held.items() if service.namespace == check.namespace}
    kept = [service for service in held if service not in gone]

    place = check.new_namespace()
    with check.unchanged(*kept):
        check.cluster.delete(f"/api/v1/namespaces/{check.namespace}")
        for service in gone:
            check.wait.eventually(
                lambda path=service.path: check.cluster.exists(path),  # type: ignore[misc]
                lambda there: not there,
                what=f"{service} is gone",
                budget="namespace_emptied",
            )
        given_to_new(check, gone.values(), "after", namespace=place)


@proves("RECL-01", "c")
def test_services_of_the_same_names_get_addresses(check: CheckContext) -> None:
    """Services that are deleted and created again at once under their names get addresses, twice, and keep them.

    The lowest address is free by then, and another Service is given it.
    """
    pool = check.pool(SERVICES)
    services = list(holders(check, pool))
    for _ in range(2):
        check.random.shuffle(services)
        for service in services:
            check.cluster.delete(service.path)
        services = [check.service_again(service) for service in services]
        given_again(check, services, pool.addresses)

    known = check.statuses(*services)
    lowest, *staying = sorted(services, key=lambda service: int(known[service][0]))
    check.delete(lowest)
    with check.unchanged(*staying):
        check.keep_assigned(*staying, budget="stays_after_recreation")
        check.control()
