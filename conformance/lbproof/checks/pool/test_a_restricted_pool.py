"""Pools that serve some Services alone, and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lbproof.checks.share.sharers import KEY, SECOND, given_key, joining, ports, requests_for
from lbproof.context import proves
from lbproof.context.precedence import judging
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from random import Random

    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

LABELS = {"lbproof.dev/tier": "gold", "lbproof.dev/team": "blue"}
SIZE = 2


def priorities(random: Random) -> list[int]:
    """Draw three numbers of pools that are created in this order.

    That of the numbers is neither the order of creation, nor that of the numbers as text, nor that of the pools' names,
    nor the reverse of one of these.
    """
    low, middle, high = random.randint(2, 9), random.randint(10, 19), random.randint(20, 39)
    return [low, high, middle] if random.random() < 1 / 2 else [high, low, middle]


def none_of(check: CheckContext, services: Sequence[Service], addresses: Collection[IPAddress]) -> None:
    """Verify that no Service has one of the addresses of a pool that is not for it."""
    held = check.statuses(*services)
    wrong = {str(one): held[one] for one in services if set(held[one]) & set(addresses)}
    assert not wrong, f"given addresses of a pool that is not for them: {words(wrong)}"


@proves("POOL-05", "a")
def test_a_pool_of_a_namespace_serves_no_other(check: CheckContext) -> None:
    """A pool of one namespace gives nothing to Services of another, whose name begins like it, though they wait.

    Nor to those that ask for its addresses, or by the sharing key of a Service that has one; those of its namespace are
    served. Then the pool is for the other one.
    """
    shares = check.run.claims("sharing")
    pool = check.pool(SIZE, namespaces=(check.namespace,))
    other = check.pool(1)
    check.control(namespace=check.second_namespace, budget="pool_applied")  # takes what is for all
    outside = [check.service(f"outside-{n}", namespace=check.second_namespace) for n in range(SIZE)]
    outside += [
        service
        for how in check.run.ways
        for service in check.unusable(f"asks-{how}", namespace=check.second_namespace, ask=pool.addresses[0], how=how)
    ]
    place = check.second_namespace
    by_key = [check.service("keyed-later", namespace=place, ports=ports(SECOND))] if shares else []
    with judging(lambda: none_of(check, [*outside, *by_key], pool.addresses)):
        check.stays_pending(*outside, *by_key)
        keys = [KEY if shares else "", *[""] * (SIZE - 1)]
        inside = [check.service(f"inside-{n}", share=key) for n, key in enumerate(keys)]
        given = check.all_assigned(*inside)
        if shares:
            given_key(check, by_key[0])
            by_key += joining(check, *requests_for(check, given[inside[0]], pool), namespace=place)
        check.stays_pending(*outside, *by_key)
    assert set(given.values()) == set(pool.addresses), f"given {words(given)}, and {words(other.addresses)} is for all"
    check.delete_all(*inside, *by_key)
    check.change_pool(pool, namespaces=(check.second_namespace,))
    seen = check.one_by_one(
        lambda: {address for held in check.statuses(*outside).values() for address in held},
        lambda seen: len(seen & set(pool.addresses)),
        SIZE,
        what=f"one more of {words(pool.addresses)} goes to a Service of the namespace that the pool is for now",
        budget="pool_applied",
    )
    assert seen == set(pool.addresses), f"given {words(sorted(map(str, seen)))}, and {words(pool.addresses)} are free"


@proves("POOL-05", "b")
def test_pools_are_used_in_their_order(check: CheckContext) -> None:
    """Services get addresses of the pool with the lowest number while it has any, then of the next, whatever its name.

    Also when addresses of all are free again, that of the first pool neither as the first nor as the last one, and the
    releases have had their time.
    """
    order = priorities(check.random)
    pools = {number: check.pool(SIZE, namespaces=(check.namespace,), priority=number) for number in order}
    check.pool(1)
    check.control(namespace=check.second_namespace, budget="pool_applied")
    made: list[Service] = []
    for number in sorted(order):
        new = [check.service(f"web-{number}-{n}") for n in range(SIZE)]
        given = set(check.all_assigned(*new).values())
        wanted = pools[number].addresses
        assert given == set(wanted), (
            f"pool {number} has {words(wanted)}, and {words(sorted(map(str, given)))} were given"
        )
        made += new
    first = check.random.choice(made[:SIZE])
    freed = check.statuses(first)[first]
    check.delete_all(made[SIZE], first, made[-1])
    check.wait_out("reclaimed")  # who learns of one deletion before the others has one address free meanwhile
    again = check.all_assigned(check.service("again"), budget="reclaimed")
    assert [*again.values()] == freed, f"given {words(again)}, while {words(freed)} of the first pool was free"


@proves("POOL-05", "c")
def test_a_pool_of_labels_serves_no_other(check: CheckContext) -> None:
    """A pool for Services with two labels gives nothing to those that lack one of them or have another value of it.

    Nor to those that ask by the sharing key of a Service that has an address of it. Those with both are served.
    """
    shares = check.run.claims("sharing")
    pool = check.pool(SIZE, labels=tuple(LABELS.items()))
    check.pool(1)
    check.control(budget="pool_applied")
    places = (check.namespace, check.second_namespace)
    outside = [check.service("without", namespace=place) for place in places]
    outside += [check.service(f"other-{n}", **labelled(labels)) for n, labels in enumerate(other_labels())]
    if shares:
        outside.append(check.service("keyed-later", ports=ports(SECOND)))
    with judging(lambda: none_of(check, outside, pool.addresses)):
        check.stays_pending(*outside)
        keys = [KEY if shares else "", *[""] * (SIZE - 1)]
        inside = [
            check.service(f"inside-{n}", namespace=places[n % 2], share=key, **labelled(LABELS))
            for n, key in enumerate(keys)
        ]
        given = check.all_assigned(*inside)
        if shares:
            given_key(check, outside[-1])
            outside += joining(check, *requests_for(check, given[inside[0]], pool))
        check.stays_pending(*outside)
    assert set(given.values()) == set(pool.addresses)


def other_labels() -> list[dict[str, str]]:
    """Return labels that are not all that a pool is for: one of them alone, and each with another value."""
    alone = [{name: value} for name, value in LABELS.items()]
    (tier, gold), (team, blue) = LABELS.items()
    return [*alone, {tier: "silver", team: blue}, {tier: "golden", team: blue}, {tier: gold, team: ""}]


def labelled(labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the argument of `CheckContext.service` that gives a Service labels."""

    def change(service: Object) -> None:
        service["metadata"].setdefault("labels", {}).update(labels)

    return {"change": change}
