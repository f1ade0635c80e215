"""Log of the suite's own requests that change something, so that another's changes can be told from them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Object = dict[str, Any]


class Writes:
    """Requests of one API client that change objects; thread-safe."""

    def __init__(self) -> None:
        """Empty."""
        self._lock = threading.Lock()
        self._made: set[tuple[str, str]] = set()
        """UID and resourceVersion of each version that a request made."""
        self._created: set[str] = set()
        """UIDs of objects of which a request made a version."""
        self._requests: dict[str, list[tuple[float, str]]] = {}
        """Path of an object or a collection → moment and method of the requests to it."""
        self._unknown: dict[str, list[float]] = {}
        """Path → moments of requests whose outcome is not known."""

    def begin(self, method: str, path: str, *, at: float | None = None) -> float:
        """Note a request before it is sent, now or at a moment; return that."""
        now = time.monotonic() if at is None else at
        with self._lock:
            self._requests.setdefault(_object(path), []).append((now, method))
            self._unknown.setdefault(_object(path), []).append(now)
        return now

    def end(self, path: str, began: float, answer: Object | None) -> None:
        """Note the outcome: the object as it was answered, or None for a rejected request."""
        with self._lock:
            self._unknown[_object(path)].remove(began)
            meta = (answer or {}).get("metadata") or {}
            if "uid" in meta:
                self._created.add(meta["uid"])
                self._made.add((meta["uid"], meta.get("resourceVersion", "")))

    def made(self, service: Object, path: str) -> bool:
        """Return whether a version of an object was made by a request, or may have been by one of unknown outcome."""
        meta = service["metadata"]
        with self._lock:
            return (meta["uid"], meta["resourceVersion"]) in self._made or bool(self._unknown.get(path))

    def knows(self, uid: str) -> bool:
        """Return whether a request created or changed the object."""
        with self._lock:
            return uid in self._created

    def between(self, path: str, since: float, until: float, *, method: str = "") -> bool:
        """Return whether there was a request to a path in a time, of one method or any."""
        with self._lock:
            return any(since <= t <= until and method in {"", was} for t, was in self._requests.get(path, ()))

    def deleted_below(self, prefix: str, since: float, until: float) -> bool:
        """Return whether something whose path begins so was deleted in a time."""
        with self._lock:
            return any(
                path.startswith(prefix) and any(since <= t <= until and was == "DELETE" for t, was in found)
                for path, found in self._requests.items()
            )

    def collections_in(self, namespace: str) -> set[str]:
        """Return the collections of a namespace in which requests changed something, such as `services`.

        `namespaces` is one of them if the namespace itself was changed after its creation.
        """
        with self._lock:
            below = [path.partition(f"/namespaces/{namespace}/")[2] for path in self._requests]
            changed = len(self._requests.get(f"/api/v1/namespaces/{namespace}", ())) > 1
            return {path.split("/")[0] for path in below if path} | ({"namespaces"} if changed else set())

    def changed_between(self, since: float, until: float) -> bool:
        """Return whether a request in a time changed or deleted something, other than by deleting a Service."""
        with self._lock:
            return any(
                since <= t <= until
                and (method in {"PATCH", "PUT"} or (method == "DELETE" and "/services/" not in path))
                for path, found in self._requests.items()
                for t, method in found
            )


def _object(path: str) -> str:
    """Return the path of the object that a request is for, without query and subresource `status`."""
    return path.partition("?")[0].removesuffix("/status")


def slice_of(service: Object) -> str:
    """Return the API path of the EndpointSlice that the suite makes for a Service, which has its name."""
    meta = service["metadata"]
    return f"/apis/discovery.k8s.io/v1/namespaces/{meta['namespace']}/endpointslices/{meta['name']}"


def paths_of(service: Object) -> Iterator[str]:
    """Yield the paths whose deletion deletes a Service: its own and that of its namespace."""
    meta = service["metadata"]
    yield f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}"
    yield f"/api/v1/namespaces/{meta['namespace']}"
