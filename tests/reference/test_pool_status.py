"""Status of a pool: addresses that are assigned and available, for each family."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.polling import stays, until
from tests.reference.small_cluster import POOLS, SmallCluster, play
from tests.reference.test_allocator import STEPS, ip, pool

from lbproof_reference.controller.allocate import AddressRequest, AllocationError, Allocator, Sharing
from lbproof_reference.pools import parse_pools

MOST = 2**63 - 1


def usage(assigned4: int, available4: int, assigned6: int = 0, available6: int = 0) -> dict[str, int]:
    """Return the fields of the status."""
    return {
        "assignedIPv4": assigned4,
        "availableIPv4": available4,
        "assignedIPv6": assigned6,
        "availableIPv6": available6,
    }


@pytest.mark.parametrize(
    ("addresses", "avoid", "expected"),
    [
        (["10.0.0.0/30", "10.0.1.7/32"], False, usage(0, 5)),
        (["10.0.0.0/24"], True, usage(0, 254)),
        (["10.0.0.0/22"], True, usage(0, 1016)),
        (["10.0.0.255-10.0.1.0"], True, usage(0, 0)),
        (["10.0.0.1-10.0.0.254"], True, usage(0, 254)),
        (["10.0.0.200-10.0.1.9"], True, usage(0, 64)),
        (["10.0.0.0/32", "fd00::/126"], True, usage(0, 0, 0, 4)),
        (["fd00::/64"], False, usage(0, 0, 0, MOST)),
    ],
)
def test_the_size_of_a_pool_is_what_it_can_give(addresses: list[str], *, avoid: bool, expected: dict[str, int]) -> None:
    """Without the addresses that `avoidBuggyIPs` excludes; a number beyond 63 bits is the greatest of them."""
    spec = {"addresses": addresses, "avoidBuggyIPs": avoid}
    [made] = parse_pools([{"metadata": {"name": "web", "creationTimestamp": "1"}, "spec": spec}])[0]

    assert Allocator([made]).usage() == {"web": expected}


@given(st.integers(0, 600), st.integers(0, 600))
def test_the_size_is_that_of_a_count(first: int, more: int) -> None:
    """The formula agrees with counting."""
    made = pool(first, first + more, avoid_buggy=True)
    count = sum(number % 256 not in (0, 255) for number in range(first, first + more + 1))

    assert Allocator([made]).usage()["p"] == usage(0, count)


@given(STEPS)
def test_the_numbers_are_those_of_a_ledger(steps: list[tuple[str, str, int | None]]) -> None:
    """After any history, assigned and available are what the Services have, and their sum is the size."""
    made = Allocator([pool(0, 7), pool(20, 21, "q", auto_assign=False)])
    for what, key, offset in steps:
        try:
            if what == "release":
                made.release(key)
            elif what == "grant":
                made.allocate(AddressRequest(key=key, requested_ip=None if offset is None else ip(offset)))
        except AllocationError:
            continue
    held = len(made.holder)

    assert made.usage() == {"p": usage(held, 8 - held), "q": usage(0, 2)}


def test_a_shared_address_counts_once_and_one_of_a_node_is_not_available() -> None:
    """Families are counted each for itself; an address outside all pools, and one of a node, are in none."""
    made = Allocator([pool(0, 3)])
    for name, port in (("a", 80), ("b", 443)):
        sharing = Sharing(key="k", ports=frozenset({("TCP", port)}))
        made.allocate(AddressRequest(key=f"ns/{name}", sharing=sharing))
    made.assign("ns/c", ipaddress.ip_address("10.9.9.9"), "gone")
    assert made.usage() == {"p": usage(1, 3)}

    made.set_pools([pool(0, 3)], {ip(0), ip(3), ipaddress.ip_address("10.9.9.1")})

    assert made.usage() == {"p": usage(1, 2)}


def status(cluster: SmallCluster, name: str) -> dict[str, Any]:
    """Return the numbers in the status of a pool."""
    found = cluster.objects[POOLS][f"metallb-system/{name}"].get("status", {})
    return {field: value for field, value in found.items() if field != "conditions"}


def test_the_status_follows_and_is_quiet_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst costs few writes, and nothing is written when nothing changes; a bad pool has no numbers."""
    monkeypatch.setattr("lbproof_reference.controller.loop._SETTLE_SECONDS", 0.05)

    async def scenario(cluster: SmallCluster) -> None:
        def writes() -> int:
            return sum(method == "PATCH" and "/ipaddresspools/" in path for method, path, _ in cluster.written)

        cluster.pool("web", "10.0.0.0/28")
        await until(lambda: status(cluster, "web") == usage(0, 16))
        for number in range(10):
            cluster.service(f"s{number}")
        await until(lambda: status(cluster, "web") == usage(10, 6))
        for number in range(4):
            cluster.remove(f"s{number}")
        await until(lambda: status(cluster, "web") == usage(6, 10))
        before = writes()
        await stays(lambda: writes() == before, 0.3)
        cluster.pool("web", "nonsense")
        await until(lambda: cluster.valid("web") == "False")
        await until(lambda: status(cluster, "web") == {})

    play(scenario)
