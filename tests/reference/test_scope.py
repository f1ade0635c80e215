"""`serviceAllocation` of a pool: which Services it serves, and in which order pools are tried."""

from __future__ import annotations

from typing import Any

import pytest
from tests.reference.polling import stays, until
from tests.reference.small_cluster import SmallCluster, play

from lbproof_reference.controller.allocate import AddressRequest, AllocationError, Allocator
from lbproof_reference.kube import NAMESPACES
from lbproof_reference.pools import parse_pools

FRONT = {"matchLabels": {"tier": "front"}}
NAMES = {"team": {"kind": "inner"}, "teams": {"kind": "outer"}, "other": {}}


def allocator(**allocations: dict[str, Any] | None) -> Allocator:
    """Return an allocator with a pool of one address by allocation, in the order of their names."""
    objects = [
        {
            "metadata": {"name": name, "creationTimestamp": "1"},
            "spec": {"addresses": [f"10.0.{number}.0/30"], "serviceAllocation": allocation},
        }
        for number, (name, allocation) in enumerate(sorted(allocations.items()))
    ]
    good, bad = parse_pools(objects)
    assert not bad
    return Allocator([pool.in_namespaces(NAMES) for pool in good])


def pool_for(made: Allocator, namespace: str, labels: dict[str, str] | None = None, pool: str | None = None) -> str:
    """Return the pool that gives a new Service of that namespace its address; "none" if it gets none."""
    key = f"{namespace}/s{len(made.holder)}"
    try:
        return made.allocate(AddressRequest(key=key, labels=labels or {}, pool=pool)).pool
    except AllocationError:
        return "none"


@pytest.mark.parametrize(
    ("allocation", "namespace", "labels", "serves"),
    [
        (None, "other", {}, True),
        ({}, "other", {}, True),
        ({"namespaces": ["team"]}, "team", {}, True),
        ({"namespaces": ["team"]}, "teams", {}, False),
        ({"namespaceSelectors": [{"matchLabels": {"kind": "inner"}}]}, "team", {}, True),
        ({"namespaceSelectors": [{"matchLabels": {"kind": "inner"}}]}, "teams", {}, False),
        ({"namespaceSelectors": [{"matchLabels": {"kind": "nobody"}}]}, "team", {}, False),
        ({"namespaces": ["other"], "namespaceSelectors": [{"matchLabels": {"kind": "outer"}}]}, "teams", {}, True),
        ({"serviceSelectors": [FRONT]}, "team", {"tier": "front"}, True),
        ({"serviceSelectors": [FRONT]}, "team", {"tier": "back"}, False),
        ({"serviceSelectors": [FRONT, {"matchLabels": {"tier": "back"}}]}, "team", {"tier": "back"}, True),
        ({"namespaces": ["team"], "serviceSelectors": [FRONT]}, "team", {}, False),
        ({"namespaces": ["team"], "serviceSelectors": [FRONT]}, "other", {"tier": "front"}, False),
        ({"namespaces": ["team"], "serviceSelectors": [FRONT]}, "team", {"tier": "front"}, True),
    ],
)
def test_a_pool_serves_the_services_in_its_scope(
    allocation: dict[str, Any] | None, namespace: str, labels: dict[str, str], *, serves: bool
) -> None:
    """Namespaces by name or labels, and labels of Services; both if both are given. A request by name obeys it too."""
    expected = "web" if serves else "none"

    assert pool_for(allocator(web=allocation), namespace, labels) == expected
    assert pool_for(allocator(web=allocation), namespace, labels, pool="web") == expected


def test_an_address_of_a_pool_that_does_not_serve_the_service_is_refused() -> None:
    """A request for an address obeys the scope of its pool, and the reason names the pool; the holder keeps it."""
    made = allocator(web={"namespaces": ["team"]})
    ip = made.allocate(AddressRequest(key="team/a")).ip
    made.release("team/a")

    with pytest.raises(AllocationError, match='pool "web" is not for this Service'):
        made.allocate(AddressRequest(key="other/a", requested_ip=ip))
    assert made.allocate(AddressRequest(key="team/b", requested_ip=ip)).ip == ip


