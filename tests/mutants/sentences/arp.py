"""Replies to ARP requests that faults decide on."""

# ruff: noqa: SLF001 - a fault replaces private functions
from __future__ import annotations

from typing import TYPE_CHECKING

from tests.mutants.mutant import patch

from lbproof_reference import frames
from lbproof_reference.speaker import loop as speaker
from lbproof_reference.speaker import wire
from lbproof_reference.speaker.loop import SegmentSpeaker

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof_reference.frames import ArpFrame


def receive_all() -> None:
    """Let the speakers receive every ARP frame."""
    patch(wire, "arp_filter", lambda *_: ((0x06, 0, 0, 0xFFFF),))  # a classic BPF program: accept


def reply_when(decide: Callable[[SegmentSpeaker, ArpFrame, bytes, bool], bytes | None]) -> None:
    """Let `decide` return the reply to a request, from the request, its Ethernet frame, and whether it is answered."""

    def on_arp(self: SegmentSpeaker) -> None:
        now = self._awake()
        for frame in self._wire.received(self._wire.arp):
            if not (arp := frames.read_arp(frame)):
                continue
            if arp.needs_reply and (reply := decide(self, arp, frame, self.segment.answers(arp.target, now))):
                self._wire.send_arp(reply)
                self.segment.on_received(now)
            if self.segment.answers(arp.sender, now) and not self.segment.is_station(arp.mac):
                self._defend(arp, now)
        if self.segment.news_due() is not None:
            self._reconcile_soon(speaker._GATHER_SECONDS)

    patch(SegmentSpeaker, "_on_arp", on_arp)


def answer_when(decide: Callable[[SegmentSpeaker, ArpFrame, bytes, bool], bool]) -> None:
    """Let `decide` say whether a request is answered; the reply is the usual one."""
    reply_when(
        lambda self, arp, frame, answers: (
            frames.arp_reply(arp, self.link.mac) if decide(self, arp, frame, answers) else None
        )
    )
