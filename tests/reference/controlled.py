"""A controller that runs against an API server in memory, and the objects of its tests."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from lbproof_reference.controller.loop import Controller
from lbproof_reference.kube import SERVICES, metallb_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.reference.fake_api import FakeApi

POOLS, ADVERTISEMENTS = metallb_path("ipaddresspools"), metallb_path("l2advertisements")


def service(name: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a ServiceSpec
    """Return a Service of type LoadBalancer."""
    meta = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "creationTimestamp": name}
    return {"metadata": meta, "spec": {"type": "LoadBalancer", **spec}}


def pool(name: str, *addresses: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of the spec
    """Return an IPAddressPool in the controller's namespace."""
    meta = {"name": name, "namespace": "metallb-system", "uid": name, "generation": 1}
    return {"metadata": meta, "spec": {"addresses": list(addresses), **spec}}


def shown(api: FakeApi, name: str) -> list[str]:
    """Return the addresses in a Service's status."""
    status = api.objects[SERVICES][f"ns/{name}"].get("status", {})
    return [entry["ip"] for entry in status.get("loadBalancer", {}).get("ingress") or []]


@asynccontextmanager
async def controlled(api: FakeApi) -> AsyncIterator[asyncio.Task[None]]:
    """Run a controller; it must not end by itself."""
    work = asyncio.create_task(Controller(api, lb_class=None, namespace="metallb-system").run())
    yield work
    assert not work.done(), work
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


def events(api: FakeApi, reason: str) -> list[tuple[str, str, str]]:
    """Return kind and name of the object, and the message, of the Events with that reason."""
    made = [body for method, path, body in api.written if method == "POST" and path.endswith("/events")]
    about = [(body["involvedObject"], body) for body in made if body["reason"] == reason]
    return [(what["kind"], what["name"], body["message"]) for what, body in about]