def test_pools_are_tried_by_priority_then_those_for_all() -> None:
    """The lowest number first, a pool without priority after them, and pools without scope last; each until full."""
    made = allocator(
        a=None,
        b={"namespaces": ["team"]},
        c={"namespaces": ["team"], "priority": 20},
        d={"namespaces": ["team"], "priority": 3},
        e={"namespaces": ["other"], "priority": 1},
    )

    assert [pool_for(made, "team") for _ in range(17)] == [*"dddd", *"cccc", *"bbbb", *"aaaa", "none"]
    assert pool_for(made, "other") == "e"


def test_a_pool_whose_scope_changes_takes_no_address_away() -> None:
    """A Service keeps its address, as with every change of a pool, and asks again for the same one."""
    made = allocator(web={"namespaces": ["team"]})
    held = made.allocate(AddressRequest(key="team/a"))
    [pool] = parse_pools(
        [
            {
                "metadata": {"name": "web", "creationTimestamp": "1"},
                "spec": {"addresses": ["10.0.0.0/30"], "serviceAllocation": {"namespaces": ["other"]}},
            }
        ]
    )[0]
    made.set_pools([pool])

    assert made.allocate(AddressRequest(key="team/a")) == held
    assert made.allocate(AddressRequest(key="team/a", requested_ip=held.ip)) == held


def test_a_scope_that_cannot_be_read_makes_the_pool_bad() -> None:
    """The other pools go on."""
    objects = [
        {
            "metadata": {"name": name, "creationTimestamp": "1"},
            "spec": {"addresses": [f"10.0.{number}.0/30"], "serviceAllocation": allocation},
        }
        for number, (name, allocation) in enumerate(
            {
                "one": {"serviceSelectors": ["front"]},
                "two": {"namespaceSelectors": [{"matchExpressions": [{"key": "a", "operator": "Near"}]}]},
                "three": {"priority": "high"},
                "good": {"priority": 1},
            }.items()
        )
    ]

    good, bad = parse_pools(objects)

    assert [pool.name for pool in good] == ["good"]
    assert bad.keys() == {"one", "two", "three"}


def test_a_namespace_that_is_labelled_later_is_served_then() -> None:
    """A Service of a namespace that no selector matches waits, and gets its address when the namespace is labelled."""

    def label(cluster: SmallCluster, **labels: str) -> None:
        cluster.put(NAMESPACES, {"metadata": {"name": "ns", "labels": labels}})

    async def scenario(cluster: SmallCluster) -> None:
        selectors = [{"matchLabels": {"kind": "inner"}}]
        cluster.pool("web", "10.0.0.1/32", serviceAllocation={"namespaceSelectors": selectors})
        label(cluster)
        cluster.service("a")
        await cluster.refused("a")
        label(cluster, kind="inner")
        await cluster.gets("a", "10.0.0.1")
        label(cluster)
        await stays(lambda: cluster.ip("a") == "10.0.0.1", 0.1)

    play(scenario)


def test_a_service_that_is_seen_before_its_namespace_waits_without_an_event() -> None:
    """The watches of Services and namespaces are two: none serves a Service whose namespace is not read yet."""

    async def scenario(cluster: SmallCluster) -> None:
        selectors = [{"matchLabels": {"kind": "inner"}}]
        cluster.pool("inner", "10.0.0.1/32", serviceAllocation={"namespaceSelectors": selectors})
        cluster.pool("web", "10.0.1.1/32")
        await until(lambda: cluster.valid("web") == "True")
        cluster.service("a")
        await stays(lambda: cluster.ip("a") is None, 0.05)
        cluster.put(NAMESPACES, {"metadata": {"name": "ns", "labels": {"kind": "inner"}}})
        await cluster.gets("a", "10.0.0.1")
        assert not cluster.events("a", "AllocationFailed")

    play(scenario)


def test_a_service_that_is_labelled_later_is_served_then() -> None:
    """Labels of a waiting Service are read again."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.1/32", serviceAllocation={"serviceSelectors": [FRONT]})
        cluster.service("a")
        await cluster.refused("a")
        made = cluster.get("a")
        made["metadata"]["labels"] = {"tier": "front"}
        cluster.put("/api/v1/services", made)
        await cluster.gets("a", "10.0.0.1")

    play(scenario)
