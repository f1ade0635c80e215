"""What ends an observation of Services is raised by whoever waits for it."""

from __future__ import annotations

import os
import queue
import signal
import sys
import time
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the helpers of tests, by their place in the checkout

from tests.observe.places import Segment

from lbproof.context.objects import BadStatus
from lbproof.lab.base import LabError
from lbproof.probe.protocol import text_of
from lbproof.spec.families import Family
from lbproof.witnesses.kube import ApiUnreachable
from lbproof.witnesses.stream import ProbeError
from lbproof_perf.sut import service_observer
from lbproof_perf.sut.service_observer import MAC, ServiceObserver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof_perf.sut.deployment import Deployment


class FakeKube:
    """Watch of Services, whose events a test puts into a queue; an exception in it is raised."""

    def __init__(self, events: queue.SimpleQueue[Any]) -> None:
        self._events = events

    def list_with_version(self, _: str) -> tuple[list[Any], str]:
        return [], "1"

    def watch(self, *_: object) -> Iterator[Any]:
        while (event := self._events.get(timeout=20)) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    def close(self) -> None:
        self._events.put(ApiUnreachable("closed"))


@pytest.fixture(scope="module")
def segment() -> Iterator[Segment]:
    """A segment of the observer's own."""
    with Segment() as made:
        yield made


@contextmanager
def observed(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ServiceObserver, Any]]:
    """An observer at the segment's client, and the queue of its watch."""
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    monkeypatch.setattr(service_observer, "Kube", lambda _: FakeKube(events))
    client = segment.hosts["client"]
    lab = SimpleNamespace(
        client=lambda: client, segment=SimpleNamespace(subnets=(ip_network("10.77.0.0/24"),)), kubeconfig=""
    )
    with ServiceObserver(cast("Deployment", SimpleNamespace(lab=lab)), "here") as observer:
        observer.begin(["web"], [])
        yield observer, events


def service(ip: str) -> dict[str, Any]:
    """An event of the watch: a Service with an IP in its status."""
    metadata = {"namespace": "here", "name": "web", "resourceVersion": "2"}
    return {
        "type": "MODIFIED",
        "object": {"metadata": metadata, "status": {"loadBalancer": {"ingress": [{"ip": ip}]}}},
    }


@pytest.mark.parametrize(
    ("event", "raised", "says"),
    [
        (service("10.77.0.010"), BadStatus, "the status of here/web has an IP that is none"),
        (ApiUnreachable("no route"), LabError, "the watch of .*/here/services ended: ApiUnreachable: no route"),
        ({"type": "MODIFIED", "object": {}}, LabError, "the watch of .*/here/services ended: KeyError: 'metadata'"),
    ],
)
def test_what_ends_the_watch_is_raised(
    segment: Segment, monkeypatch: pytest.MonkeyPatch, event: object, raised: type[Exception], says: str
) -> None:
    """Nobody waits out the deadline for what cannot be seen any more."""
    with observed(segment, monkeypatch) as (observer, events):
        events.put(event)
        with pytest.raises(raised, match=says):
            observer.until(lambda seen: bool(seen.assigned), time.monotonic() + 20)


def test_replies_that_the_kernel_dropped_are_an_error(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first answer after a drop may not be the first one."""
    web = segment.hosts["web"]
    reply = bytes.fromhex((MAC + web.mac).replace(":", "") + "0806" + "0001080006040002" + web.mac.replace(":", ""))
    frame = text_of(reply + web.address_for(Family.IPV4).packed + bytes(1400))
    with observed(segment, monkeypatch) as (observer, _):
        pid = observer._probe.process.pid  # noqa: SLF001 - the one that is to stand still
        os.kill(pid, signal.SIGSTOP)
        try:
            asked: dict[str, Any] = {"interface": "eth0", "protocol": 0x0806, "filter": []}
            web.probe().call("frames", within=20, send=[(0.0, frame)] * 15_000, seconds=0, **asked)
        finally:
            os.kill(pid, signal.SIGCONT)
        with pytest.raises(ProbeError, match=r"task availability at client: the kernel dropped \d+ replies"):
            observer.until(lambda _: False, time.monotonic() + 5)
