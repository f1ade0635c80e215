"""Pools and requests of the controller: several blocks, two invalid pools, requests by field, and second tries."""

from __future__ import annotations

from tests.reference.polling import until
from tests.reference.small_cluster import SmallCluster, play


def test_blocks_of_a_pool_may_be_listed_in_any_order() -> None:
    """A pool gives the addresses of both blocks, also when the higher one is listed first."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.1.0/31", "10.0.0.0/31")
        for name in "abcd":
            cluster.service(name)
            await cluster.gets(name)

    play(scenario)


def test_a_range_may_cross_a_multiple_of_256() -> None:
    """A range from .254 to .1 of the next block gives four addresses."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.254-10.0.1.1")
        for name, ip in zip("abcd", ("10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"), strict=True):
            cluster.service(name)
            await cluster.gets(name, ip)

    play(scenario)


def test_a_deleted_pool_assigns_nothing() -> None:
    """A pool whose address is in use assigns no other one after it was deleted."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("a", "10.0.0.0/31")
        cluster.service("old")
        await cluster.gets("old")
        cluster.delete_pool("a")
        cluster.pool("b", "10.0.9.1/32")
        cluster.service("new")
        await cluster.gets("new")
        assert cluster.ip("new") == "10.0.9.1"

    play(scenario)


def test_services_of_one_name_have_different_addresses() -> None:
    """Two Services of the same name in two namespaces get two addresses."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/30")
        cluster.service("one/web")
        await cluster.gets("one/web")
        cluster.service("two/web")
        await cluster.gets("two/web")
        assert cluster.ip("one/web") != cluster.ip("two/web")

    play(scenario)


def test_a_deletion_does_not_free_what_was_left_before() -> None:
    """When a Service that left its address is deleted, the address stays with the Service that got it."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/31")
        cluster.service("a")
        await cluster.gets("a", "10.0.0.0")
        cluster.change("a", type="ClusterIP")
        await until(lambda: not cluster.ingress("a"))
        cluster.service("b")
        await cluster.gets("b", "10.0.0.0")
        cluster.remove("a")
        cluster.service("c")
        await cluster.gets("c")
        assert cluster.ip("c") == "10.0.0.1"

    play(scenario)


def test_an_address_of_a_reserved_pool_may_be_requested() -> None:
    """A request for an address needs no automatic assignment, by field and by annotation."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("kept", "10.0.0.0/30", autoAssign=False)
        cluster.service("a", loadBalancerIP="10.0.0.1")
        cluster.service("b", {"metallb.io/loadBalancerIPs": "10.0.0.2"})
        await cluster.gets("a", "10.0.0.1")
        await cluster.gets("b", "10.0.0.2")

    play(scenario)


def test_the_neighbour_of_a_pool_is_refused() -> None:
    """The address after the last one of a pool, and the one before its first, are in no pool."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/31")
        for name, ip in (("a", "10.0.0.3"), ("b", "10.0.0.6")):
            cluster.service(name, loadBalancerIP=ip)
            await until(lambda name=name: bool(cluster.events(name)))  # type: ignore[misc]
            assert cluster.ip(name) is None

    play(scenario)


def test_a_held_address_is_refused_by_field_too() -> None:
    """A request by spec.loadBalancerIP for an address of another Service changes nothing."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/31")
        cluster.service("a")
        await cluster.gets("a", "10.0.0.4")
        cluster.service("b", loadBalancerIP="10.0.0.4")
        await until(lambda: bool(cluster.events("b")))
        assert (cluster.ip("a"), cluster.ip("b")) == ("10.0.0.4", None)

    play(scenario)


def test_a_malformed_request_is_refused_again() -> None:
    """A malformed request is refused also when a new pool makes the controller try again."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/31")
        cluster.service("a", {"metallb.io/loadBalancerIPs": "nonsense"})
        await cluster.refused("a")
        cluster.pool("wide", "10.0.1.0/28")
        cluster.service("b", {"metallb.io/address-pool": "wide"})
        await cluster.gets("b")
        assert cluster.ip("a") is None

    play(scenario)


def test_a_malformed_request_stops_no_other_request() -> None:
    """A younger request of the same namespace is met while a malformed one waits."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/31")
        cluster.service("a", {"metallb.io/loadBalancerIPs": "nonsense"})
        await cluster.refused("a")
        cluster.service("b", {"metallb.io/loadBalancerIPs": "10.0.0.5"})
        await cluster.gets("b", "10.0.0.5")

    play(scenario)


def test_field_and_pool_must_agree() -> None:
    """A request by spec.loadBalancerIP with the annotation of another pool is refused."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/31")
        cluster.pool("other", "10.0.1.4/31")
        cluster.service("a", {"metallb.io/address-pool": "other"}, loadBalancerIP="10.0.0.4")
        await until(lambda: bool(cluster.events("a")))
        assert cluster.ip("a") is None

    play(scenario)


def test_an_invalid_pool_stops_no_change_of_another() -> None:
    """While a pool is invalid, a new one is used."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/32")
        cluster.service("a")
        await cluster.gets("a")
        cluster.pool("bad", "nonsense")
        await until(lambda: cluster.valid("bad") == "False")
        cluster.pool("wide", "10.0.1.0/28")
        cluster.service("b")
        await cluster.gets("b", "10.0.1.0")

    play(scenario)


def test_a_pool_that_becomes_invalid_is_reported() -> None:
    """A pool that was valid and is changed is reported like a new one."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/32")
        await until(lambda: cluster.valid("web") == "True")
        cluster.pool("web", "10.0.0.9-10.0.0.4")
        await until(lambda: cluster.valid("web") == "False")

    play(scenario)


def test_every_invalid_pool_is_reported() -> None:
    """Two pools that are invalid at a time are both reported."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("a", "nonsense")
        cluster.pool("b", "10.0.0.9-10.0.0.4")
        await until(lambda: (cluster.valid("a"), cluster.valid("b")) == ("False", "False"))

    play(scenario)


def test_a_pool_with_one_invalid_block_is_reported() -> None:
    """A valid block beside it does not make a pool valid."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("a", "10.0.0.4/31", "nonsense")
        await until(lambda: cluster.valid("a") == "False")

    play(scenario)


def test_a_start_beside_an_invalid_pool_uses_the_others() -> None:
    """A controller that starts while a pool is invalid assigns addresses of another one."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("bad", "nonsense")
        cluster.pool("web", "10.0.0.4/31")
        await cluster.restart()
        cluster.service("a")
        await cluster.gets("a")

    play(scenario)


def test_a_new_pool_serves_everyone_who_waits() -> None:
    """Three Services that wait get addresses of a new pool."""

    async def scenario(cluster: SmallCluster) -> None:
        for name in "abc":
            cluster.service(name)
            await cluster.refused(name)
        cluster.pool("web", "10.0.0.4/30")
        for name in "abc":
            await cluster.gets(name)

    play(scenario)
