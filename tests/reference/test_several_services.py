"""Several Services of the controller: who waits, who leaves twice, who holds at a restart, and who is foreign."""

from __future__ import annotations

from tests.reference.polling import stays, until
from tests.reference.small_cluster import SmallCluster, play

from lbproof_reference.retained import RECORD
from lbproof_reference.services import FROM_POOL, OWN_CLASS


def test_who_waits_changes_no_status() -> None:
    """The first Service that waits neither changes the statuses of others nor shows an address itself."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/31")
        for name in "ab":
            cluster.service(name)
            await cluster.gets(name)
        before = [len(cluster.history[f"ns/{name}"]) for name in "ab"]
        cluster.service("late")
        await cluster.refused("late")
        await cluster.refused("late")
        assert [len(cluster.history[f"ns/{name}"]) for name in "ab"] == before
        assert cluster.ingress("late") == []

    play(scenario)


def test_everyone_who_waits_is_told_why() -> None:
    """Three Services of a namespace that wait each have a reason."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/32")
        for name in "abcd":
            cluster.service(name)
        for name in "bcd":
            await cluster.refused(name)

    play(scenario)


def test_a_freed_address_passes_over_who_cannot_use_it() -> None:
    """A younger Service gets a freed address when the oldest that waits asks for another one."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/32")
        cluster.service("a")
        await cluster.gets("a")
        cluster.service("b", loadBalancerIP="10.9.9.9")
        cluster.service("c")
        await cluster.refused("b")
        await cluster.refused("c")
        cluster.remove("a")
        await cluster.gets("c")

    play(scenario)


def test_a_freed_address_goes_to_who_asked_for_it() -> None:
    """Services that wait for exact addresses get them when they are freed, asked for by field or by annotation."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/31")
        for name in "ab":
            cluster.service(name)
            await cluster.gets(name)
        cluster.service("c", loadBalancerIP="10.0.0.4")
        cluster.service("d", {"metallb.io/loadBalancerIPs": "10.0.0.5"})
        for name in "cd":
            await cluster.refused(name)
        for name in "ab":
            cluster.remove(name)
        await cluster.gets("c", "10.0.0.4")
        await cluster.gets("d", "10.0.0.5")

    play(scenario)


def test_a_change_of_type_wakes_who_waits() -> None:
    """An address is free for a waiting Service when its holder becomes a ClusterIP, also a second time."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/32")
        cluster.service("a")
        await cluster.gets("a")
        for _ in range(2):
            cluster.service("b")
            await until(lambda: bool(cluster.events("b", "AllocationFailed")))
            cluster.change("a", type="ClusterIP")
            await cluster.gets("b")
            cluster.change("a")
            cluster.remove("b")
            await cluster.gets("a")

    play(scenario)


def test_a_wider_pool_moves_nobody() -> None:
    """A pool that becomes wider downwards keeps its Services where they are."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.8/31")
        for name in "ab":
            cluster.service(name)
            await cluster.gets(name)
        cluster.service("c")
        await cluster.refused("c")
        cluster.pool("web", "10.0.0.6-10.0.0.9")
        await cluster.gets("c")
        cluster.service("d")
        await cluster.gets("d")
        assert {name: cluster.ip(name) for name in "ab"} == {"a": "10.0.0.8", "b": "10.0.0.9"}

    play(scenario)


def test_services_deleted_together_free_all_their_addresses() -> None:
    """Three addresses that are freed at a time go to three Services that wait."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4-10.0.0.6")
        for name in "abc":
            cluster.service(name)
            await cluster.gets(name)
        for name in "def":
            cluster.service(name)
            await cluster.refused(name)
        for name in "abc":
            cluster.remove(name)
        for name in "def":
            await cluster.gets(name)

    play(scenario)


def test_a_service_created_again_keeps_its_address() -> None:
    """A Service that replaced one of the same name has its address also some seconds later."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4-10.0.0.6")
        cluster.service("a")
        await cluster.gets("a")
        cluster.remove("a")
        cluster.service("b")
        await cluster.gets("b")
        cluster.service("a")
        await cluster.gets("a")
        await stays(lambda: cluster.ip("a") is not None, 2.5)

    play(scenario)


def test_a_restart_meets_no_request_for_a_held_address() -> None:
    """A Service that asks for the address of another one waits on after a restart."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/32")
        cluster.service("b", loadBalancerIP="10.0.0.4", type="ClusterIP")
        cluster.service("a")
        await cluster.gets("a")
        cluster.change("b", loadBalancerIP="10.0.0.4")
        await cluster.refused("b")
        await cluster.restart()
        await until(lambda: len(cluster.events("b", "AllocationFailed")) > 1 or bool(cluster.ip("b")))
        assert (cluster.ip("a"), cluster.ip("b")) == ("10.0.0.4", None)

    play(scenario)


def test_a_restart_knows_every_holder() -> None:
    """Twelve Services keep their addresses, and a new one gets the thirteenth."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/28")
        names = [f"s{number:02}" for number in range(12)]
        for name in names:
            cluster.service(name)
            await cluster.gets(name)
        await cluster.restart()
        cluster.service("z")
        await cluster.gets("z")
        assert cluster.ip("z") == "10.0.0.12"

    play(scenario)


