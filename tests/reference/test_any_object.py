"""Objects of any shape, through the controller and through the speaker's source, which neither end nor wait for ever.

Each example is one process that lists and watches objects which no schema was applied to, and afterwards a readable
object of each kind, which it must serve.
"""

from __future__ import annotations

import asyncio
import copy
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.controlled import ADVERTISEMENTS, POOLS, controlled, pool, service, shown
from tests.reference.fake_api import FakeApi
from tests.reference.polling import until

from lbproof_reference.kube import NODES, SERVICES, metallb_path
from lbproof_reference.speaker.source import SLICES, Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof_reference.speaker.plan import Offer

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8),
    st.sampled_from(["10.0.0.1", "10.0.0.01", "10.0.0.0/28", "::1", "LoadBalancer", "In", "Exists", "web", "\ud800"]),
)  # fmt: skip
ANYTHING = st.recursive(
    LEAVES, lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=5), of, max_size=3)
)
META = {"uid": "u", "namespace": "metallb-system", "generation": 1, "labels": {"a": "b"}, "annotations": {"a": "b"}}
SELECTOR = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}
INGRESS = {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}
SPEC = {"type": "LoadBalancer", "ipFamilies": ["IPv4"], "loadBalancerIP": "10.0.0.1", "externalTrafficPolicy": "Local"}
TEMPLATES: dict[str, dict[str, Any]] = {
    SERVICES: {"metadata": META, "spec": SPEC, "status": INGRESS},
    POOLS: {
        "metadata": META,
        "spec": {"addresses": ["10.9.0.0/28"], "autoAssign": True},
        "status": {"conditions": [{"type": "Valid", "message": "x", "observedGeneration": 1}]},
    },
    ADVERTISEMENTS: {
        "metadata": META,
        "spec": {
            "ipAddressPools": ["web"],
            "ipAddressPoolSelectors": [SELECTOR],
            "nodeSelectors": [SELECTOR],
            "interfaces": ["eth0"],
        },
    },
    NODES: {"metadata": META, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}},
    SLICES: {"metadata": META, "endpoints": [{"nodeName": "n1", "conditions": {"ready": True}}]},
}
"""A readable object of each kind with every field that is read; one field of a copy is replaced by anything."""


def places(obj: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - JSON
    """Return the path of every value inside an object, which the API server does not set itself."""
    inside = obj.items() if isinstance(obj, dict) else enumerate(obj) if isinstance(obj, list) else ()
    found = [path for key, value in inside for path in ((*at, key), *places(value, (*at, key)))]
    return [path for path in found if path not in {("metadata",), ("metadata", "namespace"), ("metadata", "uid")}]


@st.composite
def odd_objects(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Return the collection and an object in which one to three values are anything."""
    path = draw(st.sampled_from(sorted(TEMPLATES)))
    made = copy.deepcopy(TEMPLATES[path])
    for place in draw(st.lists(st.sampled_from(places(made)), min_size=1, max_size=3)):
        parent = made
        with suppress(KeyError, IndexError, TypeError):
            for key in place[:-1]:
                parent = parent[key]
            parent[place[-1]] = draw(ANYTHING)
    made["metadata"]["name"] = draw(st.sampled_from(["odd", "other"]))
    return path, made


ODD = st.lists(odd_objects(), min_size=1, max_size=6)


def put_all(api: FakeApi, objects: list[tuple[str, dict[str, Any]]]) -> None:
    """Put objects, also in the place that a speaker, which sees one namespace only, lists."""
    for path, obj in objects:
        plural = path.rpartition("/")[2]
        both = (path, metallb_path(plural, "metallb-system")) if "metallb" in path else (path,)
        for each in both:
            api.put(each, copy.deepcopy(obj))


@settings(max_examples=60, deadline=None)
@given(before=ODD, after=ODD)
def test_the_controller_serves_others(before: list[tuple[str, Any]], after: list[tuple[str, Any]]) -> None:
    """Whatever objects are there or come, a readable Service gets an address of a readable pool."""

    async def control() -> None:
        api = FakeApi()
        put_all(api, before)
        async with controlled(api):
            put_all(api, after)
            put_all(api, [(POOLS, pool("fine", "10.5.0.1/32", autoAssign=False))])
            fine = service("fine")
            fine["metadata"]["annotations"] = {"metallb.io/address-pool": "fine"}
            api.put(SERVICES, fine)
            await until(lambda: shown(api, "fine") == ["10.5.0.1"])

    asyncio.run(control())


@settings(max_examples=60, deadline=None)
@given(before=ODD, after=ODD)
def test_the_speaker_offers_others(before: list[tuple[str, Any]], after: list[tuple[str, Any]]) -> None:
    """Whatever objects are there or come, a readable Service is offered by a readable advertisement."""
    wanted: dict[bytes, Offer | None] = {}

    def want(changes: Mapping[bytes, Offer | None]) -> None:
        wanted.update(changes)

    async def follow() -> None:
        api = FakeApi()
        put_all(api, before)
        source = Source(api, node="n1", lb_class=None, namespace="metallb-system")
        work = asyncio.create_task(source.run(want, lambda: None))
        await until(lambda: source.synced)
        put_all(api, after)
        meta = {"name": "fine", "namespace": "metallb-system", "uid": "fine"}
        put_all(api, [(POOLS, pool("fine", "10.5.0.1/32")), (NODES, {"metadata": {"name": "fine"}})])
        put_all(api, [(ADVERTISEMENTS, {"metadata": meta, "spec": {"ipAddressPools": ["fine"]}})])
        fine = {**service("fine"), "status": {"loadBalancer": {"ingress": [{"ip": "10.5.0.1"}]}}}
        api.put(SERVICES, fine)
        await until(lambda: wanted.get(bytes([10, 5, 0, 1])) is not None)
        assert not work.done(), work
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work

    asyncio.run(follow())
