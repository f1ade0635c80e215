"""Faults of memory: what is kept of addresses, keys and conflicts that are gone (the reference as it was)."""

from __future__ import annotations

import bisect
import gc
from typing import TYPE_CHECKING

from tests.mutants.mutant import fault, patch

from lbproof_reference.controller import allocate
from lbproof_reference.speaker import conflicts, keys, segment, source

if TYPE_CHECKING:
    from lbproof_reference.speaker.heartbeat import Heartbeat

NO_DAYS = "no case runs for days, or measures memory"


@fault(uncaught=NO_DAYS, test="test_peers.py::test_nothing_is_kept_of_an_address_that_is_gone")
def keeps_epochs_of_gone_addresses() -> None:
    """Each address that any station ever claimed takes memory of every speaker."""
    real = segment.Segment.receive

    def receive(self: segment.Segment, heartbeat: Heartbeat, frame: bytes, now: float) -> bool:
        is_news = real(self, heartbeat, frame, now)
        self._epochs |= {address: claim.epoch for address, claim in heartbeat.claims.items()}
        return is_news

    patch(segment.Segment, "receive", receive)


@fault(uncaught=NO_DAYS, test="test_conflicts.py::test_conflicts_that_ended_are_forgotten")
def keeps_conflicts_that_ended() -> None:
    """Each address that another host ever used takes memory."""
    real = conflicts.Conflicts.defend

    def defend(self: conflicts.Conflicts, address: bytes, now: float) -> conflicts.Defence:
        before = self._known.copy()
        defence = real(self, address, now)
        self._known = before | self._known
        return defence

    patch(conflicts.Conflicts, "defend", defend)


@fault(uncaught=NO_DAYS, test="test_peers.py::test_keys_that_are_no_longer_accepted_are_forgotten")
def keeps_keys_that_expired() -> None:
    """Each key that the Secret ever had takes memory, although it is no longer accepted."""
    real = keys.Keyring.update

    def update(self: keys.Keyring, key: bytes, previous: bytes, now: float) -> None:
        before = self._retired
        real(self, key, previous, now)
        self._retired = before | self._retired

    patch(keys.Keyring, "update", update)


@fault(uncaught=NO_DAYS, test="test_source.py::test_cycles_are_collected_before_the_heap_is_frozen")
def freezes_unused_objects() -> None:
    """Unused objects that refer to each other are excluded from garbage collection before they are collected."""

    def freeze_heap() -> None:
        gc.collect(1)
        gc.freeze()

    patch(source, "_freeze_heap", freeze_heap)


@fault(uncaught=NO_DAYS, test="test_allocator.py::test_addresses_that_come_and_go_leave_one_entry_each")
def free_list_grows() -> None:
    """An address that is requested and released again and again takes memory of the controller each time."""

    def put_back(self: allocate.FreeList, number: int) -> None:
        if number <= self._used:
            bisect.insort(self._returned, number)

    patch(allocate.FreeList, "put_back", put_back)
