"""The second implementation that the suite plays, on paper: whom it serves, and what it sees of others."""

from __future__ import annotations

import copy
import itertools
import threading
from http import HTTPStatus
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lbproof.context.claims import Claim
from lbproof.context.manifests import merged
from lbproof.context.second_implementation import (
    CLASS,
    FINALIZER,
    MARK,
    SecondBroke,
    SecondController,
    SecondImplementation,
)
from lbproof.witnesses import http, neighbours
from lbproof.witnesses.kube import ApiError, ApiUnreachable
from lbproof.witnesses.wait import eventually
from lbproof.witnesses.writes import Writes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.witnesses.kube import Kube

Object = dict[str, Any]
SERVICES = "/api/v1/namespaces/ns/services"
ADDRESSES = [IPv4Address("192.0.2.160"), IPv4Address("192.0.2.161")]
ANOTHER = "another-controller"


class Api:
    """An API server of Services: versions, conflicts, finalizers, a watch. Requests but for `other` are the suite's."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.events: list[Object] = []
        self.writes = Writes()
        self.fails: Exception | None = None
        self._alone = threading.RLock()
        self._numbers = itertools.count(1)
        self._history: list[Object] = []

    def create(self, name: str, class_: str | None = CLASS) -> str:
        """Create a LoadBalancer; return its path."""
        path = f"{SERVICES}/{name}"
        meta = {"namespace": "ns", "name": name, "uid": f"{name}-{next(self._numbers)}"}
        began = self.writes.begin("POST", SERVICES)
        made = self._store(
            path, {"metadata": meta, "spec": {"type": "LoadBalancer", "loadBalancerClass": class_}}, "ADDED"
        )
        self.writes.end(SERVICES, began, made)
        return path

    def patch(self, path: str, body: Object) -> Object:
        """Patch a Service as the suite does."""
        if self.fails:
            raise self.fails
        began, own = self.writes.begin("PATCH", path), path.partition("?")[0].removesuffix("/status")
        try:
            made = self._patched(own, body, "lbproof")
        except ApiError:
            self.writes.end(path, began, None)
            raise
        self.writes.end(path, began, made)
        return made

    def other(self, path: str, body: Object) -> None:
        """Patch a Service as another controller does."""
        self._patched(path, body, ANOTHER)

    def delete(self, path: str, *, by_suite: bool = True) -> None:
        """Delete a Service, or begin to while it has a finalizer."""
        if by_suite:
            self.writes.end(path, self.writes.begin("DELETE", path), None)
        with self._alone:
            if self.objects[path]["metadata"].get("finalizers"):
                self._patched(path, {"metadata": {"deletionTimestamp": "2026-11-28T00:00:00Z"}}, "")
            else:
                self._store(path, self.objects.pop(path), "DELETED")

    def _patched(self, path: str, body: Object, manager: str) -> Object:
        with self._alone:
            return self._patched_alone(path, body, manager)

    def _patched_alone(self, path: str, body: Object, manager: str) -> Object:
        wanted = body.get("metadata", {}).get("resourceVersion")
        if path not in self.objects:
            raise ApiError(path, HTTPStatus.NOT_FOUND, "NotFound", "")
        if wanted not in {None, self.objects[path]["metadata"]["resourceVersion"]}:
            raise ApiError(path, HTTPStatus.CONFLICT, "Conflict", "")
        made = merged(self.objects[path], body)
        made["metadata"]["managedFields"] = [{"manager": manager, "time": f"{next(self._numbers):09}"}]
        if "deletionTimestamp" in made["metadata"] and not made["metadata"].get("finalizers"):
            del self.objects[path]
            return self._store(path, made, "DELETED")
        return self._store(path, made, "MODIFIED")

    def _store(self, path: str, made: Object, kind: str) -> Object:
        made = copy.deepcopy(made)
        made["metadata"]["resourceVersion"] = str(next(self._numbers))
        if kind != "DELETED":
            self.objects[path] = made
        self._history.append({"type": kind, "object": made})
        return made

    def list_with_version(self, _path: str) -> tuple[list[Object], str]:
        with self._alone:
            return list(self.objects.values()), str(len(self._history))

    def watch(self, _path: str, version: str, *_: object, **__: object) -> Iterator[Object]:
        number = int(version)
        while not threading.Event().wait(0.005):
            while number < len(self._history):
                yield self._history[number]
                number += 1

    def find(self, path: str) -> Object | None:
        return self.objects.get(path)

    def events_about(self, made: Object) -> list[Object]:
        return [event for event in self.events if event["about"] == made["metadata"]["uid"]]

    def address(self, path: str) -> str:
        """Return the address in a status; empty without one."""
        rows = self.objects[path].get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
        return str(rows[0].get("ip", ""))


def soon(look: Any, wanted: object, what: str = "the second implementation acts") -> None:  # noqa: ANN401 - any look
    """Wait until a look is what is wanted."""
    eventually(look, lambda seen: seen == wanted, what=what, within=5)


@pytest.fixture
def api() -> Api:
    """An API server without Services."""
    return Api()


@pytest.fixture
def second(api: Api) -> Iterator[SecondController]:
    """A second controller that runs."""
    made = SecondController(cast("Kube", api), ADDRESSES)
    made.start()
    yield made
    made.stop()


def test_it_serves_its_class_and_who_waits_when_an_address_is_free(api: Api, second: SecondController) -> None:
    """With a mark and a finalizer, which goes when the Service is deleted; others are not touched."""
    paths = [api.create(f"web-{n}") for n in range(3)]
    others = [api.create("plain", None), api.create("foreign", "example.com/third")]
    soon(lambda: [api.address(path) for path in paths], ["192.0.2.160", "192.0.2.161", ""])
    served = api.objects[paths[0]]
    assert served["metadata"]["finalizers"] == [FINALIZER]
    assert served["metadata"]["annotations"] == {MARK: CLASS}
    assert "finalizers" not in api.objects[paths[2]]["metadata"]

    api.delete(paths[0])

    soon(lambda: paths[0] in api.objects, wanted=False)
    soon(lambda: api.address(paths[2]), "192.0.2.160")
    brief = api.create("brief")  # which it may not have seen when it is gone
    api.delete(brief)
    api.delete(paths[1])
    last = api.create("last")
    soon(lambda: api.address(last), "192.0.2.161")
    assert all("status" not in api.objects[path] for path in others)
    assert second.written_by_others() == {}


def test_it_writes_back_what_somebody_else_changes_and_counts_that(api: Api, second: SecondController) -> None:
    """By the field manager, for each of its Services, in the status and beside it."""
    one, other = api.create("one"), api.create("other")
    soon(lambda: api.address(other), "192.0.2.161")
    for _ in range(2):
        api.other(other, {"status": {"loadBalancer": {"ingress": None}}})
        soon(lambda: api.address(other), "192.0.2.161")
    api.other(one, {"metadata": {"annotations": {"example.com/pool": "first"}}})
    api.other(one, {"metadata": {"finalizers": None}})
    soon(lambda: api.objects[one]["metadata"].get("finalizers"), [FINALIZER])

    assert second.written_by_others() == {"ns/other": {ANOTHER: 2}, "ns/one": {ANOTHER: 2}}


def test_it_lets_go_of_who_leaves_the_type_and_serves_who_returns(api: Api, second: SecondController) -> None:
    """What is left then is as it was created; the next one has its address, and it waits when it is back."""
    first, _, waiting = (api.create(f"web-{n}") for n in range(3))
    soon(lambda: api.address(first), "192.0.2.160")

    api.patch(first, {"spec": {"type": "ClusterIP", "loadBalancerClass": None}})
    soon(lambda: api.address(waiting), "192.0.2.160")
    soon(lambda: api.objects[first]["metadata"]["finalizers"], [])
    assert api.address(first) == ""
    api.patch(first, {"spec": {"type": "LoadBalancer", "loadBalancerClass": CLASS}})
    api.delete(waiting)

    soon(lambda: api.address(first), "192.0.2.160")
    assert second.written_by_others() == {}


def test_a_deletion_by_another_is_counted(api: Api, second: SecondController) -> None:
    """One by the suite is not."""
    kept, deleted = api.create("kept"), api.create("deleted")
    soon(lambda: api.address(deleted), "192.0.2.161")
    api.delete(deleted)
    soon(lambda: deleted in api.objects, wanted=False)
    assert second.written_by_others() == {}

    api.delete(kept, by_suite=False)

    soon(lambda: "a deletion" in second.written_by_others().get("ns/kept", {}), wanted=True)


def test_events_of_others_are_told(api: Api, second: SecondController) -> None:
    """But for those of Kubernetes' own controllers."""
    path = api.create("web")
    soon(lambda: api.address(path), "192.0.2.160")
    about = api.objects[path]["metadata"]["uid"]
    api.events = [
        {"about": about, "reason": "FailedToUpdateEndpointSlices", "source": {"component": "endpoint-slice-controller"}}
    ]
    assert second.told_by_others() == {}

    api.events += [{"about": about, "reason": "Ignored", "source": {"component": ANOTHER}}]

    assert second.told_by_others() == {"ns/web": ["Ignored"]}


