"""API server that is a dictionary: for tests of what the suite creates, changes and deletes."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from lbproof.witnesses.kube import ApiError, Kube
from lbproof.witnesses.writes import Writes

if TYPE_CHECKING:
    from collections.abc import Callable

Object = dict[str, Any]
Objects = list[Object]


class FakeCluster:
    """Holds objects by path; `log` has every write and deletion in order."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.log: list[str] = []
        self.writes = Writes()
        self.refuses: Callable[[Object], int] = lambda _: 0
        self.finalizers: dict[str, int] = {}
        """Path → number of reads for which an object stays after its deletion."""

    @property
    def kube(self) -> Kube:
        return cast("Kube", self)

    def path_of(self, api_version: str, kind: str, namespace: str | None, name: str) -> str:
        return f"/{api_version}/{namespace or '-'}/{kind}/{name}"

    def time(self) -> str:
        return f"{time.monotonic():020}"

    def apply(self, manifest: Object) -> Object:
        if status := self.refuses(manifest):
            raise ApiError("PATCH", status, "Invalid", "the webhook says no")
        meta = manifest["metadata"]
        path = self.path_of(manifest["apiVersion"], manifest["kind"], meta.get("namespace"), meta["name"])
        self.log.append(f"apply {meta['name']}")
        self.objects[path] = manifest
        return manifest

    def discard(self, path: str) -> None:
        self.log.append(f"delete {path.rpartition('/')[2]}")
        if not self.finalizers.get(path):
            self.objects.pop(path, None)

    def find(self, path: str) -> Object | None:
        if self.finalizers.get(path):
            self.finalizers[path] -= 1
            if not self.finalizers[path]:
                self.objects.pop(path, None)
        return self.objects.get(path)

    def exists(self, path: str) -> bool:
        return self.find(path) is not None

    def get(self, path: str) -> Object:
        found = self.find(path)
        if found is None:
            raise ApiError(f"GET {path}", HTTPStatus.NOT_FOUND, "NotFound", "not found")
        return found

    def list(self, path: str, **query: str) -> Objects:
        selector = dict(pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if pair)
        return [
            made
            for where, made in self.objects.items()
            if where.startswith(path) and selector.items() <= made["metadata"].get("labels", {}).items()
        ]

    def events_about(self, made: Object) -> Objects:
        found: Objects = made.get("events", [])
        return found
