"""The controller as a process, against a real API server, with the RBAC of its manifests."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.reference.apiserver import ApiServer, end, wait
from tests.reference.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

FROM_POOL = "metallb.io/ip-allocated-from-pool"
ALLOCATED = "lbproof.dev/allocated-ip"
Object = dict[str, Any]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One API server for the module."""
    with ApiServer(tmp_path_factory.mktemp("api")) as server:
        server.install()
        yield server


@pytest.fixture
def world(api: ApiServer, request: pytest.FixtureRequest) -> Iterator[World]:
    """Namespace without pools, with a controller; removed after the test."""
    world = World(api, f"t{abs(hash(request.node.name)) % 10**8}")
    yield world
    world.close()


def test_an_assigned_address_is_told_in_status_annotation_and_event(world: World) -> None:
    """A Service gets the lowest address of a pool, and its status, annotation and Event show it."""
    world.pool("web", "10.0.0.10-10.0.0.12")
    world.service("a")
    world.gets("a", "10.0.0.10")

    service = world.get("a")

    assert service["status"]["loadBalancer"]["ingress"] == [{"ip": "10.0.0.10", "ipMode": "VIP"}]
    assert service["metadata"]["annotations"][FROM_POOL] == "web"
    wait(lambda: ("Normal", "IPAllocated", 'Assigned IP ["10.0.0.10"]') in world.events("a"), "the event is there")


