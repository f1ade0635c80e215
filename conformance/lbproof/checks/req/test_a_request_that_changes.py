"""Requests of Services that have an address: another address, and none any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters.base import Ask
from lbproof.context import proves
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress


def asking(check: CheckContext, pool: list[IPAddress], name: str = "asks") -> dict[Service, tuple[IPAddress, Ask]]:
    """Create Services in two namespaces that ask for addresses, by each way; return those and the way."""
    free = check.random.sample(pool, 2 * len(check.run.ways))
    places = (check.namespace, check.second_namespace)
    made = {
        check.service(f"{name}-{way}", namespace=place, ask=(address := free.pop()), how=way): (address, way)
        for way in check.run.ways
        for place in places
    }
    with check.precondition("REQ-01"):
        given = check.all_assigned(*made)
        wrong = {str(service): held for service, held in given.items() if held != made[service][0]}
        assert not wrong, f"given another address than was asked for: {words(wrong)}"
    return made


def ask_anew(check: CheckContext, wanted: Mapping[Service, tuple[IPAddress, Ask]]) -> None:
    """Have Services ask for other addresses, by their ways, and wait until each has that one, and no other."""
    for service, (address, way) in wanted.items():
        check.request(service, address, how=way)

    def others(seen: Mapping[Service, list[IPAddress]]) -> dict[str, list[IPAddress]]:
        return {str(service): seen[service] for service, (address, _) in wanted.items() if seen[service] != [address]}

    check.one_by_one(
        lambda: check.statuses(*wanted),
        lambda seen: len(wanted) - len(others(seen)),
        len(wanted),
        what=f"one more of {len(wanted)} Services has the address that it asks for now, and no other",
        budget="address_assigned",
        show=lambda seen: words(others(seen)),
    )


@proves("REQ-05", "a")
def test_a_service_that_asks_for_another_address_moves(check: CheckContext) -> None:
    """Each Service gets the address that it asks for now; that of before is silent, and given to others who ask or not.

    By each way, in two namespaces, one after the other and at once; others keep their addresses at any time. Those in
    one namespace ask for addresses of a pool that is kept for who asks, where there can be one. Half of them, some in
    each way, ask for the address of before again and get it, and then for the other one a second time.
    """
    ways = len(check.run.ways)
    kept = check.pool(ways, auto_assign=False).addresses if check.run.claims("auto-assign") else []
    with check.pool_with_room(6 * ways + 2) as pool:
        others = [check.service("web", namespace=place) for place in (check.namespace, check.second_namespace)]
        held = check.all_assigned(*others)
    edges = {pool.addresses[0], pool.addresses[-1]}  # one of which stays free, and could be given to the others
    free = [address for address in pool.addresses if address not in {*held.values(), *edges}]
    made = asking(check, free)
    if check.run.claims("l2"):
        with check.precondition("L2-01"):
            check.holders(*(address for address, _ in made.values()))
    left = [address for address in free if address not in {one for one, _ in made.values()}]
    check.random.shuffle(left)

    before = made
    former = [address for address, _ in before.values()]
    apart = kept or left
    made = {
        service: ((apart if service.namespace == check.second_namespace else left).pop(), way)
        for service, (_, way) in before.items()
    }
    turn = check.random.randrange(2)
    returning = [service for n, service in enumerate(made) if (n % 4 in {0, 3}) == bool(turn)]  # of each way
    with check.unchanged(*others):
        ask_anew(check, made)
        for there in (before, made):
            ask_anew(check, {service: there[service] for service in returning})
        if check.run.claims("l2"):
            check.goes_silent(*former)
            with check.precondition("L2-01"):
                check.holders(*(address for address, _ in made.values()))
        given = set(held.values()) | {address for address, _ in made.values()}
        asked = [address for n, address in enumerate(former) if n % 4 in {0, 3}]  # by each way, in each namespace
        again = [check.service(f"again-{n}", ask=address) for n, address in enumerate(asked)]
        assert sorted(map(str, check.all_assigned(*again).values())) == sorted(map(str, asked))
        rest = {*pool.addresses} - given - {*asked}
        chosen = check.all_assigned(*(check.service(f"any-{n}") for n in range(len(rest)))).values()
        assert set(chosen) == rest, (
            f"given {words(sorted(map(str, chosen)))}, while {words(sorted(map(str, rest)))} were free"
        )


@proves("REQ-05", "b")
def test_a_service_that_no_longer_asks_keeps_its_address(check: CheckContext) -> None:
    """Services whose request is removed, by each way, keep their addresses at any time.

    Also those whose pool is kept for who asks for its addresses, though another pool has free ones, the lowest among
    them. A newer Service
    is served meanwhile, and Services that ask for these addresses are not.
    """
    ways = len(check.run.ways)
    kept = check.pool(2 * ways, auto_assign=False) if check.run.claims("auto-assign") else None
    pool = check.pool((4 if kept else 2) * ways + 2)
    made = asking(check, pool.addresses[1:])
    if kept:
        made |= asking(check, kept.addresses, "asks-apart")
    with check.unchanged(*made):
        for service, (_, way) in made.items():
            if way is Ask.FIELD:
                service.patch(spec={"loadBalancerIP": None})
            else:
                service.patch(metadata={"annotations": {check.run.adapter.address_annotation: None}})
        check.control(seen=True)
        late = [s for n, (address, _) in enumerate(made.values()) for s in check.unusable(f"late-{n}", ask=address)]
        check.control_apart()
        check.stays_pending(*late)
        check.keep_assigned(*made)
