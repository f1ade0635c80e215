"""An address that is given as its pool goes is announced, whichever of both a speaker reads first."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests.reference.controlled import service
from tests.reference.fake_api import FakeApi
from tests.reference.polling import stays, until

from lbproof_reference.kube import NODES, SERVICES, metallb_path
from lbproof_reference.speaker import source
from lbproof_reference.speaker.source import Source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from lbproof_reference.speaker.plan import Offer

NAMESPACE = "metallb-system"
POOLS, ADVERTISEMENTS = (metallb_path(plural, NAMESPACE) for plural in ("ipaddresspools", "l2advertisements"))
A, B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
Offers = dict[bytes, "Offer | None"]


def pool(*addresses: str) -> dict[str, Any]:
    """Return the pool `web`."""
    return {"metadata": {"name": "web", "namespace": NAMESPACE}, "spec": {"addresses": list(addresses)}}


def given(name: str, address: str) -> dict[str, Any]:
    """Return a Service with an address."""
    return service(name) | {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}


@asynccontextmanager
async def followed(api: FakeApi) -> AsyncIterator[Offers]:
    """Run the source of node n1 on a cluster with the pool `web` and an advertisement of everything."""
    api.put(NODES, {"metadata": {"name": "n1"}})
    api.put(POOLS, pool("10.0.0.0/28"))
    api.put(ADVERTISEMENTS, {"metadata": {"name": "all", "namespace": NAMESPACE}, "spec": {}})
    found: Offers = {}
    reading = Source(api, node="n1", lb_class=None, namespace=NAMESPACE)
    work = asyncio.create_task(reading.run(found.update, lambda: None))
    await until(lambda: reading.synced)
    yield found
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


def play(scenario: Callable[[FakeApi], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario."""
    asyncio.run(scenario(FakeApi()))


@pytest.mark.parametrize("change", ["deleted", "edited"])
def test_an_address_is_announced_whose_pool_has_just_gone(change: str) -> None:
    """The status arrives after the pool was deleted or has other addresses, though it was written before."""

    async def scenario(api: FakeApi) -> None:
        async with followed(api) as found:
            if change == "deleted":
                api.delete(POOLS, NAMESPACE, "web")
            else:
                api.put(POOLS, pool("10.0.0.8/29"))
                api.put(POOLS, pool("10.0.0.8/30"))
            await asyncio.sleep(0.05)
            api.put(SERVICES, given("a", "10.0.0.1"))
            await until(lambda: bool(found.get(A)))

    play(scenario)


def test_a_pool_that_went_earlier_explains_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was announced until then still is."""
    monkeypatch.setattr(source, "_FORMER_SECONDS", 0.1)

    async def scenario(api: FakeApi) -> None:
        async with followed(api) as found:
            api.delete(POOLS, NAMESPACE, "web")
            api.put(SERVICES, given("a", "10.0.0.1"))
            await until(lambda: bool(found.get(A)))
            await asyncio.sleep(0.2)
            api.put(SERVICES, given("b", "10.0.0.2"))
            await stays(lambda: bool(found.get(A)) and not found.get(B), 0.2)

    play(scenario)
