"""Pools of a run, declared as a set: the adapter renders those that are alive, and the cluster is made to match.

Everything that exists for pools is known here, so that an object that several pools share (one ConfigMap for all) is
changed and not deleted when one of them goes.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from lbproof.adapters import rendering
from lbproof.witnesses.kube import ApiError

if TYPE_CHECKING:
    from lbproof.adapters.base import Adapter, Object, PoolSpec, Site
    from lbproof.witnesses.kube import Kube
    from lbproof.witnesses.wait import Waiter

Key = tuple[str, str, str, str]


class _Context(Protocol):
    """Part of the run's context that pools need."""

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
        self._there: dict[Key, Object] = {}

    @staticmethod
    def key(made: Object) -> Key:
        """Return what identifies an object in a cluster."""
        meta = made["metadata"]
        return made["apiVersion"], made["kind"], meta.get("namespace", ""), meta["name"]

    @property
    def objects(self) -> list[Object]:
        """Objects that exist for pools, as they were applied."""
        return list(self._there.values())

    def put(self, pool: PoolSpec) -> None:
        """Create a pool, or change the one of its name. Raises `ApiError` when it is rejected, and then undoes it."""
        before = self._alive.get(pool.name)
        self._alive[pool.name] = pool
        try:
            self.match()
        except ApiError:
            self._alive.pop(pool.name)
            if before:
                self._alive[pool.name] = before
            self.match()
            raise

    def drop(self, name: str) -> None:
        """Remove a pool, if it exists, and wait until the API server has deleted its objects, finalizers included."""
        if self._alive.pop(name, None):
            self.match()

    def match(self) -> None:
        """Delete the objects that no living pool has, then apply those that are new or changed.

        Raises `ApiError` when the API server rejects one.
        """
        wanted = {
            self.key(made): made
            for made in rendering.pools(self._run.adapter, list(self._alive.values()), self._run.site)
        }
        for key in [key for key in reversed(self._there) if key not in wanted]:
            self._run.remove(self._there.pop(key), gone="pool_removed")
        for key, made in wanted.items():
            if self._there.get(key) != made:
                self._write(made)
                self._there[key] = made

    def _write(self, made: Object) -> None:
        """Apply an object of one of the implementation's kinds.

        Its admission webhook may start to answer shortly after its pod is ready, and until then the API server fails
        (5xx): such errors are retried. A rejection (4xx) is raised immediately.
        """
        refusal: list[ApiError] = []

        def attempt() -> str:
            try:
                self._run.make(made)
            except ApiError as error:
                if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    return str(error)
                refusal.append(error)
            return "written"

        self._run.wait.eventually(
            attempt,
            lambda outcome: outcome == "written",
            what=f"the API server takes {made['kind']} {made['metadata']['name']}",
            budget="restarted",
            every=0.1,
        )
        if refusal:
            raise refusal[0]
