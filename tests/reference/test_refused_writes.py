"""Writes of statuses that the API server refuses, or whose outcome is unknown: no address is lost or assigned twice."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.controlled import POOLS, controlled, events, pool, service, shown
from tests.reference.fake_api import FakeApi, status_error
from tests.reference.polling import until

from lbproof_reference.controller import workqueue
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
            raise status_error(status, method, path)
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
        raise status_error(422, method, path)
    return False


@pytest.mark.parametrize("status", [408, 429, 500, 504])
def test_an_address_that_may_be_shown_is_held_until_the_service_is_read(status: int) -> None:
    """The address of a write with an unknown outcome is free after a refusal only once the Service was read again."""
    api = FakeApi()
    answers = [422, status]

    def refuses(method: str, path: str) -> bool:
        if method == "PATCH" and path.endswith("/a/status"):
            raise status_error(answers.pop() if len(answers) > 1 else 422, method, path)
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


def ask(api: FakeApi, name: str, address: str) -> None:
    """Change the address that a Service requests."""
    current = api.objects[SERVICES][f"ns/{name}"]
    api.put(SERVICES, {**current, "spec": {"type": "LoadBalancer", "loadBalancerIP": address}})


def test_an_event_older_than_a_write_frees_no_address() -> None:
    """An address whose write is answered before older events are read is not assigned again while a status shows it."""
    api = FakeApi()
    sent, gate = asyncio.Event(), asyncio.Event()
    refuses = False

    async def call(method: str, path: str, body: Any = None, **more: str | int) -> Any:  # noqa: ANN401 - JSON
        if method == "PATCH" and path.endswith("/a/status"):
            if refuses:
                raise status_error(403, method, path)
            sent.set()
            await gate.wait()
        return await FakeApi.call(api, method, path, body, **more)

    async def write() -> None:
        nonlocal refuses
        api.call = call  # type: ignore[method-assign] # one write is slow, later ones are refused
        api.put(POOLS, pool("web", "10.0.0.1/32"))
        api.put(POOLS, pool("other", "10.0.1.1/32", autoAssign=False))
        async with controlled(api):
            api.put(SERVICES, service("a"))
            await sent.wait()
            api.withholds = True
            ask(api, "a", "10.0.1.1")
            gate.set()
            await let_run(10)
            refuses = True
            api.deliver(1)
            await let_run(10)
            api.withholds = False
            api.put(SERVICES, service("b"))
            await until(lambda: bool(shown(api, "b") or events(api, "AllocationFailed")))

    asyncio.run(write())
    assert not set(shown(api, "a")) & set(shown(api, "b"))


def test_a_write_that_lands_late_changes_nothing() -> None:
    """A write that was not answered in time fails when it lands after a newer version of the Service was read."""
    api = FakeApi()
    late: list[tuple[str, str, Any]] = []

    async def call(method: str, path: str, body: Any = None, **more: str | int) -> Any:  # noqa: ANN401 - JSON
        if method == "PATCH" and path.endswith("/a/status") and "10.0.0.1" in str(body):
            late.append((method, path, body))
            raise httpx.ReadTimeout("not answered in time")
        return await FakeApi.call(api, method, path, body, **more)

    async def write() -> None:
        api.call = call  # type: ignore[method-assign] # one write is late
        api.put(POOLS, pool("web", "10.0.0.0/31"))
        async with controlled(api):
            api.put(SERVICES, service("a"))
            await until(lambda: shown(api, "a") == ["10.0.0.0"])
            ask(api, "a", "10.0.0.1")
            await until(lambda: bool(late))
            ask(api, "a", "10.0.0.0")
            api.put(SERVICES, service("b"))
            await until(lambda: shown(api, "b") == ["10.0.0.1"])
            with suppress(httpx.HTTPStatusError):
                await FakeApi.call(api, *late[0])
            assert shown(api, "a") == ["10.0.0.0"]

    asyncio.run(write())


TICKS = st.integers(0, 4)
OUTCOMES = st.tuples(
    st.sampled_from(["written", "written", "refused", "forbidden", "lost", "lost-but-written", "late"]), TICKS, TICKS
)
ASKS = st.tuples(st.sampled_from("abc"), st.sampled_from([None, 0, 1, 2]))
STEPS = st.lists(st.tuples(st.one_of(ASKS, st.just(("deliver", 1)), st.just(("land", 1))), TICKS), max_size=12)


async def let_run(ticks: int) -> None:
    """Let other tasks run for some iterations of the event loop."""
    for _ in range(ticks):
        await asyncio.sleep(0)


class UnreliableApi(FakeApi):
    """API server whose writes of statuses have the given outcomes, then are all written; checks each status."""

    def __init__(self, outcomes: list[tuple[str, int, int]]) -> None:
        """Start without objects; an outcome has the ticks until the write arrives and until it is answered."""
        super().__init__()
        self._outcomes: Iterator[tuple[str, int, int]] = iter(outcomes)
        self._late: list[tuple[str, str, Any]] = []

    async def call(self, method: str, path: str, body: Any = None, **more: str | int) -> Any:  # noqa: ANN401 - JSON
        """Answer one request."""
        if method != "PATCH" or "/services/" not in path:
            return await super().call(method, path, body, **more)
        outcome, before, after = next(self._outcomes, ("written", 0, 0))
        await let_run(before)
        if outcome in {"refused", "forbidden"}:
            raise status_error(422 if outcome == "refused" else 403, method, path)
        if outcome == "late":
            self._late.append((method, path, body))
            raise httpx.ReadTimeout("not answered in time")
        answer = {} if outcome == "lost" else await self._write(method, path, body)
        if outcome != "written":
            raise httpx.ReadError("connection lost")
        await let_run(after)
        return answer

    async def land(self, count: int) -> None:
        """Do what late writes ask for, as far as it is still valid."""
        for request in self._late[:count]:
            with suppress(httpx.HTTPStatusError):
                await self._write(*request)
        del self._late[:count]

    async def _write(self, method: str, path: str, body: Any) -> Any:  # noqa: ANN401 - JSON
        answer = await super().call(method, path, body)
        held = [ip for name in "abc" if f"ns/{name}" in self.objects[SERVICES] for ip in shown(self, name)]
        assert len(held) == len(set(held)), held
        return answer


@settings(max_examples=100, deadline=None)
@given(outcomes=st.lists(OUTCOMES, max_size=6), steps=STEPS)
def test_whatever_becomes_of_writes_no_address_is_shown_twice(
    outcomes: list[tuple[str, int, int]], steps: list[tuple[tuple[str, int | None], int]]
) -> None:
    """No two statuses show one address at any time, and when writes succeed again all but one of three have one."""
    changes = itertools.count()

    def ask(api: FakeApi, name: str, offset: int | None) -> None:
        request = {} if offset is None else {"loadBalancerIP": f"10.0.0.{offset}"}
        current = api.objects.get(SERVICES, {}).get(f"ns/{name}", service(name))
        api.put(SERVICES, {**current, "spec": service(name, **request, healthCheckNodePort=next(changes))["spec"]})

    async def write() -> None:
        api = UnreliableApi(outcomes)
        api.put(POOLS, pool("web", "10.0.0.0/31"))
        async with controlled(api):
            await let_run(20)
            api.withholds = True
            for (what, number), ticks in steps:
                if what == "deliver":
                    api.deliver(1)
                elif what == "land":
                    await api.land(1)
                else:
                    ask(api, what, number)
                await let_run(ticks)
            api.withholds = False

            def change() -> bool:  # a rejected write is repeated only after one
                for name in "abc":
                    ask(api, name, None)
                return False

            await until(lambda: change() or len({ip for name in "abc" for ip in shown(api, name)}) == 2)
            await api.land(len(outcomes))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workqueue, "_RETRY_SECONDS", (0.0,))
        asyncio.run(write())


def test_no_address_is_taken_from_pools_that_may_have_gone() -> None:
    """While the pools cannot be read, an address of one that was deleted meanwhile would be announced by nobody."""
    api = FakeApi()

    async def write() -> None:
        api.put(POOLS, pool("old", "10.0.0.0/31"))
        api.put(SERVICES, service("held"))
        async with controlled(api):
            await until(lambda: shown(api, "held") == ["10.0.0.0"])
            api.fails = lambda method, path: method == "GET" and path == POOLS
            api.withholds = True
            api.delete(POOLS, "metallb-system", "old")
            api.put(POOLS, pool("new", "10.0.1.0/31"))
            api.withholds = False
            api.expire(POOLS)
            held = api.objects[SERVICES]["ns/held"]
            api.put(SERVICES, service("new"))
            api.put(SERVICES, {**held, "status": {}})
            await until(lambda: shown(api, "held") == ["10.0.0.0"])
            assert shown(api, "new") == []
            api.fails = lambda *_: False
            await until(lambda: shown(api, "new") == ["10.0.1.0"])

    asyncio.run(write())
