"""Writes of statuses that the API server refuses, or whose outcome is unknown: no address is lost or assigned twice."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.fake_api import FakeApi
from tests.reference.polling import until
from tests.reference.test_reconcile import POOLS, controlled, events, failing, pool, service, shown

from lbproof_reference.kube import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("status", [400, 403, 422])
def test_addresses_whose_writes_were_refused_are_free(status: int) -> None:
    """A Service whose every write is refused by the API server holds no address, however many it requests."""
    api = FakeApi()
    tried: list[str] = []

    def refuses(method: str, path: str) -> bool:
        if method == "PATCH" and path.endswith("/odd/status"):
            tried.append(api.objects[SERVICES]["ns/odd"]["spec"]["loadBalancerIP"])
            raise failing(status, path)
        return False

    async def write() -> None:
        api.fails = refuses
        api.put(POOLS, pool("web", "10.0.0.0/30"))
        async with controlled(api):
            for number in range(4):
                api.put(SERVICES, service("odd", loadBalancerIP=f"10.0.0.{number}"))
                await until(lambda number=number: f"10.0.0.{number}" in tried)  # type: ignore[misc] # bound now
            for name in "abcd":
                api.put(SERVICES, service(name))
            await until(lambda: all(shown(api, name) for name in "abcd"))

    asyncio.run(write())
    assert sorted(shown(api, name)[0] for name in "abcd") == [f"10.0.0.{number}" for number in range(4)]


def test_a_refused_move_keeps_the_address_that_is_shown() -> None:
    """A Service whose new address is refused keeps the one in its status, also when others wait for one."""
    api = FakeApi()

    async def move() -> None:
        api.put(POOLS, pool("web", "10.0.0.0/31"))
        api.put(SERVICES, service("a"))
        async with controlled(api):
            await until(lambda: shown(api, "a") == ["10.0.0.0"])
            api.fails = lambda method, path: _refuse(method, path, "/a/status")
            moved = dict(api.objects[SERVICES]["ns/a"], spec={"type": "LoadBalancer", "loadBalancerIP": "10.0.0.1"})
            api.put(SERVICES, moved)
            await until(lambda: bool(events(api, "Ignored")))
            for name in "bc":
                api.put(SERVICES, service(name))
            await until(lambda: shown(api, "b") == ["10.0.0.1"] and bool(events(api, "AllocationFailed")))

    asyncio.run(move())
    assert (shown(api, "a"), shown(api, "c")) == (["10.0.0.0"], [])


def _refuse(method: str, path: str, end: str) -> bool:
    if method == "PATCH" and path.endswith(end):
        raise failing(422, path)
    return False


@pytest.mark.parametrize("status", [408, 429, 500, 504])
def test_an_address_that_may_be_shown_is_held_until_the_service_is_read(status: int) -> None:
    """The address of a write with an unknown outcome is free after a refusal only once the Service was read again."""
    api = FakeApi()
    answers = [422, status]

    def refuses(method: str, path: str) -> bool:
        if method == "PATCH" and path.endswith("/a/status"):
            raise failing(answers.pop() if len(answers) > 1 else 422, path)
        return False

    async def write() -> None:
        api.fails = refuses
        api.put(POOLS, pool("web", "10.0.0.1/32"))
        api.put(POOLS, pool("other", "10.0.1.1/32", autoAssign=False))
        api.put(SERVICES, service("a"))
        async with controlled(api):
            await until(lambda: bool(events(api, "Ignored")))
            api.put(SERVICES, service("b"))
            await until(lambda: bool(events(api, "AllocationFailed")))
            api.put(SERVICES, service("c", loadBalancerIP="10.0.1.1"))
            await until(lambda: bool(shown(api, "c")))
            assert shown(api, "b") == []
            api.put(SERVICES, service("a", externalTrafficPolicy="Local"))
            await until(lambda: bool(shown(api, "b")))

    asyncio.run(write())
    assert shown(api, "b") == ["10.0.0.1"]


OUTCOMES = st.sampled_from(["written", "written", "refused", "forbidden", "lost", "lost-but-written"])
STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, 0, 1, 2]), st.integers(0, 6)), max_size=8)


class UnreliableApi(FakeApi):
    """API server whose writes of statuses have the given outcomes, then are all written; checks each status."""

    def __init__(self, outcomes: list[str]) -> None:
        """Start without objects."""
        super().__init__()
        self._outcomes: Iterator[str] = iter(outcomes)

    async def call(self, method: str, path: str, body: Any = None, **more: str | int) -> Any:  # noqa: ANN401 - JSON
        """Answer one request."""
        if method != "PATCH" or "/services/" not in path:
            return await super().call(method, path, body, **more)
        outcome = next(self._outcomes, "written")
        if outcome in {"refused", "forbidden"}:
            await asyncio.sleep(0)
            raise failing(422 if outcome == "refused" else 403, path)
        if outcome != "lost":
            await super().call(method, path, body, **more)
            held = [ip for name in "abc" if f"ns/{name}" in self.objects[SERVICES] for ip in shown(self, name)]
            assert len(held) == len(set(held)), held
        if outcome != "written":
            raise httpx.ReadError("connection lost")
        return {}


@settings(max_examples=40, deadline=None)
@given(outcomes=st.lists(OUTCOMES, max_size=6), steps=STEPS)
def test_whatever_becomes_of_writes_no_address_is_shown_twice(
    outcomes: list[str], steps: list[tuple[str, int | None, int]]
) -> None:
    """No two statuses show one address at any time, and when writes succeed again all but one of three have one."""

    async def write() -> None:
        api = UnreliableApi(outcomes)
        api.put(POOLS, pool("web", "10.0.0.0/31"))
        async with controlled(api):
            for number, (name, offset, ticks) in enumerate(steps):
                request = {} if offset is None else {"loadBalancerIP": f"10.0.0.{offset}"}
                current = api.objects.get(SERVICES, {}).get(f"ns/{name}", service(name))
                spec = {**service(name, **request)["spec"], "healthCheckNodePort": number}
                api.put(SERVICES, {**current, "spec": spec})
                for _ in range(ticks):
                    await asyncio.sleep(0)
            for name in "abc":  # read again, without a request
                current = api.objects.get(SERVICES, {}).get(f"ns/{name}", service(name))
                api.put(SERVICES, {**current, "spec": {**service(name)["spec"], "healthCheckNodePort": len(steps)}})
            changes = itertools.count(1000)

            def change() -> bool:  # a rejected write is repeated only after one
                for name in "abc":
                    current = api.objects[SERVICES][f"ns/{name}"]
                    api.put(SERVICES, {**current, "spec": {**current["spec"], "healthCheckNodePort": next(changes)}})
                return False

            await until(lambda: len({ip for name in "abc" for ip in shown(api, name)}) == 2 or change())

    asyncio.run(write())
