"""No draw decides whether a check can fail: each one distinguishes what the requirement does."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Address
from random import Random
from typing import TYPE_CHECKING

import pytest
from tests.suite.acme import Acme
from tests.suite.fake_cluster import FakeCluster
from tests.suite.test_pools import context

from lbproof.checks.etp.test_only_nodes_with_an_endpoint_announce import FLAPS, flaps
from lbproof.checks.pool.test_a_restricted_pool import priorities
from lbproof.checks.recl.test_a_released_address_is_quiet import order_of_release
from lbproof.checks.req.test_a_requested_address import asked_for, halves
from lbproof.checks.share.test_sharers_that_change_or_leave import who_leaves
from lbproof.checks.upgr.test_a_controller_starts_over_statuses import ADOPTED, adopted
from lbproof.context import CheckContext
from lbproof.context.draws import amid, mixed, types_to_leave_for, with_namesakes

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEDS = 500
ADDRESSES = [IPv4Address("192.0.2.8") + n for n in range(8)]


def draws() -> Iterator[Random]:
    """The draws of many runs."""
    yield from map(Random, range(SEEDS))


@dataclass(frozen=True, slots=True)
class Made:
    """A Service, by its place and name."""

    namespace: str
    name: str


def test_an_order_is_neither_the_one_that_was_given_nor_its_reverse() -> None:
    """Every other order of the items is drawn, with some seed."""
    drawn = {tuple(mixed(random, "abcd")) for random in draws()}

    assert len(drawn) == 4 * 3 * 2 - 2
    assert drawn.isdisjoint({("a", "b", "c", "d"), ("d", "c", "b", "a")})


def test_some_of_each_kind_stay_when_others_leave() -> None:
    """Who is the only one of its name is never drawn, nor are two of one name."""
    services = [Made(place, name) for name in ("asks", "plain", "web") for place in ("one", "one-b")]
    services += [Made("one", "own-class"), Made("one", "web-0")]
    for random in draws():
        drawn = with_namesakes(random, services, 2)
        left = {service.name for service in services if service not in drawn}
        assert len(drawn) == 2
        assert left == {service.name for service in services}


def test_services_leave_for_both_types() -> None:
    """Whichever is first."""
    drawn = {tuple(itertools.islice(types_to_leave_for(random), 4)) for random in draws()}

    assert drawn == {("ClusterIP", "NodePort") * 2, ("NodePort", "ClusterIP") * 2}


def test_who_is_amid_others_is_first_and_last_in_no_order() -> None:
    """Neither by age nor by address, which may differ."""
    first, second, third, fourth, *_ = ADDRESSES

    assert amid({"a": first, "b": second, "c": third, "d": fourth}) == ["b", "c"]
    assert amid({"a": third, "b": first, "c": second, "d": fourth}) == ["c"]


@pytest.fixture(scope="module")
def names() -> list[str]:
    """Names of three pools of a check, in the order in which it creates them."""
    run = context(Acme(), FakeCluster())
    run.pools.match()
    check = CheckContext(run, "POOL-05b", capture=False)
    return [check.pool([address], addresses=[address]).name for address in ADDRESSES[:3]]


def test_the_order_of_pools_is_that_of_nothing_else(names: list[str]) -> None:
    """Who uses pools by creation, by name or by their priorities' text, or the other way round, is seen each time."""
    assert len(set(names)) == 3
    for random in draws():
        drawn = priorities(random)
        right, named = sorted(drawn), [number for _, number in sorted(zip(names, drawn, strict=True))]
        for other in (drawn, named, sorted(drawn, key=str)):
            assert right not in (other, other[::-1])
        assert len(set(drawn)) == 3


def test_the_ends_of_each_block_are_asked_for() -> None:
    """And one address between them, in an order that is not that of the addresses; two are left for others."""
    lower, upper = ADDRESSES[:4], ADDRESSES[5:]
    for random in draws():
        wanted = asked_for(random, lower, upper)
        assert {lower[0], lower[-1], upper[0], upper[-1]} < set(wanted)
        assert len(set(wanted)) == 5
        assert wanted not in (sorted(wanted), sorted(wanted, reverse=True))


@pytest.mark.parametrize("holders", [2, 3])
@pytest.mark.parametrize("ways", [1, 2])
def test_some_of_each_kind_are_deleted_and_some_change_their_type(holders: int, ways: int) -> None:
    """Of those that ask for each address, of those that do in each way, and of the holder's namesakes."""
    asking = [(holder, way, name) for holder in range(holders) for way in range(ways) for name in ("same", "other")]
    for random in draws():
        deleted = halves(random, len(asking))
        for kinds in zip(*asking, strict=True):
            both = {(kind, is_deleted) for kind, is_deleted in zip(kinds, deleted, strict=True)}
            assert len(both) == 2 * len(set(kinds))


def test_who_keeps_the_type_has_the_addresses_that_are_given_first() -> None:
    """The lowest, the highest, the one that is released first, and the one that is released last."""
    held = {f"web-{n}": address for n, address in enumerate(ADDRESSES[3::-1])}
    for random in draws():
        first, *retyped, last = order_of_release(random, held)
        assert {held[first], held[last]} == {min(held.values()), max(held.values())}
        assert {first, *retyped, last} == set(held)
        assert len(retyped) == 2


def test_who_is_given_an_address_before_statuses_are_read_gets_one_of_them() -> None:
    """From whichever end of the pool; and who numbers the holders anew moves one."""
    pool = ADDRESSES[: ADOPTED + 3]
    for random in draws():
        held = adopted(random, pool)
        assert {pool[0], pool[-1]} < set(held)
        assert len(set(held)) == ADOPTED
        assert held not in (sorted(held), sorted(held, reverse=True))


def test_the_first_sharer_leaves_while_others_have_the_address() -> None:
    """So does another one while the first has it; each order that is so is drawn."""
    orders = Counter[tuple[str, ...]]()
    for random in draws():
        returned, leaving = who_leaves(random, ["first", "second", "third"])
        orders[tuple(leaving)] += 1
        assert returned != "first"
        assert sorted(leaving) == ["first", "second", "third"]
        assert leaving[-1] != "first"

    assert len(orders) == 4


@pytest.mark.parametrize("nodes", [["w01", "w02"], ["w01", "w02", "w03"]])
def test_the_last_endpoint_is_on_another_node_than_the_ones_before(nodes: list[str]) -> None:
    """Who stops at the first one, or misses the last change, announces on another node."""
    for random in draws():
        way = flaps(random, nodes, "w01")
        assert len(way) == FLAPS
        assert set(way) <= set(nodes)
        assert way[-1] not in {"w01", way[-2]}
