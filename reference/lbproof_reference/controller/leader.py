"""Leader for life: one copy of the controller leads until its Pod has ended (as operator-lib's `leader.Become`).

The Lease `lbproof-controller` names the Pod that leads. It is never renewed, so nothing is written at rest. Other
copies watch that Pod and write nothing. A container that starts again in its Pod still leads.

A copy takes the Lease when the Pod is gone, has ended, or is being deleted for so long that the API server refuses its
token. It lists everything after that, so it knows all that the former leader wrote. Two copies never write at a time
under these conditions:

- Tokens are bound to Pods, as those from a kubelet are since Kubernetes 1.22. A former leader that was frozen, or whose
  node was cut off, is then refused when it goes on.
- Nobody deletes the Lease while its holder runs, or deletes a running Pod by force, whose token is accepted for ten
  seconds more. If somebody does, the former leader ends as soon as its watch shows the Lease of another.
- What a leader sent just before its end is processed before its successor lists.

Otherwise a write of the former leader still fails for each Service that has changed since (see `loop`).
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import structlog

from lbproof_reference.informer import Informer
from lbproof_reference.kube import Kube, Object, status_code, watch_seconds
from lbproof_reference.reading import MALFORMED_OBJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

LEASE = "lbproof-controller"
_TOKEN_SECONDS = 70.0
"""Time after a Pod's grace period in which its token is accepted: 60 s (`jwt.DefaultLeeway`), and 10 s from a cache."""
_PAUSE_SECONDS = 0.05
_RETRY_SECONDS = 1.0
_FORBIDDEN = 403
_NOT_FOUND = 404

log = structlog.get_logger()


class LeaseLost(Exception):  # noqa: N818 - it says what happened
    """The Lease is gone or names another Pod, so this copy must not write any more."""


class LeaderElection:
    """Election of one copy; `run` does the work of the leader."""

    def __init__(self, kube: Kube, namespace: str, pod: str, uid: str) -> None:
        """Prepare the election in a namespace. `pod`, `uid`: of this copy's own Pod."""
        self._kube, self._identity = kube, f"{pod}_{uid}"
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._refused_at: dict[str, float] = {}
        """Moment after which the token of a Pod that is being deleted is refused, by its UID."""
        self.is_standby = False
        """Whether a Pod leads that is not being deleted; a rollout may then go on, and end it."""

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait until this copy leads, then work until cancelled. Raises `LeaseLost` in an ExceptionGroup."""
        await self._acquire()
        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            group.create_task(self._watch_lease())

    async def _acquire(self) -> None:
        pause = 0.0
        while True:
            await asyncio.sleep(pause)
            try:
                if await self._take():
                    break
                pause = _PAUSE_SECONDS
            except (httpx.HTTPError, OSError, *MALFORMED_OBJECT) as error:
                hint = "Leases and Pods, as in 10-rbac.yaml" if status_code(error) == _FORBIDDEN else None
                log.warning("neither leads nor waits", error=repr(error), missing_rights=hint)
                pause = _RETRY_SECONDS
        self.is_standby = False
        log.info("leads", identity=self._identity)

    async def _take(self) -> bool:
        """Take the Lease if nobody has it; else return False when the Pod that has it may have changed."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self._identity, "acquireTime": now}
        lease = await self._find(f"{self._leases}/{LEASE}")
        if lease is None:
            await self._kube.call("POST", self._leases, {"metadata": {"name": LEASE}, "spec": spec})
            return True
        holder = lease["spec"].get("holderIdentity") or ""
        if holder == self._identity:
            return True
        name, _, uid = holder.partition("_")
        pod = await self._find(f"{self._pods}/{name}") if uid else None  # after the Lease: who has it has existed
        if pod and not self._has_ended(pod, uid):
            self.is_standby = "deletionTimestamp" not in pod["metadata"]
            await self._wait_for_change(pod)
            return False
        meta = {"resourceVersion": lease["metadata"]["resourceVersion"]}
        await self._kube.call("PATCH", f"{self._leases}/{LEASE}", {"metadata": meta, "spec": spec})
        return True

    def _has_ended(self, pod: Object, uid: str) -> bool:
        """Whether a Pod is not the one with that UID, or its containers have ended, or it can write no more."""
        meta, clock = pod["metadata"], asyncio.get_running_loop().time
        if meta["uid"] != uid or pod["status"].get("phase") in ("Succeeded", "Failed"):
            return True
        if "deletionTimestamp" not in meta:
            return False
        rest = meta.get("deletionGracePeriodSeconds", 0) + _TOKEN_SECONDS
        return clock() >= self._refused_at.setdefault(uid, clock() + rest)

    async def _wait_for_change(self, pod: Object) -> None:
        """Return at the next event about a Pod, at the end of the watch, or when its token is refused."""
        meta = pod["metadata"]
        events = self._kube.lines(
            self._pods,
            lambda: None,
            watch=1,
            fieldSelector=f"metadata.name={meta['name']}",
            resourceVersion=meta["resourceVersion"],
            timeoutSeconds=watch_seconds(),
        )
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._refused_at.get(meta["uid"])), aclosing(events):
                async for _ in events:
                    break

    async def _watch_lease(self) -> None:
        """Raise `LeaseLost` when the Lease is gone or names another Pod."""
        changed = asyncio.Event()
        lease = Informer(self._kube, self._leases, lambda *_: changed.set(), fieldSelector=f"metadata.name={LEASE}")
        async with asyncio.TaskGroup() as group:
            group.create_task(lease.run())
            await lease.synced.wait()
            while any(one["spec"].get("holderIdentity") == self._identity for one in lease.objects.values()):
                await changed.wait()
                changed.clear()
            raise LeaseLost

    async def _find(self, path: str) -> Object | None:
        try:
            return await self._kube.call("GET", path)
        except httpx.HTTPStatusError as error:
            if status_code(error) != _NOT_FOUND:
                raise
            return None
