"""Local copy of one resource, kept up to date by a list and a watch; reports the keys that changed.

It survives an unavailable API server: its objects stay, and a version that is too old (410) only causes a new list.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import httpx
import structlog

from lbproof_reference.kube import Kube, Object, key_of, status_code, watch_seconds
from lbproof_reference.reading import MALFORMED_OBJECT, SkipLog

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGE = 20  # objects, each of 1.5 MB at most, that are in memory at once as text
_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
_LASTED_SECONDS = 5.0
"""Duration of a list and a watch after which their end is no failure."""
_GONE = 410

log = structlog.get_logger()


class Informer:
    """Local copy of one resource, updated by `run`; calls `changed(key, before)` after each change of an object."""

    def __init__(self, kube: Kube, path: str, changed: Callable[[str, Object | None], None], **selector: str) -> None:
        """Start empty; `synced` is set after the first list, and `is_cut` while nothing can be read.

        `selector`: `fieldSelector` or `labelSelector`, as in the API.
        """
        self.objects: dict[str, Object] = {}
        self.synced = asyncio.Event()
        self.is_cut = False
        self._kube, self._path, self._changed, self._selector = kube, path, changed, selector
        self._version = ""
        self._skip_log = SkipLog()

    @property
    def is_current(self) -> bool:
        """Whether the objects are those of the API server, but for changes that are under way."""
        return bool(self._version) and not self.is_cut

    async def run(self) -> None:
        """List, then watch, until cancelled; list again after a malformed response, and when a watch expired.

        The pauses between attempts grow, unless a watch lasted.
        """
        failures = 0
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            pause = _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except (httpx.HTTPError, OSError, *MALFORMED_OBJECT) as error:
                malformed = isinstance(error, MALFORMED_OBJECT)
                if malformed or status_code(error) == _GONE:
                    self._version = ""
                what = "malformed response" if malformed else "API server unavailable"
                self.is_cut = True
                log.warning(what, path=self._path, error=repr(error), retry_seconds=pause)
            failures = 0 if clock() - began > _LASTED_SECONDS else failures + 1
            await asyncio.sleep(pause)

    async def _list(self) -> None:
        found: dict[str, Object] = {}
        more: dict[str, str] = {}
        while True:
            page = await self._kube.call("GET", self._path, None, limit=_PAGE, **self._selector, **more)
            found |= {key_of(item): _strip(item) for item in page["items"]}
            if not (token := page["metadata"].get("continue")):
                break
            more["continue"] = token
        before, self.objects = self.objects, found
        self._version = page["metadata"]["resourceVersion"]
        self.synced.set()
        for key in before.keys() | found.keys():
            if _resource_version(before.get(key)) != _resource_version(found.get(key)):
                self._notify(key, before.get(key))

    async def _watch(self) -> None:
        events = self._kube.lines(
            self._path,
            self._opened,
            watch=1,
            resourceVersion=self._version,
            allowWatchBookmarks="true",
            timeoutSeconds=watch_seconds(),
            **self._selector,
        )
        async with aclosing(events):  # closes the connection however the loop ends
            async for event in events:
                item = event["object"]
                if event["type"] == "ERROR":
                    log.info("watch expired: listing again", path=self._path, message=item.get("message"))
                    self._version = ""  # listed again by `run` if that fails now
                    await self._list()
                    return
                self._version = item["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                key = key_of(item)
                before = self.objects.pop(key, None)
                if event["type"] != "DELETED":
                    self.objects[key] = _strip(item)
                self._notify(key, before)

    def _opened(self) -> None:
        self.is_cut = False

    def _notify(self, key: str, before: Object | None) -> None:
        with self._skip_log.reading(self._path, key):
            self._changed(key, before)


def _strip(obj: Object) -> Object:
    """Remove `managedFields`, which is about half of an object and not used."""
    obj["metadata"].pop("managedFields", None)
    return obj


def _resource_version(obj: Object | None) -> object:
    return obj and obj["metadata"].get("resourceVersion", "")
