"""Replies to ARP requests that faults decide on, also by the Ethernet frame of the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.mutants.mutant import patch

from lbproof_reference import frames
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker import wire
from lbproof_reference.speaker.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof_reference.frames import ArpFrame


def receive_all() -> None:
    """Let the speakers receive every ARP frame."""
    patch(wire, "arp_filter", lambda *_: ((0x06, 0, 0, 0xFFFF),))  # a classic BPF program: accept


def latest_frame() -> list[bytes]:
    """Return a list that holds the ARP frame that is being processed, at least."""
    latest = [b""]

    def read(frame: bytes) -> ArpFrame | None:
        latest[:] = [frame]
        return frames.read_arp(frame)

    patch(speaker, "read_arp", read)
    return latest


def answer_when(decide: Callable[[Segment, ArpFrame, bytes, bool], bool]) -> None:
    """Let `decide` say whether a request is answered, from the request, its frame, and whether it would be."""
    real, latest = Segment.answers, latest_frame()

    def answers(self: Segment, address: bytes, now: float) -> bool:
        found = real(self, address, now)
        arp = frames.read_arp(latest[0])
        return decide(self, arp, latest[0], found) if arp and arp.target == address else found

    patch(Segment, "answers", answers)
