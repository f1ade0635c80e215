"""Event loop of the speaker: timers, sockets and links around one `Segment` per interface.

Each callback first checks whether this process was suspended. If so, it receives the heartbeats that arrived meanwhile
and discards queued ARP requests before it does anything else.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from lbproof_reference.frames import ETHERNET, announcements, arp_reply, read_arp
from lbproof_reference.speaker.heartbeat import InvalidHeartbeatError, decode, encode
from lbproof_reference.speaker.segment import Segment
from lbproof_reference.speaker.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lbproof_reference.speaker.links import Link
    from lbproof_reference.speaker.plan import Offer

ANNOUNCE_SECONDS = (0.0, 0.1, 1.1, 3.0)
"""Delays (s) of announcements: frames may be lost, and some hosts ignore changes within 1 s (`locktime`)."""
_BATCH = 64
"""Addresses processed or announced per event loop iteration."""
_GATHER_SECONDS = 0.002
"""Delay after received claims, to process those of a burst together."""
_GOODBYE_SECONDS = 0.3

log = structlog.get_logger()


class SegmentSpeaker:
    """Speaker on one interface."""

    def __init__(
        self,
        link: Link,
        segment: Segment,
        *,
        secret: bytes,
        interval: float,
        on_acquired: Callable[[str], None],
        lost: Callable[[], None],
    ) -> None:
        """Open the sockets. Raises OSError when the interface is gone."""
        self.link, self.segment = link, segment
        self._secret, self._interval, self._on_acquired, self._lost = secret, interval, on_acquired, lost
        self._wire = Wire(link)
        self._loop = asyncio.get_running_loop()
        self.is_open = True
        self._gathering = False
        self._last_heartbeat = self._heartbeat_due = self._due = time.monotonic()
        self._loop.add_reader(self._wire.heartbeat, self._on_heartbeat)
        self._loop.add_reader(self._wire.arp, self._on_arp)
        self._timer = self._loop.call_soon(self._on_timer)

    def close(self) -> None:
        """Stop sending and answering at once; idempotent."""
        if not self.is_open:
            return
        self.is_open = False
        self._timer.cancel()
        self._loop.remove_reader(self._wire.heartbeat)
        self._loop.remove_reader(self._wire.arp)
        self._wire.close()

    def set_desired(self, changes: Mapping[bytes, Offer | None]) -> None:
        """Change the addresses to announce on this segment; None removes one."""
        self.segment.set_desired(changes)
        if self.is_open:
            self._reconcile(self._awake())

    def leave(self) -> None:
        """Start the handover to other speakers."""
        self.segment.leave()
        if self.is_open:
            self._reconcile(self._awake())

    def _awake(self) -> float:
        """Return the time (monotonic, s); handle a suspension first if a heartbeat was missed."""
        now = time.monotonic()
        if now <= self._due + self._interval:
            return now
        gap = now - self._last_heartbeat
        log.warning("process was suspended", interface=self.link.name, gap_ms=round(gap * 1000))
        for _ in self._wire.received(self._wire.arp, limit=1 << 16):
            continue
        self._due = now
        self._receive(now)
        self.segment.on_suspend(gap, now)
        self._reconcile(now)
        return now

    def _receive(self, now: float) -> bool:
        news = False
        for frame in self._wire.received(self._wire.heartbeat):
            try:
                news |= self.segment.receive(decode(frame[ETHERNET.size :], self._secret), now)
            except InvalidHeartbeatError as error:
                log.debug("invalid heartbeat", interface=self.link.name, error=str(error))
        return news

    def _on_heartbeat(self) -> None:
        if self._receive(self._awake()):
            self._reconcile_soon(_GATHER_SECONDS)

    def _on_arp(self) -> None:
        now = self._awake()
        for frame in self._wire.received(self._wire.arp):
            if not (arp := read_arp(frame)):
                continue
            if arp.needs_reply and self.segment.answers(arp.target, now):
                self._wire.send_arp(arp_reply(arp, self.link.mac))

    def _on_timer(self) -> None:
        now = self._awake()
        self._receive(now)
        if self._wire.lost:
            self.close()
            self._loop.call_later(self._interval, self._lost)  # opens it again if the link is up
            return
        for name in self.segment.expire_peers(now):
            log.info("peer dead", interface=self.link.name, node=name)
        if now >= self._heartbeat_due:
            self._heartbeat_due = max(self._heartbeat_due + self._interval, now)
            self._send_heartbeats(now)
        if not self.segment.is_settled(now):
            self._reconcile(now)
        later = [self._heartbeat_due, self.segment.next_deadline() or self._heartbeat_due]
        if self.segment.listen_until > now:
            later.append(self.segment.listen_until)
        self._due = min(later)
        self._timer = self._loop.call_at(self._due, self._on_timer)

    def _send_heartbeats(self, now: float) -> None:
        self._last_heartbeat = now
        for heartbeat in self.segment.heartbeats():
            self._wire.send_heartbeat(encode(heartbeat, self._secret))

    def _reconcile_soon(self, seconds: float) -> None:
        if not self._gathering:
            self._gathering = True
            self._loop.call_later(seconds, self._gather)

    def _gather(self) -> None:
        self._gathering = False
        if self.is_open:
            self._reconcile(self._awake())

    def _reconcile(self, now: float) -> None:
        done = self.segment.reconcile(now, _BATCH)
        if not self.segment.is_settled(now):
            self._reconcile_soon(0)
        if done.acquire or done.withdraw:
            self._wire.accept_requests_for(self.segment.claims)
        if self.segment.has_news:
            self._send_heartbeats(now)
        fresh = (*done.acquire, *done.defend)
        if fresh:
            self._announce(fresh)
            for delay in ANNOUNCE_SECONDS[1:]:
                self._loop.call_later(delay, self._announce, fresh)
        for address in done.acquire:
            self._on_acquired(self.segment.desired[address].service)

    def _announce(self, addresses: tuple[bytes, ...]) -> None:
        """Send gratuitous ARP in batches for the addresses that are still claimed."""
        if not self.is_open:
            return
        for address in addresses[:_BATCH]:
            if address in self.segment.claims and len(address) == 4:  # noqa: PLR2004 - bytes of an IPv4 address
                for frame in announcements(address, self.link.mac):
                    self._wire.send_arp(frame)
        if rest := addresses[_BATCH:]:
            self._loop.call_soon(self._announce, rest)


class Speaker:
    """Speaker of a node: one `SegmentSpeaker` for each link that is up."""

    def __init__(
        self, *, node: str, secret: bytes, interval: float, misses: int, on_acquired: Callable[[str], None]
    ) -> None:
        """Announce as `node`; `on_acquired(service)` is called for each acquired address."""
        self._node, self._secret, self._on_acquired = node, secret, on_acquired
        self._interval, self._misses = interval, misses
        self._segment_speakers: dict[str, SegmentSpeaker] = {}
        self._offers: dict[bytes, Offer] = {}
        self._links: Mapping[str, Link] = {}

    def use_links(self, links: Mapping[str, Link]) -> None:
        """Apply the links that netlink reports; a new or replaced link starts with a listening period."""
        self._links = links
        for name, segment_speaker in list(self._segment_speakers.items()):
            if not segment_speaker.is_open or not segment_speaker.link.is_same(links.get(name)):
                log.info("link down", interface=name)
                segment_speaker.close()
                del self._segment_speakers[name]
        for name, link in links.items():
            if name not in self._segment_speakers:
                self._open_link(link)
            elif self._segment_speakers[name].link != link:
                self._segment_speakers[name].link = link
                self._segment_speakers[name].set_desired(offers_for_link(link, self._offers))

    def set_desired(self, changes: Mapping[bytes, Offer | None]) -> None:
        """Change the addresses to announce; None removes one."""
        for address, offer in changes.items():
            if offer is None:
                self._offers.pop(address, None)
            else:
                self._offers[address] = offer
        for segment_speaker in self._segment_speakers.values():
            segment_speaker.set_desired(offers_for_link(segment_speaker.link, changes))

    async def leave(self) -> None:
        """Hand over all addresses, with a timeout, then close."""
        for segment_speaker in self._segment_speakers.values():
            segment_speaker.leave()
        deadline = time.monotonic() + _GOODBYE_SECONDS
        while any(s.is_open and s.segment.claims for s in self._segment_speakers.values()):
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(self._interval / 10)
        for segment_speaker in self._segment_speakers.values():
            segment_speaker.close()

    def _open_link(self, link: Link) -> None:
        now = time.monotonic()
        segment = Segment(
            node=self._node,
            interface=link.name,
            boot=time.time_ns(),
            dead_interval=self._interval * self._misses,
            now=now,
        )
        try:
            segment_speaker = SegmentSpeaker(
                link,
                segment,
                secret=self._secret,
                interval=self._interval,
                on_acquired=self._on_acquired,
                lost=lambda: self.use_links(self._links),
            )
        except OSError as error:
            log.warning("link not usable", interface=link.name, error=repr(error))
            return
        log.info("link up", interface=link.name, mac=link.mac.hex(":"))
        self._segment_speakers[link.name] = segment_speaker
        segment_speaker.set_desired(offers_for_link(link, self._offers))


def offers_for_link(link: Link, offers: Mapping[bytes, Offer | None]) -> dict[bytes, Offer | None]:
    """Return the offers, with None for those not allowed on this link and for the link's own addresses."""

    def is_allowed(address: bytes, offer: Offer) -> bool:
        if address in link.own:
            return False
        reaches = link.reaches(address)
        return any(reaches if a.interfaces is None else link.name in a.interfaces for a in offer.allowed)

    return {address: offer if offer and is_allowed(address, offer) else None for address, offer in offers.items()}