def test_no_status_is_empty_after_a_restart() -> None:
    """A status shows its address at every moment after a restart."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/28")
        cluster.service("a")
        await cluster.gets("a")
        await cluster.restart()
        await stays(lambda: cluster.ip("a") is not None, 2.5)
        assert all(cluster.history["ns/a"][1:])

    play(scenario)


def test_the_address_of_a_deleted_pool_is_recorded() -> None:
    """The record that a restart reads has the address of a Service whose pool was deleted."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/28")
        cluster.service("a")
        await cluster.gets("a")
        cluster.delete_pool("web")
        await until(lambda: any("10.0.0.0" in str(body) for *_, body in cluster.written if RECORD in str(body)))

    play(scenario)


def test_a_start_leaves_foreign_statuses_alone() -> None:
    """The status of a Service of another class is not changed when the controller starts."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/28")
        cluster.service("x", loadBalancerClass="example.com/other")
        status = {"loadBalancer": {"ingress": [{"ip": "10.0.0.7"}]}}
        cluster.put("/api/v1/services", {**cluster.get("x"), "status": status})
        await cluster.restart()
        cluster.service("a")
        await until(lambda: bool(cluster.events("a", "IPAllocated")))
        assert cluster.ip("x") == "10.0.0.7"

    play(scenario)


def test_a_foreign_request_leaves_no_event() -> None:
    """A Service of another class that asks for an address has no Event and no address."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/28")
        notes = {"metallb.io/loadBalancerIPs": "10.0.0.7"}
        cluster.service("x", notes, loadBalancerClass="example.com/other")
        cluster.service("y", notes, loadBalancerClass=f"{OWN_CLASS}-2")
        cluster.service("a")
        await until(lambda: bool(cluster.events("a", "IPAllocated")))
        assert not cluster.events("x")
        assert not cluster.events("y")
        assert (cluster.ip("x"), cluster.ip("y")) == (None, None)

    play(scenario)


def test_an_annotation_is_no_class() -> None:
    """With a class configured, a Service without one that asks for an address is left alone."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/28")
        cluster.service("x", {"metallb.io/loadBalancerIPs": "10.0.0.7"})
        cluster.service("a", loadBalancerClass="mine")
        await cluster.gets("a")
        assert cluster.ip("x") is None

    play(scenario, lb_class="mine")


def test_an_event_is_about_the_service_of_today() -> None:
    """Events about a Service that replaced another one carry its own uid."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/28")
        for number in (1, 2):
            cluster.service("a")
            await until(lambda number=number: len(cluster.events("a", "IPAllocated")) == number)  # type: ignore[misc]
            assert (
                cluster.events("a", "IPAllocated")[-1]["involvedObject"]["uid"] == cluster.get("a")["metadata"]["uid"]
            )
            cluster.remove("a")

    play(scenario)


def test_a_second_cause_of_refusal_is_told() -> None:
    """A Service that is refused for another cause than before has an Event that names it."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/32")
        cluster.service("a")
        await cluster.gets("a")
        cluster.service("b", loadBalancerIP="nonsense")
        await cluster.refused("b")
        cluster.change("b", loadBalancerIP="10.0.0.0")
        await until(lambda: any("in use by" in event["message"] for event in cluster.events("b")))

    play(scenario)


def test_the_pool_annotation_goes_with_the_address() -> None:
    """A Service that becomes a NodePort has no annotation, and one that moves has that of its new pool."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/28")
        cluster.pool("other", "10.0.1.0/28", autoAssign=False)
        cluster.service("a")
        await cluster.gets("a")
        cluster.change("a", loadBalancerIP="10.0.1.1")
        await cluster.gets("a", "10.0.1.1")
        assert cluster.get("a")["metadata"]["annotations"][FROM_POOL] == "other"
        cluster.change("a", type="NodePort")
        await until(lambda: not cluster.ingress("a"))
        assert FROM_POOL not in cluster.get("a")["metadata"].get("annotations", {})

    play(scenario)


def test_a_requested_address_has_the_mode_vip() -> None:
    """A requested address is served by kube-proxy like any other."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/28")
        cluster.service("a", loadBalancerIP="10.0.0.3")
        await cluster.gets("a")
        assert cluster.ingress("a") == [{"ip": "10.0.0.3", "ipMode": "VIP"}]

    play(scenario)


def test_a_node_port_service_is_left_alone() -> None:
    """A NodePort Service beside a LoadBalancer of its namespace is not written."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.0/28")
        cluster.service("n", type="NodePort")
        cluster.service("a")
        await until(lambda: bool(cluster.events("a", "IPAllocated")))
        assert len(cluster.history["ns/n"]) == 1

    play(scenario)


def test_a_restart_keeps_the_address_of_a_service_with_a_class() -> None:
    """A Service that names the class keeps its address, also when a lower one is free."""

    async def scenario(cluster: SmallCluster) -> None:
        cluster.pool("web", "10.0.0.4/30")
        cluster.service("a")
        await cluster.gets("a")
        cluster.service("b", loadBalancerClass=OWN_CLASS)
        await cluster.gets("b", "10.0.0.5")
        cluster.remove("a")
        await cluster.restart()
        cluster.service("c")
        await cluster.gets("c")
        assert (cluster.ip("b"), cluster.ip("c")) == ("10.0.0.5", "10.0.0.4")

    play(scenario)
