"""Pools of a run, declared as a set: the adapter renders those that are alive, and the cluster is made to match.

Everything that exists for pools is known here, so that an object that several pools share (one ConfigMap for all) is
changed and not deleted when one of them goes.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from lbproof.adapters import rendering
from lbproof.witnesses.kube import ApiError
from lbproof.witnesses.wait import EventuallyFailed

if TYPE_CHECKING:
    from lbproof.adapters.base import Adapter, Object, PoolSpec, Site
    from lbproof.context.acts import Acts
    from lbproof.witnesses.kube import Kube
    from lbproof.witnesses.wait import Waiter

Key = tuple[str, str, str, str]


class _Context(Protocol):
    """Part of the run's context that pools need."""

    acts: Acts
    adapter: Adapter
    cluster: Kube
    wait: Waiter

    @property
    def site(self) -> Site: ...
    def make(self, manifest: Object) -> Object: ...
    def remove(self, made: Object, *, gone: str = "") -> None: ...


class Pools:
    """Pools that are alive, and the objects that exist for them."""

    def __init__(self, run: _Context) -> None:
        """Create nothing yet."""
        self._run = run
        self._alive: dict[str, PoolSpec] = {}
        self._there: dict[Key, Object | None] = {}
        """Objects as they were applied; None for one that may exist, because its last request failed."""

    @staticmethod
    def key(made: Object) -> Key:
        """Return what identifies an object in a cluster."""
        meta = made["metadata"]
        return made["apiVersion"], made["kind"], meta.get("namespace", ""), meta["name"]

    @property
    def objects(self) -> list[Object]:
        """Objects that exist for pools, as they were applied."""
        return [made for made in self._there.values() if made is not None]

    def put(self, pool: PoolSpec) -> None:
        """Create a pool, or change the one of its name; a failure is undone and raised.

        Raises `ApiError` when the API server rejects an object, `EventuallyFailed` when it keeps failing (5xx),
        `ApiUnreachable`, and `AdapterError`.
        """
        before = dict(self._alive)
        self._alive[pool.name] = pool
        try:
            self.match()
        except BaseException as error:
            self._alive = before
            if isinstance(error, Exception):
                self._restore(error)
            raise

    def _restore(self, failure: Exception) -> None:
        """Make the cluster match the pools before a failure. If that fails too, `failure` gets a note.

        What could not be restored is left to the next call of `match`.
        """
        try:
            self.match()
        except Exception as error:  # noqa: BLE001 - whatever the first failure may be
            failure.add_note(f"The pools before it could not be restored: {type(error).__name__}: {error}")

    def drop(self, name: str) -> None:
        """Remove a pool, if it exists, and wait until the API server has deleted its objects, finalizers included."""
        if self._alive.pop(name, None) or None in self._there.values():
            self.match()

    def match(self) -> None:
        """Delete the objects that no living pool has, then apply those that are new or changed.

        Raises as `put`. An object whose request failed is deleted or applied again by the next call.
        """
        self._run.acts.set_pools(self._alive)
        wanted = {
            self.key(made): made
            for made in rendering.pools(self._run.adapter, list(self._alive.values()), self._run.site)
        }
        for key in [key for key in reversed(self._there) if key not in wanted]:
            self._delete(key)
        for key, made in wanted.items():
            if self._there.get(key) != made:
                self._write(key, made)

    def _delete(self, key: Key) -> None:
        """Delete an object. One whose deletion was accepted is forgotten, even if its finalizers keep it too long."""
        api_version, kind, namespace, name = key
        self._there[key] = None
        try:
            self._run.remove(
                {"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace, "name": name}},
                gone="pool_removed",
            )
        except EventuallyFailed:
            del self._there[key]
            raise
        del self._there[key]

    def _write(self, key: Key, made: Object) -> None:
        """Apply an object of one of the implementation's kinds.

        Its admission webhook may start to answer shortly after its pod is ready, and until then the API server fails
        (5xx): such errors are retried. A rejection (4xx) is raised immediately.
        """
        rejection: list[ApiError] = []

        def attempt() -> str:
            try:
                self._run.make(made)
            except ApiError as error:
                if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    return str(error)
                rejection.append(error)
                return "rejected"
            return "taken"

        there, before = key in self._there, self._there.get(key)
        self._there[key] = None
        outcome = self._run.wait.eventually(
            attempt,
            lambda outcome: outcome in {"taken", "rejected"},
            what=f"the API server takes or rejects {made['kind']} {made['metadata']['name']}",
            budget="restarted",
            every=0.1,
        )
        if outcome == "taken":
            self._there[key] = made
            return
        if there:
            self._there[key] = before
        else:
            del self._there[key]
        raise rejection[0]
