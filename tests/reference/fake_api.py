"""In-memory API server behind the interface of `Kube`: lists, watches, merge patches, and failures on demand."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import httpx

from lbproof_reference.kube import Kube, Object

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class FakeApi(Kube):
    """Objects by collection path; `put` and `delete` notify the watches, `fails(method, path)` makes a call fail."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Object]] = {}
        self.written: list[tuple[str, str, Any]] = []
        """Method, path and body of each successful write."""
        self.fails: Callable[[str, str], bool] = lambda *_: False
        self._watches: dict[str, list[asyncio.Queue[Object]]] = {}
        self._versions = itertools.count(1)

    def put(self, path: str, obj: Any) -> None:  # noqa: ANN401 - any JSON, also what no schema allows
        """Create or replace an object."""
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
                "items": list(self.objects[path].values()),
            }
        if method == "GET" and not path.rpartition("/")[2].startswith("lbproof"):
            return {"metadata": {"resourceVersion": "0"}, "items": []}
        if method == "PATCH" and path.endswith("/status"):
            namespace, plural, name = path.split("/")[-4:-1]
            for collection, objects in self.objects.items():
                if collection.endswith(plural) and (obj := objects.get(f"{namespace}/{name}")):
                    self.written.append((method, path, body))
                    self.put(collection, _merge(obj, body))
                    return {}
        if method == "POST":
            self.written.append((method, path, body))
            return {}
        request = httpx.Request(method, f"http://fake{path}")
        raise httpx.HTTPStatusError("not found", request=request, response=httpx.Response(404, request=request))

    async def lines(self, path: str, **_: str | int) -> AsyncIterator[Object]:
        """Yield the changes of a collection from now on."""
        queue = asyncio.Queue[Object]()
        self._watches.setdefault(path, []).append(queue)
        while True:
            yield await queue.get()

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    def _notify(self, path: str, kind: str, obj: Object) -> None:
        for queue in self._watches.get(path, []):
            queue.put_nowait({"type": kind, "object": _merge(obj, {})})


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
