"""What a speaker makes of Services whose endpoints, policy and announcements change, without an API server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from tests.reference.fake_api import FakeApi
from tests.reference.polling import until

from lbproof_reference.kube import NODES, SERVICES, metallb_path
from lbproof_reference.speaker.elect import Claim, Station
from lbproof_reference.speaker.segment import Segment
from lbproof_reference.speaker.source import SLICES, Source

IP = bytes([10, 0, 0, 1])
Object = dict[str, Any]


@pytest.fixture
def source() -> Source:
    """Return the source of node n1 that knows nodes n1 and n2, a pool and an advertisement of everything."""
    made = Source(FakeApi(), node="n1", lb_class=None, namespace="metallb-system")
    put(made, NODES, "n1", {"metadata": {"name": "n1"}})
    put(made, NODES, "n2", {"metadata": {"name": "n2"}})
    own = {"namespace": "metallb-system"}
    pool = {"metadata": {"name": "web", **own}, "spec": {"addresses": ["10.0.0.0/28"]}}
    put(made, metallb_path("ipaddresspools", "metallb-system"), "metallb-system/web", pool)
    advertisement = {"metadata": {"name": "all", **own}, "spec": {}}
    put(made, metallb_path("l2advertisements", "metallb-system"), "metallb-system/all", advertisement)
    return made


def put(source: Source, path: str, key: str, obj: Object) -> None:
    """Let the informer of `path` hold an object."""
    source._informers[path].objects[key] = obj  # noqa: SLF001 - stands for the API server


def service(policy: str) -> Object:
    """Return the Service ns/a with an address."""
    return {
        "metadata": {"namespace": "ns", "name": "a", "uid": "u"},
        "spec": {"type": "LoadBalancer", "externalTrafficPolicy": policy},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
    }


def endpoints(source: Source, *nodes: str) -> None:
    """Let ready endpoints of ns/a be on these nodes."""
    ready = [{"nodeName": node, "conditions": {"ready": True}} for node in nodes]
    meta = {"namespace": "ns", "name": "a-x", "labels": {"kubernetes.io/service-name": "a"}}
    put(source, SLICES, "ns/a-x", {"metadata": meta, "endpoints": ready})
    source._slice_changed("ns/a-x", None)  # noqa: SLF001 - as the informer does


def announcer(source: Source) -> Segment:
    """Return a segment of n1 that desires what the source offers."""
    subnets = ((bytes([10, 0, 0, 0]), 24),)
    segment = Segment(me=Station("n1", "eth0"), mac=bytes(6), subnets=subnets, session=1, dead_interval=0.15, now=0)
    segment.set_desired(source._offers("ns/a"))  # noqa: SLF001 - stands for the loop
    segment.reconcile(1)
    return segment


def may_announce(source: Source) -> bool:
    """Return whether n1 may announce ns/a."""
    offer = source._offers("ns/a").get(IP)  # noqa: SLF001 - stands for the loop
    return offer is not None and offer.allows("n1", "eth0")


def test_a_cluster_service_is_answered_without_an_endpoint_here(source: Source) -> None:
    """With policy Cluster the announcer answers after its last endpoint left, also when it took the address over."""
    put(source, SERVICES, "ns/a", service("Cluster"))
    endpoints(source, "n1", "n2")
    announcer(source)
    endpoints(source, "n2")
    segment = announcer(source)
    assert segment.answers(IP, 1)
    segment.claims[IP] = Claim(standing=1, epoch=2)
    assert segment.answers(IP, 1)


def test_a_change_of_policy_is_followed(source: Source) -> None:
    """A Service that had the policy Local is announced without an endpoint here once it has the policy Cluster."""
    endpoints(source, "n2")
    put(source, SERVICES, "ns/a", service("Local"))
    assert not may_announce(source)
    put(source, SERVICES, "ns/a", service("Cluster"))
    assert may_announce(source)


def test_a_change_of_another_pool_interrupts_nothing(source: Source) -> None:
    """Nothing is withdrawn when a pool is created."""
    api, changes = FakeApi(), list[dict[bytes, Any]]()
    for path, informer in source._informers.items():  # noqa: SLF001 - the same objects, served by an API server
        for one in informer.objects.values():
            api.put(path, one)
    api.put(SERVICES, service("Cluster"))
    pools = metallb_path("ipaddresspools", "metallb-system")

    async def follow() -> None:
        following = Source(api, node="n1", lb_class=None, namespace="metallb-system")
        work = asyncio.create_task(following.run(lambda some: changes.append(dict(some)), lambda: None))
        await until(lambda: any(IP in some for some in changes))
        before = following._policy  # noqa: SLF001 - replaced when it was rebuilt
        api.put(
            pools, {"metadata": {"name": "x", "namespace": "metallb-system"}, "spec": {"addresses": ["10.9.0.0/28"]}}
        )
        await until(lambda: following._policy not in (before, None))  # noqa: SLF001 - likewise
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work

    asyncio.run(follow())
    assert all(some.get(IP, True) for some in changes)


def test_a_change_of_policy_counts(source: Source) -> None:
    """All nodes may announce a Service that becomes Cluster, and those with endpoints one that becomes Local."""
    endpoints(source, "n2")
    for policy, nodes in (("Local", {"n2"}), ("Cluster", {"n1", "n2"}), ("Local", {"n2"})):
        put(source, SERVICES, "ns/a", service(policy))
        (allowed,) = source._offers("ns/a")[IP].allowed  # noqa: SLF001 - stands for the loop
        assert allowed.nodes == nodes


def test_every_announcement_is_told(source: Source) -> None:
    """A node names itself for each of two Services that it gets at once, and again when one comes back."""
    told: list[str] = []
    source._recorder.event = lambda about, *_: told.append(about["metadata"]["name"])  # type: ignore[method-assign] # noqa: SLF001
    for name in ("a", "b"):
        put(source, SERVICES, f"ns/{name}", {**service("Cluster"), "metadata": {"namespace": "ns", "name": name}})
    for name in ("a", "b", "a"):
        source.record_announcement(f"ns/{name}")
    assert told == ["a", "b", "a"]


def test_the_numbers_in_a_pools_status_are_no_change(source: Source) -> None:
    """A pool whose status is written has no Service processed again; one with other addresses or labels has."""
    pools, key = metallb_path("ipaddresspools", "metallb-system"), "metallb-system/web"
    put(source, SERVICES, "ns/a", service("Cluster"))
    before = source._informers[pools].objects[key]  # noqa: SLF001 - stands for the API server

    def processed(**fields: Object) -> bool:
        source._services.clear()  # noqa: SLF001 - stands for the loop
        put(source, pools, key, {**before, **fields})
        source._pool_changed(key, before)  # noqa: SLF001 - as the informer does
        return "ns/a" in source._services  # noqa: SLF001 - stands for the loop

    async def change() -> None:
        assert not processed(status={"assignedIPv4": 1})
        assert not processed(metadata={**before["metadata"], "resourceVersion": "7", "generation": 2})
        assert processed(spec={"addresses": ["10.0.0.0/29"]})
        assert processed(metadata={**before["metadata"], "labels": {"tier": "front"}})

    asyncio.run(change())
