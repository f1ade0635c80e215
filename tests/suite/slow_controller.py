"""A controller on paper that takes its time, one Service after the other."""

from __future__ import annotations

import threading
import time
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from tests.suite.fake_cluster import FakeCluster, Objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TURN = 0.12
"""Seconds that the controller takes for each Service, one after the other."""
FREE = tuple(IPv4Address("192.0.2.160") + n for n in range(32))


class SlowController(FakeCluster):
    """An API server, and a controller that takes Services in the order of their creation."""

    def __init__(self, gives: Callable[[str], bool]) -> None:
        super().__init__()
        self._gives, self._alone = gives, threading.RLock()
        self._free = list(FREE)
        self.busy_until = 0.0
        """It does nothing before this moment."""
        self.turn = TURN
        self._ending: dict[str, float] = {}
        """When a Service that is deleted is gone: a finalizer keeps it until the controller acts."""
        self._given: dict[str, IPv4Address] = {}
        self._done: dict[str, float] = {}

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        name = f"{path}/{body['metadata']['name']}"
        self.objects[name] = body
        self._done[name] = max(time.monotonic(), *self._done.values(), self.busy_until) + self.turn
        return body | {"status": {"loadBalancer": {}}}

    def list(self, path: str, **_: str) -> Objects:
        there = [(where, made) for where, made in list(self.objects.items()) if where.startswith(path)]
        return [self._with_status(where, made) for where, made in there if where in self._done]

    def list_with_version(self, path: str) -> tuple[Objects, str]:
        found = self.list(path.replace("services", "namespaces"))
        return [made | {"metadata": made["metadata"] | numbered(made)} for made in found], "1"

    def watch(self, path: str, *_: object, **__: object) -> Iterator[dict[str, Any]]:
        seen: dict[str, Any] = {}
        while True:
            for made in self.list_with_version(path)[0]:
                name = made["metadata"]["name"]
                if seen.get(name) != made:
                    seen[name] = made
                    yield {"type": "MODIFIED", "object": made}
            threading.Event().wait(0.01)

    def delete(self, path: str) -> None:
        self.discard(path)

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        made = self.objects[path]
        for part, fields in body.items():
            made[part] = made[part] | {name: value for name, value in fields.items() if value is not None}
        if "type" in body.get("spec", {}):
            self._done[path] = max(time.monotonic(), *self._done.values(), self.busy_until) + self.turn
        return self.get(path)

    def get(self, path: str) -> dict[str, Any]:
        return self._with_status(path, super().get(path))

    def _with_status(self, path: str, made: dict[str, Any]) -> dict[str, Any]:
        is_due = path in self._done and time.monotonic() >= self._done[path]
        given = is_due and made["spec"].get("type") == "LoadBalancer" and self._gives(made["metadata"]["name"])
        with self._alone:  # a watch reads beside the check
            if given and path in self.objects and path not in self._given:
                self._given[path] = self._free.pop(0)
            address = self._given.get(path) if given else None
        return made | {"status": {"loadBalancer": {"ingress": [{"ip": str(address)}]} if address else {}}}

    def exists(self, path: str) -> bool:
        return super().exists(path) or time.monotonic() < self._ending.get(path, 0.0)

    def discard(self, path: str) -> None:
        with self._alone:
            super().discard(path)
            if path in self._given:
                self._free.insert(0, self._given.pop(path))
                self._ending[path] = self.busy_until


def numbered(made: dict[str, Any]) -> dict[str, str]:
    """Return the metadata that an API server adds to an object."""
    return {"uid": made["metadata"]["name"], "resourceVersion": "1"}
