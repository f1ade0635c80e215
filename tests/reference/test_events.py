"""Events as they are told: behind other work, and no more of them than can be told soon."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from lbproof_reference import kube
from lbproof_reference.kube import EventRecorder, Kube, Object

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


class FakeKube(Kube):
    """Keeps the Events that it is told."""

    def __init__(self) -> None:
        """It talks to nobody."""
        self.told: list[str] = []

    async def event(self, about: Object, **_: Any) -> None:  # noqa: ANN401 - as it is called
        """Keep whom it is about."""
        self.told.append(about["metadata"]["name"])


def service(number: int) -> Object:
    """One of a burst."""
    return {"metadata": {"namespace": "ns", "name": f"s{number}"}}


async def until(come_about: Callable[[], bool]) -> None:
    """Let the others work until something has come about; TimeoutError when it does not."""
    async with asyncio.timeout(5):
        while not come_about():  # noqa: ASYNC110 - nobody here could set an event
            await asyncio.sleep(0.001)


def test_a_burst_of_events_is_told_in_part_and_said_once_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first are told in order, the rest of each burst are counted in one line of the log."""
    monkeypatch.setattr(kube, "_EVENTS_WAITING", 3)
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
