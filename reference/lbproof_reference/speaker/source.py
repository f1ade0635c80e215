"""Read from the API server what to announce, and record Events; nothing waits for the API server."""

from __future__ import annotations

import asyncio
import gc
from itertools import islice
from typing import TYPE_CHECKING

from lbproof_reference.events import EventRecorder
from lbproof_reference.informer import Informer
from lbproof_reference.kube import NODES, SERVICES, Kube, Object, metallb_path
from lbproof_reference.nodes import relevant_fields
from lbproof_reference.pools import is_same_pool
from lbproof_reference.reading import SkipLog
from lbproof_reference.retained import parse_record, read_record
from lbproof_reference.speaker.offers import AnnouncementPolicy, Known, OfferIndex, service_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lbproof_reference.speaker.plan import Offer

COMPONENT = "lbproof-speaker"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
_GATHER_SECONDS = 0.005
_FORMER_SECONDS = 2.0
"""Time in which a pool that was changed or deleted still explains an address that is new in a status."""
_BATCH = 64
"""Services processed per event loop iteration."""


class Source:
    """Calls `set_desired` with the changed offers soon after an object changed."""

    def __init__(
        self, kube: Kube, *, node: str, lb_class: str | None, namespace: str, ignore_exclude: bool = False
    ) -> None:
        """Prepare the informers; pools and advertisements outside `namespace` are ignored.

        `ignore_exclude`: whether nodes announce that are labelled to be excluded.
        """
        self._node, self._class, self._ignore_exclude = node, lb_class, ignore_exclude
        self._kube, self._namespace = kube, namespace
        self._pools_path = metallb_path("ipaddresspools", namespace)
        self._advertisements_path = metallb_path("l2advertisements", namespace)
        self._skip_log = SkipLog()
        self._recorder = EventRecorder(kube, COMPONENT, node)
        self._offer_index = OfferIndex()
        self._policy: AnnouncementPolicy | None = None
        self._former_pools: list[Object] = []
        self._changed = asyncio.Event()
        self._services: dict[str, None] = {}  # to process, in order
        self._slices: dict[str, set[str]] = {}  # by Service
        self._known: dict[str, Known] = {}  # by Service, when last processed
        handlers: dict[str, Callable[[str, Object | None], None]] = {
            SERVICES: self._service_changed,
            self._advertisements_path: self._policy_changed,
            self._pools_path: self._pool_changed,
            NODES: self._node_changed,
            SLICES: self._slice_changed,
        }
        self._informers = {path: Informer(kube, path, changed) for path, changed in handlers.items()}

    @property
    def synced(self) -> bool:
        """Whether every resource has been listed once."""
        return all(informer.synced.is_set() for informer in self._informers.values())

    @property
    def is_outdated(self) -> bool:
        """Whether a resource cannot be read: what is announced may be old."""
        return any(informer.is_cut for informer in self._informers.values())

    async def run(
        self, set_desired: Callable[[Mapping[bytes, Offer | None]], None], on_listed: Callable[[], None]
    ) -> None:
        """Follow the API server until cancelled; `on_listed` is called once, before the first offer."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers.values():
                group.create_task(informer.run())
            record = parse_record(await read_record(self._kube, self._namespace), self._skip_log)
            self._known = {
                key: Known(uid=ones[0].uid, pools={one.ip: one.pool for one in ones}) for key, ones in record.items()
            }
            for informer in self._informers.values():
                await informer.synced.wait()
            _freeze_heap()
            on_listed()
            self._policy_changed()
            group.create_task(self._recorder.run())
            await self._process_changes(set_desired)

    def record_announcement(self, service: str) -> None:
        """Queue an Event that this node announces the Service."""
        self._record(service, "Normal", "nodeAssigned", f'announcing from node "{self._node}" with protocol "layer2"')

    def record_conflict(self, service: str, message: str) -> None:
        """Queue an Event that another host uses an address of the Service."""
        self._record(service, "Warning", "addressConflict", message)

    def record_unannounced(self, service: str, message: str) -> None:
        """Queue an Event that no node announces an address of the Service."""
        self._record(service, "Warning", "NotAnnounced", message)

    def _record(self, service: str, kind: str, reason: str, message: str) -> None:
        if found := self._informers[SERVICES].objects.get(service):
            self._recorder.event(found, kind, reason, message)

    def _policy_changed(self, *_: object) -> None:
        self._policy = None
        found = self._informers[SERVICES].objects
        by_age = sorted(found, key=lambda key: (found[key]["metadata"].get("creationTimestamp", ""), key))
        self._services = dict.fromkeys((*by_age, *self._services))
        self._changed.set()

    def _pool_changed(self, key: str, before: Object | None) -> None:
        if not is_same_pool(before, self._informers[self._pools_path].objects.get(key)):
            self._policy_changed()
            if before:
                self._former_pools.append(before)
                asyncio.get_running_loop().call_later(_FORMER_SECONDS, self._forget_pool)

    def _forget_pool(self) -> None:
        del self._former_pools[0]
        self._policy_changed()

    def _node_changed(self, key: str, before: Object | None) -> None:
        if relevant_fields(before) != relevant_fields(self._informers[NODES].objects.get(key)):
            self._policy_changed()

    def _service_changed(self, key: str, _: Object | None) -> None:
        self._services[key] = None
        self._changed.set()

    def _slice_changed(self, key: str, before: Object | None) -> None:
        now = self._informers[SLICES].objects.get(key)
        for piece in filter(None, (before, now)):
            service = service_of(piece)
            self._slices.setdefault(service, set()).discard(key)
            if piece is now:
                self._slices[service].add(key)
            elif not self._slices[service]:
                del self._slices[service]
            self._service_changed(service, None)

    async def _process_changes(self, set_desired: Callable[[Mapping[bytes, Offer | None]], None]) -> None:
        """Process changed Services in small batches, so that heartbeats and ARP requests are not delayed."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self._changed.clear()
            while self._services:
                changes: dict[bytes, Offer | None] = {}
                for key in list(islice(self._services, _BATCH)):
                    del self._services[key]
                    offers: dict[bytes, Offer] = {}
                    with self._skip_log.reading("Service", key):
                        offers = self._offers(key)
                    changes |= self._offer_index.update(key, offers)
                if changes:
                    set_desired(changes)
                await asyncio.sleep(0)
            _freeze_heap()

    def _offers(self, key: str) -> dict[bytes, Offer]:
        service = self._informers[SERVICES].objects.get(key)
        if service is None:
            self._known.pop(key, None)
            return {}
        if self._policy is None:
            paths = (self._advertisements_path, self._pools_path, NODES)
            advertisements, pools, nodes = (self._informers[path].objects for path in paths)
            self._policy = AnnouncementPolicy(
                advertisements=advertisements.values(),
                pools=pools.values(),
                nodes=nodes.values(),
                lb_class=self._class,
                skip_log=self._skip_log,
                ignore_exclude=self._ignore_exclude,
                former_pools=self._former_pools,
            )
        slices = self._informers[SLICES].objects
        known = self._known[key] = self._policy.announceable(key, service, self._known.get(key))
        return self._policy.offers(key, service, known, [slices[name] for name in self._slices.get(key, ())])


def _freeze_heap() -> None:
    """Exclude existing objects from garbage collection, whose scans would delay heartbeats.

    Reference counting still frees them, because JSON has no cycles; those of other objects are collected before. Only
    the first collection is long, when nothing is announced yet.
    """
    gc.collect()
    gc.freeze()