def test_after_its_end_it_changes_nothing_and_leaves_no_finalizer(api: Api) -> None:
    """Its Services keep their statuses until it takes its finalizers away."""
    second = SecondController(cast("Kube", api), ADDRESSES)
    second.start()
    path = api.create("web")
    soon(lambda: api.address(path), "192.0.2.160")
    second.stop()
    later = api.create("later")
    api.create("last")

    assert (api.address(path), api.address(later)) == ("192.0.2.160", "")
    second.remove_finalizers()
    assert api.objects[path]["metadata"]["finalizers"] == []
    api.delete(path)
    assert path not in api.objects


@pytest.mark.parametrize("error", [ApiUnreachable("away"), ApiError("PATCH", 500, "InternalError", "broken")])
def test_what_it_cannot_do_is_an_error(api: Api, error: Exception) -> None:
    """Of the suite, and no verdict about anybody."""
    second = SecondController(cast("Kube", api), ADDRESSES)
    second.start()
    api.fails = error
    api.create("web")

    def broke() -> bool:
        try:
            second.require()
        except SecondBroke:
            return True
        return False

    soon(broke, wanted=True)
    with pytest.raises(SecondBroke):
        second.stop()


def disturbed(monkeypatch: pytest.MonkeyPatch, *, answers: list[str], claims: list[str], ports: list[str]) -> Any:  # noqa: ANN401
    """Return what is seen of the first address, which a host has whose hardware address is `host`."""
    check: Any = SimpleNamespace(
        run=SimpleNamespace(need=lambda _: None, addresses=lambda _: ADDRESSES[:1]),
        cluster=Api(),
        client=None,
        who_answers=lambda *addresses: {str(address): answers for address in addresses},
    )
    second = SecondImplementation(check, 1)
    second._macs = {ADDRESSES[0]: "host"}  # noqa: SLF001 - as when it has joined
    monkeypatch.setattr(neighbours, "forget", lambda *_: None)
    monkeypatch.setattr(http, "connects", lambda *_, **__: ports.pop(0))
    made = [Claim(cast("Any", None), by, "") for by in claims]
    return second.disturbed(cast("Any", SimpleNamespace(of=lambda addresses: dict.fromkeys(addresses, made))))


def test_who_answers_beside_its_host_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether asked or not; its own host may do both, and a connection that fails once is tried again."""
    quiet: dict[str, list[str]] = {"answers": ["host"], "claims": ["host"]}
    assert disturbed(monkeypatch, **quiet, ports=["silent", "open"]) == {}
    assert disturbed(monkeypatch, **quiet, ports=["silent", "refused"]) == {
        "192.0.2.160": "no connection is established"
    }
    for seen in ({"answers": ["host", "w01"]}, {"claims": ["w01"]}):
        found = disturbed(monkeypatch, **quiet | seen, ports=["open"])
        assert found == {"192.0.2.160": "answered for or claimed by w01"}
