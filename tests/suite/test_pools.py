"""Pools are a set: the cluster is made to match what the adapter renders of those that are alive."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.suite.acme import Acme
from tests.suite.fake_cluster import FakeCluster

from lbproof.adapters import rendering
from lbproof.adapters.base import PoolSpec
from lbproof.adapters.metallb_objects import MetalLBObjects
from lbproof.adapters.rendering import AdapterError
from lbproof.context import CheckContext, RunContext
from lbproof.lab.base import Segment
from lbproof.run.adapter_check import SUBNET, example_site
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.kube import ApiError, ApiUnreachable
from lbproof.witnesses.wait import EventuallyFailed, Waiter

if TYPE_CHECKING:
    from lbproof.adapters.base import Adapter
    from lbproof.lab.base import Lab


class FakeLab:
    """Has a segment."""

    segment = Segment(name="lan", subnets=(SUBNET,), free=())


def context(adapter: Adapter, cluster: FakeCluster) -> RunContext:
    """The context of a run in a lab on paper."""
    journal = Journal(None)
    made = RunContext(
        lab=cast("Lab", FakeLab()),
        cluster=cluster.kube,
        adapter=adapter,
        journal=journal,
        waiter=Waiter(journal, {"pool_removed": 0.2, "restarted": 0.2}),
        programs={},
    )
    vars(made)["site"] = example_site({})
    return made


def pool(name: str, last: int) -> PoolSpec:
    """A pool of one address."""
    return PoolSpec(name=name, blocks=(ip_address(f"192.168.172.{last}"),))


class Objects(MetalLBObjects):
    """Two objects a pool."""

    name, version, features, workloads = "objects", "1", frozenset({"core", "pool"}), ()


@pytest.fixture
def cluster() -> FakeCluster:
    """An empty cluster."""
    return FakeCluster()


def test_an_object_of_all_pools_is_changed_and_never_deleted(cluster: FakeCluster) -> None:
    """As a ConfigMap with a key for each."""
    pools = context(Acme(), cluster).pools
    pools.match()
    for name, last in (("one", 170), ("two", 171)):
        pools.put(pool(name, last))
    pools.drop("one")
    pools.drop("two")

    assert cluster.log == ["apply pools"] * 5
    assert [made["data"] for made in cluster.objects.values()] == [{}]


def test_objects_of_one_pool_go_with_it_in_reverse_order(cluster: FakeCluster) -> None:
    """And nothing of another pool is touched."""
    pools = context(Objects(), cluster).pools
    pools.put(pool("one", 170))
    pools.put(pool("two", 171))
    before = list(cluster.log)
    pools.drop("one")

    assert before == ["apply one", "apply one", "apply two", "apply two"]
    assert cluster.log[4:] == ["delete one", "delete one"]
    assert [path.split("/")[-2:] for path in cluster.objects] == [["IPAddressPool", "two"], ["L2Advertisement", "two"]]


def test_pairs_are_an_advertisement_each(cluster: FakeCluster) -> None:
    """Each of a node and an interface; they go with their pool."""
    pools = context(Objects(), cluster).pools
    pools.put(replace(pool("one", 170), pairs=(("w01", "eth0"), ("w02", "eth1"))))
    made = [made["spec"] for made in cluster.objects.values() if made["kind"] == "L2Advertisement"]
    pools.drop("one")

    assert [(spec["ipAddressPools"], spec["interfaces"]) for spec in made] == [(["one"], ["eth0"]), (["one"], ["eth1"])]
    nodes = [spec["nodeSelectors"] for spec in made]
    assert nodes == [[{"matchLabels": {"kubernetes.io/hostname": name}}] for name in ("w01", "w02")]
    assert cluster.objects == {}


def test_only_what_changed_is_applied(cluster: FakeCluster) -> None:
    """A pool that is no longer announced loses its advertisement alone."""
    pools = context(Objects(), cluster).pools
    pools.put(pool("one", 170))
    pools.put(replace(pool("one", 170), advertised=False))
    pools.put(replace(pool("one", 171), advertised=False))

    assert cluster.log == ["apply one", "apply one", "delete one", "apply one"]
    assert [path.split("/")[-2] for path in cluster.objects] == ["IPAddressPool"]


def test_a_pool_that_is_rejected_is_forgotten(cluster: FakeCluster) -> None:
    """What was applied of it goes, and the next pool is not rejected because of it."""
    pools = context(Objects(), cluster).pools
    cluster.refuses = lambda made: 422 if made["kind"] == "L2Advertisement" and made["metadata"]["name"] == "bad" else 0
    with pytest.raises(ApiError, match="the webhook says no"):
        pools.put(pool("bad", 170))
    pools.put(pool("good", 171))

    assert [path.split("/")[-1] for path in cluster.objects] == ["good", "good"]


class Unreachable(FakeCluster):
    """Does not answer for one object, which it stores nevertheless."""

    silent = "bad"

    def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        made = super().apply(manifest)
        if manifest["metadata"]["name"] == self.silent:
            raise ApiUnreachable("PATCH: the API server does not answer")
        return made


@pytest.mark.parametrize("status", [500, 503, 400, 403, 422])
@pytest.mark.parametrize("kind", ["IPAddressPool", "L2Advertisement"])
def test_a_pool_that_fails_harms_no_later_one(cluster: FakeCluster, status: int, kind: str) -> None:
    """Whatever the status: it leaves the set, and what was applied of it goes."""
    pools = context(Objects(), cluster).pools
    pools.put(pool("one", 170))
    cluster.refuses = lambda made: status if (made["kind"], made["metadata"]["name"]) == (kind, "bad") else 0
    with pytest.raises(EventuallyFailed if status >= 500 else ApiError):
        pools.put(pool("bad", 171))
    pools.put(pool("good", 172))
    pools.drop("one")

    assert [path.split("/")[-1] for path in cluster.objects] == ["good", "good"]
    assert [made["metadata"]["name"] for made in pools.objects] == ["good", "good"]


def test_an_object_without_an_answer_is_deleted() -> None:
    """It may exist, although its request failed."""
    cluster = Unreachable()
    pools = context(Objects(), cluster).pools
    with pytest.raises(ApiUnreachable):
        pools.put(pool("bad", 170))

    assert not cluster.objects
    assert not pools.objects


def test_a_shared_object_without_an_answer_is_applied_again() -> None:
    """Its content is not known, though it is wanted as it was before."""
    cluster = Unreachable()
    pools = context(Acme(), cluster).pools
    pools.put(pool("one", 170))
    cluster.silent = "pools"
    with pytest.raises(ApiUnreachable) as caught:
        pools.put(pool("two", 171))
    cluster.silent = ""
    pools.drop("two")

    assert caught.value.__notes__ == [
        "The pools before it could not be restored: ApiUnreachable: PATCH: the API server does not answer"
    ]
    assert [made["data"] for made in cluster.objects.values()] == [{"one": "192.168.172.170"}]


def test_an_adapter_that_fails_for_a_pool_serves_the_others(cluster: FakeCluster) -> None:
    """As one that cannot render a malformed block."""

    class Picky(Acme):
        def pools(self, alive: Any, site: Any) -> list[dict[str, Any]]:  # noqa: ANN401
            for one in alive:
                for block in one.blocks:
                    ip_address(block)
            return super().pools(alive, site)

    pools = context(Picky(), cluster).pools
    with pytest.raises(AdapterError, match="pools\\(\\) failed: ValueError"):
        pools.put(PoolSpec(name="bad", blocks=("192.168.172.300/28",)))
    pools.put(pool("good", 170))

    assert [made["data"] for made in cluster.objects.values()] == [{"good": "192.168.172.170"}]


def test_a_deletion_that_fails_is_repeated(cluster: FakeCluster) -> None:
    """The object would otherwise give its addresses to the Services of later checks."""
    pools = context(Objects(), cluster).pools
    pools.put(pool("one", 170))
    discard = cluster.discard

    def fail(path: str) -> None:
        raise ApiError(f"DELETE {path}", 500, "InternalError", "the webhook does not answer")

    vars(cluster)["discard"] = fail
    with pytest.raises(ApiError):
        pools.drop("one")
    vars(cluster)["discard"] = discard
    pools.put(pool("two", 171))

    assert [path.split("/")[-1] for path in cluster.objects] == ["two", "two"]


def test_a_check_removes_a_pool_whose_creation_failed() -> None:
    """Also when the failure could not be undone at once."""
    cluster = Unreachable()
    run = context(Objects(), cluster)
    vars(run.lab)["segment"] = Segment(name="lan", subnets=(SUBNET,), free=(ip_address("192.168.172.170"),))
    check = CheckContext(run, "bad", capture=False)
    cluster.silent = "bad-1-1"
    discard = cluster.discard

    def fail(path: str) -> None:
        raise ApiUnreachable(f"DELETE {path}: the API server does not answer")

    vars(cluster)["discard"] = fail
    with pytest.raises(ApiUnreachable):
        check.pool(1)
    vars(cluster)["discard"] = discard
    assert cluster.objects
    check.start_over()

    assert not cluster.objects


def test_a_change_that_is_rejected_leaves_the_pool_as_it_was(cluster: FakeCluster) -> None:
    """The object still has its old content, and so has the set."""
    pools = context(Acme(), cluster).pools
    pools.put(pool("one", 170))
    cluster.refuses = lambda made: 422 if "172.300" in str(made["data"]) else 0
    with pytest.raises(ApiError):
        pools.put(PoolSpec(name="one", blocks=("192.168.172.300/28",)))

    assert [made["data"] for made in cluster.objects.values()] == [{"one": "192.168.172.170"}]


def test_removal_waits_for_finalizers(cluster: FakeCluster) -> None:
    """The next pool of the name would otherwise be created in an object that is being deleted."""
    pools = context(Objects(), cluster).pools
    pools.put(pool("one", 170))
    path = next(iter(cluster.objects))
    cluster.finalizers[path] = 3
    pools.drop("one")
    assert not cluster.objects

    pools.put(pool("one", 170))
    cluster.finalizers[next(iter(cluster.objects))] = 10**6
    with pytest.raises(EventuallyFailed, match=r"is gone: not within 0\.2 s"):
        pools.drop("one")


def test_an_adapter_that_fails_is_one_line(cluster: FakeCluster) -> None:
    """It says in which method and why."""

    class Broken(Acme):
        def pools(self, alive: Any, site: Any) -> list[dict[str, Any]]:  # noqa: ANN401, ARG002
            return [{"kind": "ConfigMap"}]

    with pytest.raises(AdapterError) as caught:
        context(Broken(), cluster).pools.put(pool("one", 170))

    assert str(caught.value).startswith("adapter acme: pools() returned {'kind': 'ConfigMap'} as number 1, which lacks")


def test_every_service_has_the_opt_in_unless_it_says_something_else(cluster: FakeCluster) -> None:
    """Only those of type LoadBalancer, and the check's own words win."""
    adapter = Acme()
    adapter.service_opt_in = {"metadata": {"labels": {"serve": "yes"}}, "spec": {"loadBalancerClass": "acme/lb"}}
    run = context(adapter, cluster)
    service: dict[str, Any] = {
        "kind": "Service",
        "metadata": {"name": "web", "labels": {"app": "x"}},
        "spec": {"type": "LoadBalancer"},
    }

    made = run.opt_in(service)
    foreign = run.opt_in({**service, "spec": {"type": "LoadBalancer", "loadBalancerClass": "example.com/another"}})

    assert made["metadata"]["labels"] == {"serve": "yes", "app": "x"}
    assert made["spec"]["loadBalancerClass"] == "acme/lb"
    assert foreign["spec"]["loadBalancerClass"] == "example.com/another"
    assert run.opt_in({"kind": "Service", "spec": {"type": "NodePort"}}) == {
        "kind": "Service",
        "spec": {"type": "NodePort"},
    }