def test_families_of_a_service_are_followed(world: World) -> None:
    """A Service gets an address of each family, also after a restart; one that drops a family keeps the other."""
    world.pool("web", "10.0.0.10/32", "fd00::10/128")
    world.service("both", ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv6", "IPv4"])
    world.gets("both", "fd00::10")
    world.service("six", ipFamilies=["IPv6"])
    world.refused("six", "no free IPv6 address")
    world.restart()
    ingress = world.get("both")["status"]["loadBalancer"]["ingress"]
    assert [entry["ip"] for entry in ingress] == ["fd00::10", "10.0.0.10"]

    world.api.call("PATCH", f"{world.services}/both", {"spec": {"ipFamilyPolicy": "SingleStack"}})
    world.service("four")
    world.gets("four", "10.0.0.10")
    assert world.get("both")["status"]["loadBalancer"]["ingress"] == [{"ip": "fd00::10", "ipMode": "VIP"}]
    world.api.call("DELETE", f"{world.services}/both")
    world.gets("six", "fd00::10")
    world.service("later", ipFamilyPolicy="PreferDualStack")
    world.refused("later", "no free IPv4 address in pools: web; no available IPs: no free IPv6 address")
    world.pool("new", "fd00::20/128")
    world.gets("later", "fd00::20")
    world.pool("newer", "10.0.0.20/32")
    world.gets("later", "10.0.0.20")
    assert world.get("later")["metadata"]["annotations"] == {ALLOCATED: "10.0.0.20,fd00::20", FROM_POOL: "newer,new"}


def test_a_freed_address_wakes_who_waits(world: World) -> None:
    """A released address is assigned to a pending Service, after a deletion and after a change of type."""
    world.pool("web", "10.0.0.10/32")
    world.service("a")
    world.gets("a", "10.0.0.10")
    world.service("b")
    world.refused("b", "no available IPs")
    world.service("c", {"metallb.universe.tf/loadBalancerIPs": "10.0.0.10"})
    world.refused("c", f"in use by {world.namespace}/a")

    world.api.call("DELETE", f"{world.services}/a")
    world.gets("b", "10.0.0.10")
    world.api.call("PATCH", f"{world.services}/b", {"spec": {"type": "ClusterIP"}})
    world.gets("c", "10.0.0.10")

    wait(lambda: FROM_POOL not in world.get("b")["metadata"].get("annotations", {}), "b's annotation is gone")
    assert len([event for event in world.events("b") if event[1] == "AllocationFailed"]) == 1


def test_a_restart_moves_nobody(world: World) -> None:
    """Restarts change no Service, with a full pool, a pending Service and an address of a deleted pool."""
    world.pool("web", "10.0.0.10-10.0.0.11")
    world.pool("old", "10.1.0.1/32", autoAssign=False)
    world.service("a")
    world.gets("a", "10.0.0.10")
    world.service("b")
    world.gets("b", "10.0.0.11")
    world.service("c", {"metallb.io/address-pool": "old"})
    world.gets("c", "10.1.0.1")
    world.service("d")
    world.refused("d", "no available IPs")
    world.deletes_pool("old", "10.1.0.1")
    before = [world.get(name)["metadata"]["resourceVersion"] for name in "abcd"]

    for _ in range(5):
        world.restart()

    assert [world.get(name)["metadata"]["resourceVersion"] for name in "abcd"] == before


def test_an_address_outlives_an_edit_of_its_pool_and_both_annotations(world: World) -> None:
    """A Service keeps its address after edits of its pool and annotations, and a running controller restores these."""
    world.pool("web", "10.0.0.10-10.0.0.11")
    world.service("a")
    world.gets("a", "10.0.0.10")
    notes = {FROM_POOL: "web", ALLOCATED: "10.0.0.10"}
    wait(lambda: world.get("a")["metadata"].get("annotations") == notes, "both annotations are there")
    world.api.call("PATCH", f"{world.pools}/web", {"spec": {"addresses": ["10.0.0.11/32"]}})
    for removed in ({FROM_POOL: None}, {ALLOCATED: None, FROM_POOL: "other"}, {ALLOCATED: "10.0.0.1"}):
        world.api.call("PATCH", f"{world.services}/a", {"metadata": {"annotations": removed}})
        wait(lambda: world.get("a")["metadata"].get("annotations") == notes, f"they are again after {removed}")
    world.restart()
    world.deletes_pool("web", "10.0.0.10")
    world.restart()
    world.pool("new", "10.5.0.0/28")
    world.service("b")
    world.gets("b", "10.5.0.0")

    assert world.ip("a") == "10.0.0.10"
    assert world.get("a")["metadata"]["annotations"] == notes
    world.api.call("DELETE", f"{world.services}/a")
    wait(lambda: not _record(world), "the record is empty")


def test_the_address_of_a_node_is_not_given_nor_kept(world: World) -> None:
    """A Service whose address becomes a node's gets another one, or none, and its author is told."""
    world.pool("web", "10.0.0.10-10.0.0.11")
    world.service("a")
    world.gets("a", "10.0.0.10")
    world.node("n1", "10.0.0.10")
    world.gets("a", "10.0.0.11")
    world.service("b", loadBalancerIP="10.0.0.10")
    world.refused("b", "address of a node")
    world.node("n2", "10.0.0.11")
    world.refused("a", "no available IPs")
    world.api.call("DELETE", "/api/v1/nodes/n1")

    wait(lambda: {world.ip("a"), world.ip("b")} == {None, "10.0.0.10"}, "the node's address is free")


@pytest.mark.parametrize(
    ("notes", "address"),
    [
        ({}, "10.0.0.11"),
        ({ALLOCATED: None, FROM_POOL: None}, "10.0.0.10"),
        ({ALLOCATED: "192.168.172.151", FROM_POOL: "web"}, "10.0.0.10"),
    ],
)
def test_a_status_that_no_pool_holds_is_not_adopted(world: World, notes: dict[str, str | None], address: str) -> None:
    """A status outside all pools, written while the controller was down, is replaced by an address of a pool."""
    world.pool("web", "10.0.0.10-10.0.0.19")
    world.service("first")
    world.gets("first", "10.0.0.10")
    world.service("a")
    world.gets("a", "10.0.0.11")
    end(world.controller)
    world.api.call("DELETE", f"{world.services}/first")
    world.api.call("PATCH", f"{world.services}/a", {"metadata": {"annotations": notes}})
    ingress = [{"ip": "192.168.172.151"}, {"ip": "192.168.172.1"}]
    world.api.call("PATCH", f"{world.services}/a/status", {"status": {"loadBalancer": {"ingress": ingress}}})
    told = len(world.events("a"))
    world.restart()

    world.gets("a", address)
    wait(lambda: len(world.events("a")) > told, "the Event is there")


def test_a_status_that_cannot_be_read_stops_nobody(world: World) -> None:
    """A Service whose status has an address with leading zeros gets a new address."""
    world.pool("web", "10.0.0.10-10.0.0.19")
    world.service("odd")
    world.gets("odd", "10.0.0.10")
    world.service("fine")
    world.gets("fine", "10.0.0.11")
    end(world.controller)
    ingress = [{"ip": "10.0.0.010"}]
    world.api.call("PATCH", f"{world.services}/odd/status", {"status": {"loadBalancer": {"ingress": ingress}}})
    world.restart()

    world.gets("odd", "10.0.0.10")
    world.service("next")
    world.gets("next", "10.0.0.12")
    assert world.ip("fine") == "10.0.0.11"


def test_pools_and_advertisements_of_other_namespaces_do_not_count(world: World) -> None:
    """Pools of other namespaces assign no addresses and do not affect a pool of the same name; their author is told."""
    world.advertisement("ad", world.namespace)
    other = {"metadata": {"name": "web", "namespace": world.namespace}, "spec": {"addresses": ["nonsense"]}}
    foreign = {"metadata": {"name": "apart", "namespace": world.namespace}, "spec": {"addresses": ["10.7.0.0/28"]}}
    for pool in (other, foreign):
        world.api.create({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool", **pool})
    world.pool("web", "10.0.0.10/32")
    world.service("a")
    world.gets("a", "10.0.0.10")
    world.service("b")
    world.refused("b", "no available IPs")
    world.service("c", {"metallb.io/address-pool": "apart"})
    world.refused("c", "unknown pool")

    wait(lambda: _says(world, "web", "True", "in use"), "ours is not flagged for the other")
    theirs = f"{world.pools.replace('metallb-system', world.namespace)}/web"
    wait(lambda: "status" in world.api.call("GET", theirs), "the foreign pool has a status")
    [condition] = world.api.call("GET", theirs)["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Valid", "False", "OtherNamespace")
    assert "metallb-system" in condition["message"]
    wait(lambda: any("metallb-system" in text for _, _, text in world.events("ad")), "the advertisement has an Event")


def test_pools_of_some_services_and_shared_addresses(world: World) -> None:
    """The CRD takes a pool's `serviceAllocation` and keeps the numbers in its status; a shared address counts once."""
    world.pool("all", "10.0.0.10-10.0.0.19")
    world.pool("some", "10.1.0.0/28", serviceAllocation={"namespaces": [world.namespace], "priority": 3})
    key = {"metallb.io/allow-shared-ip": "k"}
    for name, port in (("a", 80), ("b", 443)):
        world.service(name, key, ports=[{"port": port}])
        world.gets(name, "10.1.0.0")
    world.service("c")
    world.gets("c", "10.1.0.1")
    numbers = {"assignedIPv4": 2, "availableIPv4": 14, "assignedIPv6": 0, "availableIPv6": 0}
    wait(lambda: world.api.call("GET", f"{world.pools}/some")["status"].items() >= numbers.items(), "the numbers", 10)


def test_a_service_of_a_pool_without_advertisement_is_told_once(world: World) -> None:
    """The Event NotAnnounced tells once why nobody answers for an address, and again only after a change."""

    def told(name: str) -> list[str]:
        return [text for _, reason, text in world.events(name) if reason == "NotAnnounced"]

    world.pool("web", "10.0.0.10-10.0.0.19")
    world.pool("named", "10.1.0.0/28", autoAssign=False)
    world.advertisement("ad", "metallb-system", ipAddressPools=["web"])
    world.service("a")
    world.service("b", {"metallb.io/address-pool": "named"})
    wait(lambda: len(told("b")) == 1, "b is told")
    world.service("c", {"metallb.io/address-pool": "named"})
    wait(lambda: len(told("c")) == 1, "c is told")
    world.api.call("DELETE", f"{world.advertisements}/ad")
    wait(lambda: len(told("a")) == 1, "a is told")

    assert "'web'" in told("a")[0]
    assert len(told("b")) == len(told("c")) == 1


def test_text_of_authors_stops_no_watch(world: World) -> None:
    """Line separators in annotations and deeply nested `managedFields` do not stop the watch."""
    deep = '{"f:a":' * 1200 + "{}" + "}" * 1200
    managed = [{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]
    world.pool("web", "10.0.0.10-10.0.0.19")
    world.service("a", {"note": "left\u0085right\u2028"})
    world.gets("a", "10.0.0.10")
    body = {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": "b", "namespace": world.namespace, "managedFields": managed},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
    }
    text = json.dumps(body).replace('"fieldsV1": {}', f'"fieldsV1": {deep}')
    created = world.api.client.post(world.services, content=text, headers={"Content-Type": "application/json"})
    assert created.is_success, created.text
    assert created.text.count("f:a") >= 1200
    world.gets("b", "10.0.0.11")
    world.service("c")
    world.gets("c", "10.0.0.12")
    world.restart()
    world.service("d")
    world.gets("d", "10.0.0.13")


def test_a_foreign_class_is_left_alone_and_the_own_is_served(world: World) -> None:
    """A Service of another class is not modified (KEP-1959)."""
    world.pool("web", "10.0.0.0/24", avoidBuggyIPs=True)
    world.service("foreign", loadBalancerClass="example.com/other")
    foreign = world.get("foreign")
    world.service("own", loadBalancerClass="lbproof.dev/reference")
    world.gets("own", "10.0.0.1")

    assert world.get("foreign") == foreign
    assert world.events("foreign") == []


def test_a_changed_request_moves_a_live_service(world: World) -> None:
    """A changed request moves a Service and releases its old address; a removed request changes nothing."""
    world.pool("web", "10.0.0.10-10.0.0.12")
    world.service("a", loadBalancerIP="10.0.0.12")
    world.gets("a", "10.0.0.12")
    world.api.call("PATCH", f"{world.services}/a", {"spec": {"loadBalancerIP": "10.0.0.11"}})
    world.gets("a", "10.0.0.11")
    world.service("b", loadBalancerIP="10.0.0.12")
    world.gets("b", "10.0.0.12")
    world.api.call("PATCH", f"{world.services}/a", {"spec": {"loadBalancerIP": None}})
    world.service("c")
    world.gets("c", "10.0.0.10")

    assert world.ip("a") == "10.0.0.11"


@pytest.mark.parametrize(
    ("spec", "notes", "why"),
    [
        ({"loadBalancerIP": "10.9.9.9"}, {}, "not allowed in config"),
        ({"loadBalancerIP": "10.0.0.1"}, {"metallb.io/loadBalancerIPs": "10.0.0.2"}, "disagree"),
        ({}, {"metallb.io/loadBalancerIPs": "ten"}, "not an IP address"),
        ({}, {"metallb.io/loadBalancerIPs": "fd00::1"}, "IPv4 family"),
        ({}, {"metallb.io/address-pool": "none"}, "unknown pool"),
        ({"loadBalancerIP": "10.0.0.1"}, {"metallb.io/address-pool": "other"}, "not in the requested pool"),
    ],
)
def test_an_unusable_request_is_refused_and_stops_nobody(
    world: World, spec: Object, notes: dict[str, str], why: str
) -> None:
    """An invalid request is reported in an Event, and the next Service gets an address."""
    world.pool("web", "10.0.0.0/29")
    world.pool("other", "10.2.0.0/29", autoAssign=False)
    world.service("bad", notes, **spec)
    world.refused("bad", why)
    world.service("good")
    world.gets("good", "10.0.0.0")


def test_bad_pools_are_flagged_and_the_others_go_on(world: World) -> None:
    """An invalid pool gets a condition and an Event, and no assigned address changes."""
    world.pool("good", "10.0.0.10-10.0.0.11")
    world.service("a")
    world.gets("a", "10.0.0.10")
    world.pool("overlap", "10.0.0.11-10.0.0.20")
    world.pool("reversed", "10.3.0.9-10.3.0.1")
    world.pool("mixed", "10.4.0.1-fd00::1")
    world.pool("words", "ten")

    for name, why in (("overlap", "overlaps"), ("reversed", "reversed"), ("mixed", "mixes"), ("words", "not a CIDR")):
        wait(lambda name=name, why=why: _says(world, name, "False", why), f"{name} is flagged with {why}")  # type: ignore[misc] # bound now
        wait(lambda name=name: bool(world.events(name)), f"{name} has its event")  # type: ignore[misc] # likewise
    assert _says(world, "good", "True", "in use")
    world.service("b")
    world.gets("b", "10.0.0.11")
    world.api.call("PATCH", f"{world.pools}/good", {"spec": {"addresses": ["ten"]}})
    wait(lambda: _says(world, "good", "False", "not a CIDR"), "good is flagged")
    assert (world.ip("a"), world.ip("b")) == ("10.0.0.10", "10.0.0.11")


def test_fifty_at_once_get_fifty_addresses(world: World) -> None:
    """Fifty Services created in parallel get fifty different addresses."""
    world.pool("web", "10.0.1.0/26")
    threads = [threading.Thread(target=world.service, args=(f"s{number}",)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait(lambda: len(_ips(world)) == 50, "fifty have an address", 10)

    assert len(set(_ips(world))) == 50


def _record(world: World) -> Object:
    found = world.api.client.get("/api/v1/namespaces/metallb-system/configmaps/lbproof-retained").json()
    return found.get("data") or {}


def _ips(world: World) -> list[str]:
    items = world.api.call("GET", world.services)["items"]
    return [entry["ip"] for item in items for entry in item["status"]["loadBalancer"].get("ingress", [])]


def _says(world: World, pool: str, status: str, text: str) -> bool:
    found = world.api.call("GET", f"{world.pools}/{pool}").get("status", {}).get("conditions", [])
    return any((c["type"], c["status"]) == ("Valid", status) and text in c["message"] for c in found)
