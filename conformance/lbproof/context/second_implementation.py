"""A second implementation beside the one that is judged, which the suite plays: a controller, and hosts that answer.

It is played because an installed one would prove less. Two that read kinds of the same group disturb each other by
those: MetalLB's admission refuses pools of any other namespace, and the reference marks them as unused. And where one
program is installed twice, nobody can tell from an object or an Event which of the two wrote it.
"""

from __future__ import annotations

import math
import threading
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Self, cast

from lbproof.context.claims import by_node
from lbproof.context.objects import KUBERNETES, author_of, points_of
from lbproof.lab.base import Capability
from lbproof.text import words
from lbproof.witnesses import http, neighbours, transport
from lbproof.witnesses.kube import ApiError, ApiUnreachable
from lbproof.witnesses.object_watch import ObjectWatch
from lbproof.witnesses.wait import eventually
from lbproof.witnesses.writes import paths_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lbproof.adapters.base import Object
    from lbproof.context.check import CheckContext
    from lbproof.context.claims import Claims
    from lbproof.context.objects import Service
    from lbproof.lab.fault import Attachment
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.kube import Kube
    from lbproof.witnesses.object_watch import Arrived

CLASS = "example.com/second"
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
"""Kubernetes' well-known finalizer of controllers of LoadBalancers."""
MARK = "example.com/given-by"
"""Annotation on the Services that it serves."""
_PORT = 80
"""Port of its Services, on which its hosts accept connections."""
_SETTLED_WITHIN = 20.0
"""Seconds until it has served its Services; a wait without a budget is an error, never a verdict."""
_CONNECTED = 1.0
"""Seconds for a connection to one of its hosts, after which another one is tried."""


class SecondBroke(RuntimeError):  # noqa: N818 - it says what happened, as `WatchBroke` does
    """The second implementation could not do its work, or may have missed what others did."""


