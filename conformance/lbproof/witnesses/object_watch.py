"""Watch of a collection, resumed by its version whenever the connection ends."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from lbproof.witnesses.kube import ApiError, ApiUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.witnesses.kube import Kube, Object

_LONGEST = 300.0
"""Seconds after which a connection is replaced."""
_AGAIN = 0.1
"""Seconds until the next connection."""
_STARTING = 10.0
"""Seconds for which an API server that was away may refuse everybody, until it has read who may do what (RBAC)."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """Event of the watch."""

    t: float
    """Moment of its arrival (`time.monotonic()`)."""
    kind: str
    """ADDED, MODIFIED or DELETED."""
    made: Object
    resumed: bool = True
    """False for an object of a new list, before which versions may be missing."""


class ObjectWatch:
    """Calls `each` with every event of a collection, in a thread of its own."""

    def __init__(
        self,
        cluster: Kube,
        path: str,
        each: Callable[[Arrived], object],
        **query: object,
    ) -> None:
        """Watch nothing yet. `query`: further parameters of the requests, such as a selector."""
        self._each = each
        self._cluster, self._path, self._query = cluster, path, query
        self._ending = threading.Event()
        self._refused_since: float | None = None
        self._thread = threading.Thread(target=self._follow, name=f"watch of {path}", daemon=True)
        self.gaps: list[float] = []
        """Moments at which the collection was read anew, because versions before are missing."""
        self.losses: list[float] = []
        """Those of `gaps` at which a known object had another version or was gone, or none was known."""
        self.failure: Exception | None = None
        """What ended the watch; None while it goes on."""

    def __str__(self) -> str:
        """`watch of /api/v1/services`."""
        return f"watch of {self._path}"

    def start(self) -> list[Object]:
        """Read the collection, start to watch it, and return what it has. Raises as `Kube.list`."""
        found, self._version = self._cluster.list_with_version(self._path, **self._query)
        self._names = {_key(made): made for made in found}
        self._thread.start()
        return found

    def stop(self) -> None:
        """Ask the thread to end; it ends with the next event or the end of the connection."""
        self._ending.set()

    def _follow(self) -> None:
        try:
            while not self._ending.is_set():
                self._watch()
        except Exception as error:  # noqa: BLE001 - whatever it is, the judge is told
            self.failure = error

    def _watch(self) -> None:
        """Watch until the connection ends; where the next one goes on, nothing is lost."""
        try:
            if not self._version:
                self._list_anew()
            query = {"allowWatchBookmarks": "true", **self._query}
            for event in self._cluster.watch(self._path, self._version, _LONGEST, **query):
                self._take(event["type"], event["object"])
                self._refused_since = None
                if self._ending.is_set():
                    return
            self._refused_since = None
        except ApiUnreachable:
            pass
        except ApiError as error:
            if error.status in {HTTPStatus.GONE, HTTPStatus.GATEWAY_TIMEOUT}:
                self._version = ""
            elif error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                self._refused_since = self._refused_since or time.monotonic()
                if time.monotonic() - self._refused_since >= _STARTING:
                    raise
            elif error.status < HTTPStatus.INTERNAL_SERVER_ERROR and error.status != HTTPStatus.TOO_MANY_REQUESTS:
                raise
        self._ending.wait(_AGAIN)

    def _take(self, kind: str, made: Object) -> None:
        self._version = made["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return
        if kind == "DELETED":
            self._names.pop(_key(made), None)
        else:
            self._names[_key(made)] = made
        self._each(Arrived(time.monotonic(), kind, made))

    def _list_anew(self) -> None:
        """Read the collection again when the version to resume from is too old."""
        found, self._version = self._cluster.list_with_version(self._path, **self._query)
        self.gaps.append(time.monotonic())
        there = {_key(made): made for made in found}
        gone = [made for key, made in self._names.items() if key not in there]
        known = {key: _version(made) for key, made in self._names.items()}
        other = [made for made in found if known.get(_key(made)) != _version(made)]  # each write makes a new version
        if gone or not known or any(_key(made) in known for made in other):
            self.losses.append(self.gaps[-1])
        for kind, objects in (("DELETED", gone), ("MODIFIED", other)):
            for made in objects:
                self._each(Arrived(time.monotonic(), kind, made, resumed=False))
        self._names = there


def _version(made: Object) -> str:
    version: str = made["metadata"]["resourceVersion"]
    return version


def _key(made: Object) -> str:
    uid: str = made["metadata"]["uid"]
    return uid