def test_an_address_is_asked_for_by_what_is_claimed(cluster: FakeCluster) -> None:
    """By the annotation where there is one, else by the field."""
    adapter = Acme()
    by_annotation: dict[str, Any] = {"metadata": {}, "spec": {}}
    context(adapter, cluster).ask(by_annotation, "192.168.172.170")
    adapter.features = frozenset({"core", "pool", "explicit-ip-field"})
    by_field: dict[str, Any] = {"metadata": {}, "spec": {}}
    context(adapter, cluster).ask(by_field, "192.168.172.170")

    assert by_annotation == {"metadata": {"annotations": {"acme.example/address": "192.168.172.170"}}, "spec": {}}
    assert by_field == {"metadata": {}, "spec": {"loadBalancerIP": "192.168.172.170"}}


def test_an_implementation_returns_as_it_was_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its own class alone is served for a time: what is installed again is what was uninstalled."""
    run = context(Objects(), FakeCluster())
    installed: list[list[Any]] = []
    monkeypatch.setattr(RunContext, "_uninstall", lambda *_: None)
    monkeypatch.setattr(RunContext, "_take_pools", lambda *_, **__: None)
    monkeypatch.setattr(RunContext, "addresses", lambda *_: [])
    monkeypatch.setattr(RunContext, "_change", lambda _, made: installed.append(list(made)))
    objects = {
        alone: {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "lb"}, "alone": alone}
        for alone in (True, False)
    }
    monkeypatch.setattr(rendering, "manifests", lambda _, site: [objects[site.class_only]])
    with run.uninstalled():
        pass
    with run.only_own_class(), run.uninstalled():
        pass
    with run.uninstalled():
        pass

    assert installed == [[objects[alone]] for alone in (False, True, True, False, False)]


@pytest.mark.parametrize("claimed", [True, False])
def test_who_waits_while_an_implementation_returns_is_given_no_address_of_a_probe(
    monkeypatch: pytest.MonkeyPatch, *, claimed: bool
) -> None:
    """The pool that shows that pools are taken is for who asks for it, or there is none; at first nobody waits."""
    run = context(Objects(), FakeCluster())
    run.claimed = frozenset({"core", "pool", *(["auto-assign"] if claimed else [])})
    made: list[PoolSpec] = []
    monkeypatch.setattr(run.pools, "put", made.append)
    run._take_pools([ip_address("192.168.172.9")])  # noqa: SLF001 - what an installation ends with
    assert [one.auto_assign for one in made] == [True]

    made.clear()
    for name in ("_uninstall", "_change"):
        monkeypatch.setattr(RunContext, name, lambda *_: None)
    monkeypatch.setattr(RunContext, "addresses", lambda *_: [ip_address("192.168.172.9")])
    monkeypatch.setattr(rendering, "manifests", lambda *_: [])
    with run.uninstalled():
        assert made == []
    assert [one.auto_assign for one in made] == ([False] if claimed else [])