class SecondController:
    """Controller that serves LoadBalancers of the class `CLASS` from a few addresses, by a watch of all Services.

    Who is served has its address in the status, an annotation and a finalizer. It writes back what somebody else
    changes, and lets go of who leaves the type or is deleted. Who finds no free address waits, and is left untouched.
    """

    def __init__(self, cluster: Kube, addresses: Sequence[IPAddress]) -> None:
        """Serve nothing before it is started."""
        self._cluster, self._addresses = cluster, addresses
        self._alone = threading.RLock()
        self._watch: ObjectWatch | None = None
        self._given: dict[str, IPAddress] = {}
        """By UID."""
        self._waiting: dict[str, Object] = {}
        """Services that find no free address, as they were last read, by UID."""
        self._latest: dict[str, Object] = {}
        """Services that have or had the class, as they were last read, by UID; those that are gone too."""
        self._versions: list[tuple[str, Object]] = []
        """What the watch brought of them: its kind, and the version."""

    def start(self) -> None:
        """Serve all Services of the class, and follow them. Raises as `Kube.list`."""
        watch: ObjectWatch = ObjectWatch(self._cluster, "/api/v1/services", lambda arrived: self._take(watch, arrived))
        with self._alone:
            self._watch = watch
            for made in watch.start():
                self._reconcile(made)

    def stop(self) -> None:
        """Change nothing any more; what was written stays. Raises `SecondBroke` as `require` does."""
        with self._alone:
            watch, self._watch = self._watch, None
        if watch:
            watch.stop()
            _require(watch)

    def require(self) -> None:
        """Raise `SecondBroke` when its watch has ended or missed something."""
        if self._watch:
            _require(self._watch)

    def remove_finalizers(self) -> None:
        """Remove its finalizer from all Services that still have it, so that they can be deleted without it."""
        for made in self._latest.values():
            found = self._cluster.find(next(paths_of(made)))
            if found and _uid(found) == _uid(made) and FINALIZER in _finalizers(found):
                self._unmark(found)

    def _take(self, watch: ObjectWatch, arrived: Arrived) -> None:
        """Take what a watch brings; one that was stopped may bring one thing more."""
        with self._alone:
            if watch is not self._watch:
                return
            if arrived.kind == "DELETED":
                self._forget(_uid(arrived.made))
            else:
                self._reconcile(arrived.made)
            if _uid(arrived.made) in self._latest:
                self._versions.append((arrived.kind, arrived.made))

    def _reconcile(self, made: Object) -> None:
        """Write what a Service lacks to be served, or remove what is on one that is not to be served any more."""
        uid = _uid(made)
        if _is_served(made) or uid in self._latest:
            self._latest[uid] = made
        if not _is_served(made):
            if uid in self._latest and FINALIZER in _finalizers(made):
                self._let_go(made)
            self._forget(uid)
            return
        free = (address for address in self._addresses if address not in self._given.values())
        if address := self._given.get(uid) or next(free, None):
            self._given[uid] = address
            self._waiting.pop(uid, None)
            self._give(made, address)
        else:
            self._waiting[uid] = made

    def _forget(self, uid: str) -> None:
        """Serve a Service no longer; give what it had to one that waits."""
        self._waiting.pop(uid, None)
        if self._given.pop(uid, None) and self._waiting:
            self._reconcile(next(iter(self._waiting.values())))

    def _give(self, made: Object, address: IPAddress) -> None:
        now: Object | None = made
        annotations = made["metadata"].get("annotations") or {}
        if FINALIZER not in _finalizers(made) or annotations.get(MARK) != CLASS:
            finalizers = list(dict.fromkeys([*_finalizers(made), FINALIZER]))
            now = self._patch(made, "", {"metadata": {"finalizers": finalizers, "annotations": {MARK: CLASS}}})
        if now and points_of(now) != [str(address)]:
            row = {"ip": str(address), "ipMode": "Proxy"}  # what serves it is a host: kube-proxy has no part in it
            self._patch(now, "/status", {"status": {"loadBalancer": {"ingress": [row]}}})

    def _let_go(self, made: Object) -> None:
        now: Object | None = made
        if points_of(made):
            now = self._patch(made, "/status", {"status": {"loadBalancer": {"ingress": None}}})
        if now:
            self._unmark(now)

    def _unmark(self, made: Object) -> None:
        left = [name for name in _finalizers(made) if name != FINALIZER]
        self._patch(made, "", {"metadata": {"finalizers": left, "annotations": {MARK: None}}})

    def _patch(self, made: Object, subresource: str, body: Object) -> Object | None:
        """Patch the version of a Service that was read; return the new one, or None when it is no longer the latest.

        The watch brings the latest then. Raises `SecondBroke`.
        """
        version = {field: made["metadata"][field] for field in ("uid", "resourceVersion")}
        patch = body | {"metadata": version | body.get("metadata", {})}
        path = f"{next(paths_of(made))}{subresource}?fieldManager=second-implementation"
        try:
            return self._cluster.patch(path, patch)
        except ApiError as error:
            if error.status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
                return None
            raise SecondBroke(str(error)) from error
        except ApiUnreachable as error:
            raise SecondBroke(str(error)) from error

    def written_by_others(self) -> dict[str, dict[str, int]]:
        """Return its Services of which others than the suite made versions: how many, by their field managers."""
        with self._alone:
            versions = list(self._versions)
        found: dict[str, dict[str, int]] = {}
        for kind, made in versions:
            if self._is_by_another(kind, made):
                own = next(paths_of(made))
                by = "a deletion" if kind == "DELETED" else last_managers(made)
                counted = found.setdefault(own.removeprefix("/api/v1/namespaces/").replace("/services", ""), {})
                counted[by] = counted.get(by, 0) + 1
        return found

    def _is_by_another(self, kind: str, made: Object) -> bool:
        """Return whether another than the suite made a version. How what the suite deletes ends is not judged."""
        writes = self._cluster.writes
        if kind == "DELETED" or "deletionTimestamp" in made["metadata"]:
            return not any(writes.between(path, 0.0, math.inf, method="DELETE") for path in paths_of(made))
        return not writes.made(made, next(paths_of(made)))

    def told_by_others(self) -> dict[str, list[str]]:
        """Return the reasons of Events about its Services, by those: it and the suite create none."""
        with self._alone:
            latest = list(self._latest.values())
        found: dict[str, list[str]] = {}
        for made in latest:
            reasons = [e.get("reason", "") for e in self._cluster.events_about(made) if author_of(e) not in KUBERNETES]
            if reasons:
                found[f"{made['metadata']['namespace']}/{made['metadata']['name']}"] = reasons
        return found


