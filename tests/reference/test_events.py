"""Events have low priority, and their queue is bounded."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any

import httpx
from structlog.testing import capture_logs

from lbproof_reference import events
from lbproof_reference.events import EventRecorder
from lbproof_reference.kube import Kube, Object

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


class FakeKube(Kube):
    """API server that stores the names of Events' objects."""

    def __init__(self) -> None:
        """Start without Events."""
        self.told: list[str] = []

    async def call(self, method: str, path: str, body: Any = None, **_: Any) -> Object:  # noqa: ANN401, ARG002 - JSON
        """Store the name of the object that the Event is about."""
        self.told.append(body["involvedObject"]["name"])
        return {}


def service(number: int) -> Object:
    """Return a Service."""
    return {"metadata": {"namespace": "ns", "name": f"s{number}"}}


async def until(come_about: Callable[[], bool]) -> None:
    """Let other tasks run until the condition is true. Raises TimeoutError after 5 s."""
    async with asyncio.timeout(5):
        while not come_about():  # noqa: ASYNC110 - nobody here could set an event
            await asyncio.sleep(0.001)


def test_an_event_that_is_not_answered_holds_back_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Event is sent again while the API server cannot be reached, and not after the API server was silent."""
    monkeypatch.setattr(events, "_RETRY_SECONDS", 0.001)
    api = FakeKube()
    errors = [httpx.ReadTimeout("no answer"), httpx.ConnectError("refused"), httpx.ReadError("closed")]

    async def call(method: str, path: str, body: Any = None, **_: Any) -> Object:  # noqa: ANN401 - JSON
        if errors:
            raise errors.pop(0)
        return await FakeKube.call(api, method, path, body)

    async def send() -> None:
        api.call = call  # type: ignore[method-assign] # the first answers differ
        recorder = EventRecorder(api, "test")
        for number in range(2):
            recorder.event(service(number), "Normal", "nodeAssigned", "announcing")
        work = asyncio.create_task(recorder.run())
        await until(lambda: bool(api.told))
        work.cancel()

    asyncio.run(send())
    assert api.told == ["s1"]


def test_an_event_does_not_keep_its_object() -> None:
    """A queued Event keeps nothing of its object but what it names."""

    class Kept(dict[str, object]):
        """Object that can be referred to weakly."""

    about = Kept(service(1))
    gone = weakref.ref(about)
    recorder = EventRecorder(FakeKube(), "test")
    recorder.event(about, "Normal", "nodeAssigned", "announcing")
    del about

    assert gone() is None


def test_a_burst_of_events_is_told_in_part_and_said_once_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first Events of a burst are sent in order, and one log line counts the dropped ones."""
    monkeypatch.setattr(events, "_QUEUED", 3)
    api = FakeKube()

    async def burst() -> None:
        recorder = EventRecorder(api, "test")
        for number in range(10):
            recorder.event(service(number), "Normal", "nodeAssigned", "announcing")
        work = asyncio.create_task(recorder.run())
        await until(lambda: bool(said))
        for number in range(10, 15):
            recorder.event(service(number), "Normal", "nodeAssigned", "announcing")
        await until(lambda: len(said) > 1)
        work.cancel()

    with capture_logs() as said:
        asyncio.run(burst())

    assert api.told == ["s0", "s1", "s2", "s10", "s11", "s12"]
    assert [line["count"] for line in said] == [7, 2]
