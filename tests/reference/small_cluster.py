"""Controller on an API server in memory, with short names for what its users do and see."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from tests.reference.fake_api import FakeApi
from tests.reference.polling import until

from lbproof_reference.controller.loop import Controller
from lbproof_reference.kube import SERVICES, metallb_path

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

POOLS = metallb_path("ipaddresspools")
Object = dict[str, Any]


class SmallCluster(FakeApi):
    """API server and a controller, as an async context manager; Services are `name` in namespace `ns`, or `ns/name`."""

    def __init__(self, lb_class: str | None = None) -> None:
        super().__init__()
        self.history: dict[str, list[list[Object]]] = {}
        """Entries of each Service's status, one item a version."""
        self._class = lb_class
        self._ages = itertools.count(1)

    async def __aenter__(self) -> Self:
        """Start the controller."""
        self._controller = self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the controller, which must not have ended by itself."""
        await self._stop()

    def put(self, path: str, obj: Any) -> None:  # noqa: ANN401 - any JSON
        super().put(path, obj)
        if path == SERVICES:
            key = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
            self.history.setdefault(key, []).append(obj.get("status", {}).get("loadBalancer", {}).get("ingress") or [])

    async def restart(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Kill the controller, do something, and start another."""
        await self._stop()
        self._watches.clear()
        meanwhile()
        self._controller = self._start()

    def pool(self, name: str, *addresses: str, **spec: Any) -> None:  # noqa: ANN401 - fields of the spec
        """Create or replace a pool."""
        age = next(self._ages)
        meta = {"name": name, "namespace": "metallb-system", "uid": name, "generation": age, "creationTimestamp": "1"}
        self.put(POOLS, {"metadata": meta, "spec": {"addresses": list(addresses), **spec}})

    def delete_pool(self, name: str) -> None:
        """Delete a pool."""
        self.delete(POOLS, "metallb-system", name)

    def service(self, name: str, notes: dict[str, str] | None = None, **spec: Any) -> None:  # noqa: ANN401 - a ServiceSpec
        """Create a Service, by default of type LoadBalancer."""
        namespace, _, short = name.rpartition("/")
        age = next(self._ages)
        meta = {"name": short, "namespace": namespace or "ns", "uid": f"uid-{age}", "annotations": notes or {}}
        self.put(
            SERVICES,
            {"metadata": {**meta, "creationTimestamp": f"{age:04}"}, "spec": {"type": "LoadBalancer", **spec}},
        )

    def change(self, name: str, **spec: Any) -> None:  # noqa: ANN401 - a ServiceSpec
        """Replace the spec of a Service."""
        self.put(SERVICES, {**self.get(name), "spec": {"type": "LoadBalancer", **spec}})

    def remove(self, name: str) -> None:
        """Delete a Service."""
        namespace, _, short = name.rpartition("/")
        self.delete(SERVICES, namespace or "ns", short)

    def get(self, name: str) -> Object:
        """Return a Service."""
        return self.objects[SERVICES][name if "/" in name else f"ns/{name}"]

    def ingress(self, name: str) -> list[Object]:
        """Return the entries of a Service's status."""
        entries: list[Object] = self.get(name).get("status", {}).get("loadBalancer", {}).get("ingress") or []
        return entries

    def ip(self, name: str) -> str | None:
        """Return the address in a Service's status."""
        return next((entry["ip"] for entry in self.ingress(name) if "ip" in entry), None)

    def events(self, name: str, reason: str = "") -> list[Object]:
        """Return the Events about an object, with this reason if given."""
        found = [body for method, path, body in self.written if method == "POST" and path.endswith("/events")]
        return [one for one in found if one["involvedObject"]["name"] == name and reason in ("", one["reason"])]

    def valid(self, name: str) -> str | None:
        """Return the status of the condition `Valid` of a pool."""
        conditions = self.objects[POOLS][f"metallb-system/{name}"].get("status", {}).get("conditions") or []
        return next((one["status"] for one in conditions), None)

    async def gets(self, name: str, ip: str | None = None) -> None:
        """Wait until a Service has an address, or this one."""
        await until(lambda: self.ip(name) == ip if ip else self.ip(name) is not None)

    async def refused(self, name: str, times: int = 1) -> None:
        """Wait until so many Events say why a Service has no address."""
        await until(lambda: len(self.events(name.rpartition("/")[2], "AllocationFailed")) >= times)

    def _start(self) -> asyncio.Task[None]:
        return asyncio.create_task(Controller(self, lb_class=self._class, namespace="metallb-system").run())

    async def _stop(self) -> None:
        assert not self._controller.done(), self._controller
        self._controller.cancel()
        with suppress(asyncio.CancelledError):
            await self._controller


def play(scenario: Callable[[SmallCluster], Coroutine[Any, Any, None]], lb_class: str | None = None) -> None:
    """Run a scenario on a cluster."""

    async def run() -> None:
        async with SmallCluster(lb_class) as cluster:
            await scenario(cluster)

    asyncio.run(run())


def played(scenario: Callable[[SmallCluster], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test of a scenario, by its name and docstring."""

    def test() -> None:
        play(scenario)

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test