class SecondImplementation:
    """The controller, and a host on the segment for each of its addresses: a context manager.

    The hosts' kernels answer ARP and NDP, and accept connections on the Services' port.
    """

    def __init__(self, check: CheckContext, count: int) -> None:
        """Take so many free addresses of the segment; nothing is there before it is entered. Raises `CannotShow`."""
        check.run.need(Capability.FOREIGN_HOST)
        self._check = check
        self.addresses = check.run.addresses(count)
        self._controller = SecondController(check.cluster, self.addresses)
        self._macs: dict[IPAddress, str] = {}
        self._running = ExitStack()
        self._entered = ExitStack()

    def __enter__(self) -> Self:
        """Start it."""
        with ExitStack() as entered:
            entered.enter_context(self._check.run.reserved(self.addresses))
            entered.callback(self._controller.remove_finalizers)
            entered.callback(self._stop)
            self._start()
            self._entered = entered.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and leave no finalizer behind. Raises `SecondBroke` when it missed something."""
        self._entered.close()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Have neither its controller nor its hosts from now on; its Services stay as they are until the block ends.

        They can be deleted then.
        """
        self._stop()
        try:
            yield
        finally:
            self._controller.remove_finalizers()

    def _start(self) -> None:
        with ExitStack() as running:
            for address in self.addresses:
                self._join(running, address)
            running.callback(self._controller.stop)
            self._controller.start()
            self._running = running.pop_all()

    def _join(self, running: ExitStack, address: IPAddress) -> None:
        check = self._check
        joined = running.enter_context(check.fault(Capability.FOREIGN_HOST, lambda: check.lab.foreign_host(address)))
        host = cast("Attachment", joined).vantage
        self._macs[address] = host.mac
        running.enter_context(transport.listening(host, [_PORT]))

    def _stop(self) -> None:
        self._running.close()

    def settled(self, *services: Service) -> None:
        """Wait until it has given its Services, which these are, as many addresses as it can, and serves them.

        A wait without a budget: it judges nobody.
        """
        wanted = min(len(services), len(self.addresses))
        eventually(
            lambda: (sum(map(bool, self._check.statuses(*services).values())), self._unserved()),
            lambda seen: seen[0] >= wanted and not seen[1],
            what=f"the second implementation has given {wanted} addresses, and all serve",
            within=_SETTLED_WITHIN,
        )

    def disturbed(self, claims: Claims) -> dict[str, str]:
        """Return what others do to it, by Service or address; empty where they leave it alone. Raises `SecondBroke`.

        They write to its Services, answer for its addresses or claim them, or keep clients from being served there.
        `claims`: recorder that was entered before.
        """
        self._controller.require()
        found = {
            name: f"versions written by {words(counted)}"
            for name, counted in self._controller.written_by_others().items()
        }
        answered, claimed = self._check.who_answers(*self.addresses), by_node(claims.of(self.addresses))
        for address in self.addresses:
            if others := {*answered[str(address)], *claimed[address]} - {self._macs[address]}:
                found[str(address)] = f"answered for or claimed by {words(others)}"
        for address in self._unserved():
            found.setdefault(str(address), "no connection is established")
        return found

    def told(self) -> dict[str, list[str]]:
        """Return the reasons of Events about its Services, by those."""
        return self._controller.told_by_others()

    def _unserved(self) -> list[IPAddress]:
        """Return the addresses at which the client finds no open port, when it asks anew where they are, twice."""
        left = list(self.addresses)
        for _ in range(2):
            left = [address for address in left if not self._connects(address)]
        return left

    def _connects(self, address: IPAddress) -> bool:
        neighbours.forget(self._check.client, address)
        return http.connects(self._check.client, address, _PORT, timeout=_CONNECTED) == "open"


def last_managers(made: Object) -> str:
    """Return the field managers that wrote a version last, by the seconds of `managedFields`; `?` without any."""
    fields = made["metadata"].get("managedFields") or []
    latest = max((entry.get("time", "") for entry in fields), default="")
    return " or ".join(sorted({entry.get("manager", "") for entry in fields if entry.get("time", "") == latest})) or "?"


def _require(watch: ObjectWatch) -> None:
    if watch.failure:
        raise SecondBroke(f"{watch}: {watch.failure}") from watch.failure
    if watch.losses:
        raise SecondBroke(f"{watch}: versions are missing, since the API server no longer has them")


def _is_served(made: Object) -> bool:
    """Return whether a Service is one of the second implementation."""
    spec = made["spec"]
    wanted = (spec.get("type"), spec.get("loadBalancerClass")) == ("LoadBalancer", CLASS)
    return wanted and "deletionTimestamp" not in made["metadata"]


def _finalizers(made: Object) -> list[str]:
    return made["metadata"].get("finalizers") or []


def _uid(made: Object) -> str:
    uid: str = made["metadata"]["uid"]
    return uid
