"""In-memory API server behind the interface of `Kube`: lists, watches, merge patches, and failures on demand."""

from __future__ import annotations

import asyncio
import copy
import itertools
from typing import TYPE_CHECKING, Any

import httpx

from lbproof_reference.kube import Kube, Object

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


class FakeApi(Kube):
    """Objects by collection path; `put` and `delete` notify the watches, `fails(method, path)` makes a call fail.

    A patch that names a uid or resourceVersion fails with 409 if the object has another one. While `withholds`, events
    wait for `deliver`, so that a write may be answered before a watch returns an older event.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Object]] = {}
        self.written: list[tuple[str, str, Any]] = []
        """Method, path and body of each successful write."""
        self.fails: Callable[[str, str], bool] = lambda *_: False
        self.withholds = False
        self._withheld: list[tuple[str, Object]] = []
        self._watches: dict[str, list[asyncio.Queue[Object]]] = {}
        self._versions = itertools.count(1)

    def put(self, path: str, obj: Any) -> None:  # noqa: ANN401 - any JSON, also what no schema allows
        """Create or replace an object."""
        obj = copy.deepcopy(obj)
        obj["metadata"]["resourceVersion"] = str(next(self._versions))
        key = f"{obj['metadata'].get('namespace')}/{obj['metadata']['name']}"
        self.objects.setdefault(path, {})[key] = obj
        self._notify(path, "MODIFIED", obj)

    def delete(self, path: str, namespace: str, name: str) -> None:
        """Delete an object."""
        self._notify(path, "DELETED", self.objects[path].pop(f"{namespace}/{name}"))

    async def call(self, method: str, path: str, body: Object | None = None, **_: str | int) -> Object:
        """Answer one request. Raises HTTPStatusError for an object that is not there."""
        await asyncio.sleep(0)
        if self.fails(method, path):
            raise httpx.ConnectError("made to fail")
        if method == "GET" and path in self.objects:
            return {
                "metadata": {"resourceVersion": str(next(self._versions))},
                "items": copy.deepcopy(list(self.objects[path].values())),
            }
        found = self._find(path)
        if method == "GET" and found:
            return copy.deepcopy(found[1])
        if method == "GET" and not path.rpartition("/")[2].startswith("lbproof") and "/pods/" not in path:
            return {"metadata": {"resourceVersion": "0"}, "items": []}
        if method == "PATCH" and found:
            collection, obj = found
            preconditions = (body or {}).get("metadata", {})
            for field in ("uid", "resourceVersion"):
                if preconditions.get(field, obj["metadata"].get(field)) != obj["metadata"].get(field):
                    raise status_error(409, method, path)
            self.written.append((method, path, body))
            self.put(collection, _merge(obj, body))
            return {}
        if method == "POST" and body:
            return self._create(path, body)
        raise status_error(404, method, path)

    def _create(self, path: str, body: Object) -> Object:
        """Note what is created; of it only Leases are kept."""
        if path.endswith("/leases"):
            namespace, name = path.split("/")[-2], body["metadata"]["name"]
            if f"{namespace}/{name}" in self.objects.get(path, {}):
                raise status_error(409, "POST", path)
            self.put(path, _merge(body, {"metadata": {"namespace": namespace}}))
        self.written.append(("POST", path, body))
        return {}

    def _find(self, path: str) -> tuple[str, Object] | None:
        """Return collection and object of the path of one or of its status; the collection may be of all namespaces."""
        namespace, plural, name = path.removesuffix("/status").split("/")[-3:]
        for collection, objects in self.objects.items():
            if collection.endswith(f"/{plural}") and (obj := objects.get(f"{namespace}/{name}")):
                return collection, obj
        return None

    async def lines(self, path: str, opened: Callable[[], None], **_: str | int) -> AsyncGenerator[Object, None]:
        """Yield the changes of a collection from now on."""
        queue = asyncio.Queue[Object]()
        self._watches.setdefault(path, []).append(queue)
        opened()
        while True:
            yield await queue.get()

    def expire(self, path: str) -> None:
        """End the watches of a collection as the API server does whose versions are too old."""
        for queue in self._watches.pop(path, []):
            queue.put_nowait({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    def deliver(self, count: int) -> None:
        """Return up to `count` withheld events to the watches, in their order."""
        for path, event in self._withheld[:count]:
            for queue in self._watches.get(path, []):
                queue.put_nowait(copy.deepcopy(event))
        del self._withheld[:count]

    def _notify(self, path: str, kind: str, obj: Object) -> None:
        self._withheld.append((path, {"type": kind, "object": copy.deepcopy(obj)}))
        if not self.withholds:
            self.deliver(len(self._withheld))


def status_error(code: int, method: str, path: str) -> httpx.HTTPStatusError:
    """Return the error of a response with that status code."""
    request = httpx.Request(method, f"http://fake{path}")
    return httpx.HTTPStatusError(f"status {code}", request=request, response=httpx.Response(code, request=request))


def _merge(obj: Any, patch: Any) -> Any:  # noqa: ANN401 - JSON
    """Apply a JSON merge patch (RFC 7386) to a copy."""
    if not isinstance(patch, dict):
        return patch
    made = dict(obj) if isinstance(obj, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = _merge(made.get(key), value)
    return made
