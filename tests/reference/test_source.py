"""Source of the speaker against a real API server, with the RBAC of its manifest."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests.reference.apiserver import ApiServer

from lbproof_reference.kube import Kube
from lbproof_reference.speaker.source import Source, _freeze_heap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lbproof_reference.speaker.plan import Offer

METALLB = "/apis/metallb.io/v1beta1/namespaces/{}/{}"
OURS, NEW, LAST = bytes([10, 0, 0, 2]), bytes([10, 0, 0, 16]), bytes([10, 0, 0, 17])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One API server for the module, with a node and a namespace."""
    with ApiServer(tmp_path_factory.mktemp("api")) as server:
        server.install()
        server.create({"kind": "Namespace", "metadata": {"name": "team"}})
        server.call("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
        status = {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}
        server.call("PATCH", "/api/v1/nodes/n1/status", {"status": status})
        yield server


class Team:
    """Client of the API server that does not block the speaker in this process."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Send one request."""
        await asyncio.to_thread(self._api.call, method, path, body)

    async def create(self, kind: str, namespace: str, name: str, **fields: Any) -> None:  # noqa: ANN401 - JSON
        """Create a MetalLB object."""
        body = {"apiVersion": "metallb.io/v1beta1", "kind": kind, "metadata": {"name": name}, **fields}
        await self.call("POST", METALLB.format(namespace, f"{kind.lower()}s"), body)

    async def service(self, name: str, *addresses: str) -> None:
        """Create a Service of type LoadBalancer with these addresses in its status and no annotation."""
        services = "/api/v1/namespaces/team/services"
        spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
        await self.call("POST", services, {"metadata": {"name": name}, "spec": spec})
        status = {"loadBalancer": {"ingress": [{"ip": address} for address in addresses]}}
        await self.call("PATCH", f"{services}/{name}/status", {"status": status})


def test_a_speaker_announces_what_its_namespaces_pools_hold(api: ApiServer) -> None:
    """Addresses of pools in the own namespace are announced, and still after their pool is deleted."""
    wanted: dict[bytes, Offer | None] = {}
    history: list[bytes] = []

    def want(changes: Mapping[bytes, Offer | None]) -> None:
        wanted.update(changes)
        history.extend(address for address, offer in changes.items() if offer is None)

    async def until(come_about: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not come_about():  # noqa: ASYNC110 - nobody here could set an event
                await asyncio.sleep(0.01)

    async def follow() -> None:
        team = Team(api)
        kube = Kube(api.url, api.account("speaker"))
        source = Source(kube, node="n1", lb_class=None, namespace="metallb-system")
        work = asyncio.create_task(source.run(want, lambda: None))
        await until(lambda: source.synced)
        await team.create("IPAddressPool", "metallb-system", "web", spec={"addresses": ["10.0.0.0/28"]})
        await team.create("IPAddressPool", "team", "web", spec={"addresses": ["10.0.0.128/28"]})
        await team.create("L2Advertisement", "team", "everything", spec={})
        await team.service("a", "10.0.0.2", "10.0.0.1", "10.0.0.129")
        await team.create("IPAddressPool", "metallb-system", "new", spec={"addresses": ["10.0.0.16/28"]})
        await team.create("L2Advertisement", "metallb-system", "new", spec={"ipAddressPools": ["new"]})
        await team.service("b", "10.0.0.16")
        await until(lambda: bool(wanted))
        assert list(wanted) == [NEW]
        await team.create("L2Advertisement", "metallb-system", "everything")
        await until(lambda: OURS in wanted)
        await team.call("DELETE", METALLB.format("metallb-system", "ipaddresspools") + "/web")
        await team.service("c", "10.0.0.17")
        await until(lambda: LAST in wanted)
        assert not work.done()
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        await kube.close()

    asyncio.run(follow())
    assert wanted.keys() == {OURS, NEW, LAST}
    assert history == []


class Cycle:
    """Object that refers to itself."""

    def __init__(self) -> None:
        """Refer to itself."""
        self.me = self


def test_cycles_are_collected_before_the_heap_is_frozen() -> None:
    """An unused cycle in the oldest generation is freed: it would stay for ever behind `gc.freeze`."""
    one = Cycle()
    gc.collect()
    gone = weakref.ref(one)
    del one
    try:
        _freeze_heap()
        assert gone() is None
    finally:
        gc.unfreeze()
