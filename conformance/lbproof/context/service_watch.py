"""Watch of all changes to the Services of a namespace or of all, including those that polling would miss.

A watch does not report its progress. A marker Service is therefore created at the end: when the watch delivers it, all
earlier changes have been delivered.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING, Self

from lbproof.context import manifests

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.adapters.base import Object
    from lbproof.witnesses.kube import Kube

_LONGEST = 3600.0
_MARKER_SEEN_WITHIN = 10


class WatchBroke(RuntimeError):  # noqa: N818 - it says what happened, as `BrokenPipe` would
    """The watch ended early: changes may have been missed."""


class ServiceWatch:
    """Calls `changed(type, Service)` for every change in a namespace, or in all, while it is entered."""

    def __init__(
        self, cluster: Kube, namespace: str, changed: Callable[[str, Object], None], *, everywhere: bool = False
    ) -> None:
        """Services that already exist do not count as changes. `everywhere`: `namespace` has the marker alone."""
        self.began = time.monotonic()
        self.existing: list[Object] = []
        """Services that existed when the watch began."""
        self._cluster, self._namespace, self._changed = cluster, namespace, changed
        self._path = f"/api/v1/namespaces/{namespace}/services"
        self._watched = "/api/v1/services" if everywhere else self._path
        self._marker = f"marker-{secrets.token_hex(4)}"
        self._ended = "the watch has not begun"
        self._failure: AssertionError | None = None
        self._thread = threading.Thread(target=self._follow, name=f"watch of {namespace}", daemon=True)

    def _follow(self) -> None:
        self._ended = "the server ended it"
        try:
            for event in self._cluster.watch(self._watched, self._version, _LONGEST):
                if event["object"]["metadata"]["name"] == self._marker:
                    self._ended = ""
                    return
                self._changed(event["type"], event["object"])
        except AssertionError as failure:  # of `changed`, about the implementation
            self._failure = failure
        except Exception as error:  # noqa: BLE001 - whatever ended it, what followed was not seen
            self._ended = f"{type(error).__name__}: {error}"

    def __enter__(self) -> Self:
        """Start the watch."""
        self.existing, self._version = self._cluster.list_with_version(self._watched)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop after all changes up to now were seen. Raises `WatchBroke` when they were not.

        An `AssertionError` of `changed` is raised here.
        """
        marker = manifests.service(self._namespace, self._marker, type="ClusterIP", clusterIP="None")
        self._cluster.create(self._path, marker)
        self._thread.join(_MARKER_SEEN_WITHIN)
        self._cluster.delete(f"{self._path}/{self._marker}")
        if kind is None and self._failure:
            raise self._failure
        if kind is None and (self._thread.is_alive() or self._ended):
            raise WatchBroke(self._ended or f"not everything was seen within {_MARKER_SEEN_WITHIN} s")
