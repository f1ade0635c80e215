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
from lbproof.context.precedence import is_outranked, judging
from lbproof.witnesses.object_watch import ObjectWatch
from lbproof.witnesses.wait import EventuallyFailed, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.adapters.base import Object
    from lbproof.witnesses.kube import Kube
    from lbproof.witnesses.object_watch import Arrived

_MARKER_SEEN_WITHIN = 15.0


class WatchBroke(RuntimeError):  # noqa: N818 - it says what happened, as `BrokenPipe` would
    """Changes may have been missed."""


class ServiceWatch:
    """Calls `changed(type, Service)` for every change in a namespace, or in all, while it is entered."""

    def __init__(
        self, cluster: Kube, namespace: str, changed: Callable[[str, Object], None], *, everywhere: bool = False
    ) -> None:
        """Services that already exist do not count as changes. `everywhere`: `namespace` has the marker alone."""
        self.began = time.monotonic()
        self.existing: list[Object] = []
        """Services that existed when the watch began."""
        self._cluster, self._namespace, self._changed, self._everywhere = cluster, namespace, changed, everywhere
        self._path = f"/api/v1/namespaces/{namespace}/services"
        self._watch = ObjectWatch(cluster, "/api/v1/services" if everywhere else self._path, self._arrived)
        self._marker = f"marker-{secrets.token_hex(4)}"
        self._caught_up = threading.Event()
        self._failure: AssertionError | None = None

    def _arrived(self, arrived: Arrived) -> None:
        if arrived.made["metadata"]["name"] == self._marker:
            self._caught_up.set()
        elif not self._caught_up.is_set() and self._failure is None:
            try:
                self._changed(arrived.kind, arrived.made)
            except AssertionError as failure:  # about the implementation
                self._failure = failure

    def __enter__(self) -> Self:
        """Start the watch."""
        self.existing = self._watch.start()
        return self

    def __exit__(self, kind: type[BaseException] | None = None, error: BaseException | None = None, *_: object) -> None:
        """Stop after all changes up to now were seen. Raises `WatchBroke` when they were not.

        An `AssertionError` of `changed` is raised here, whatever else ended the block.
        """

        def judge() -> None:
            if self._failure and is_outranked(error):
                raise self._failure

        with judging(judge):
            broke = self._end()
            if kind is None and broke:
                raise WatchBroke(broke)

    def _end(self) -> str:
        """Stop after all changes up to now were seen; return what was missed, or the empty string."""
        marker = manifests.service(self._namespace, self._marker, type="ClusterIP", clusterIP="None")
        try:
            self._cluster.create(self._path, marker)
            broke = self._wait_for_marker()
        finally:
            self._watch.stop()
        self._cluster.delete(f"{self._path}/{self._marker}")
        return broke

    def _wait_for_marker(self) -> str:
        """Wait until all changes up to now were seen; return what was missed, or the empty string."""
        try:
            eventually(
                lambda: self._caught_up.is_set() or self._watch.failure is not None,
                bool,
                what=f"{self._watch} delivers all changes",
                within=_MARKER_SEEN_WITHIN,
            )
        except EventuallyFailed as error:
            return error.reason
        if failure := self._watch.failure:
            return f"{type(failure).__name__}: {failure}"
        missed = self._watch.gaps if self._everywhere else self._watch.losses
        return "versions are missing, since the API server no longer has them" if missed else ""
