"""The speaker's event loop: timers, sockets and links around one `Segment` an interface.

Each callback first asks whether this process was asleep. If so, it hears what the others said meanwhile and throws
away the questions that were asked, before it acts on anything.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from lbproof_reference.frames import ETHERNET, announcements, read_request, reply
from lbproof_reference.speaker.heartbeat import InvalidHeartbeatError, decode, encode
from lbproof_reference.speaker.segment import Segment
from lbproof_reference.speaker.wire import Link, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lbproof_reference.speaker.plan import Offer

ANNOUNCE_SECONDS = (0.0, 0.1, 1.1, 3.0)
"""A frame may be lost, and some hosts ignore a change within a second of the last (`locktime`)."""
_AT_ONCE = 64
"""Addresses that are decided on, or announced, between two looks at the sockets."""
_GATHER_SECONDS = 0.002
"""Claims come in bursts; one look at all addresses is enough for those that come together."""
_GOODBYE_SECONDS = 0.3

log = structlog.get_logger()


class Port:
    """One interface at work."""

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
        self._open = True
        self._gathering = False
        self._last_heartbeat = self._heartbeat_due = self._due = time.monotonic()
        self._loop.add_reader(self._wire.heartbeat, self._on_heartbeat)
        self._loop.add_reader(self._wire.arp, self._on_arp)
        self._timer = self._loop.call_soon(self._on_timer)

    def close(self) -> None:
        """Fall silent at once, as a cut cable does; a second time does nothing."""
        if not self._open:
            return
        self._open = False
        self._timer.cancel()
        self._loop.remove_reader(self._wire.heartbeat)
        self._loop.remove_reader(self._wire.arp)
        self._wire.close()

    @property
    def is_open(self) -> bool:
        """Whether it still has its sockets."""
        return self._open

    def _fail(self) -> None:
        """Fall silent for good, as the interface went down; should it be up again, `lost` starts afresh."""
        self.close()
        self._loop.call_later(self._interval, self._lost)

    def set_desired(self, changes: Mapping[bytes, Offer | None]) -> None:
        """Change what is to be announced on this segment; None: no more."""
        self.segment.set_desired(changes)
        if self._open:
            self._follow(self._awake())

    def leave(self) -> None:
        """Hand over."""
        self.segment.leave()
        if self._open:
            self._follow(self._awake())

    def _awake(self) -> float:
        """The time now; a process that overslept a heartbeat doubts itself before it does anything else."""
        now = time.monotonic()
        if now <= self._due + self._interval:
            return now
        gap = now - self._last_heartbeat
        log.warning("woke up late", interface=self.link.name, gap_ms=round(gap * 1000))
        for _ in self._wire.received(self._wire.arp, limit=1 << 16):
            continue
        self._due = now
        self._hear(now)
        self.segment.on_suspend(gap, now)
        self._follow(now)
        return now

    def _hear(self, now: float) -> bool:
        news = False
        for frame in self._wire.received(self._wire.heartbeat):
            try:
                news |= self.segment.hear(decode(frame[ETHERNET.size :], self._secret), now)
            except InvalidHeartbeatError as error:
                log.debug("not a heartbeat of ours", interface=self.link.name, error=str(error))
        return news

    def _on_heartbeat(self) -> None:
        now = self._awake()
        if self._hear(now):
            self._follow_soon(_GATHER_SECONDS)

    def _on_arp(self) -> None:
        now = self._awake()
        for frame in self._wire.received(self._wire.arp):
            request = read_request(frame)
            if request and self.segment.answers(request.target, now):
                self._wire.send_arp(reply(request, self.link.mac))

    def _on_timer(self) -> None:
        now = self._awake()
        self._hear(now)
        if self._wire.lost:
            self._fail()
            return
        for name in self.segment.expire_peers(now):
            log.info("speaker lost", interface=self.link.name, node=name)
        if now >= self._heartbeat_due:
            self._heartbeat_due = max(self._heartbeat_due + self._interval, now)
            self._send_heartbeats(now)
        if not self.segment.is_settled(now):
            self._follow(now)
        later = [self._heartbeat_due, self.segment.next_deadline() or self._heartbeat_due]
        if self.segment.listen_until > now:
            later.append(self.segment.listen_until)
        self._due = min(later)
        self._timer = self._loop.call_at(self._due, self._on_timer)

    def _send_heartbeats(self, now: float) -> None:
        self._last_heartbeat = now
        for heartbeat in self.segment.heartbeats():
            self._wire.send_heartbeat(encode(heartbeat, self._secret))

    def _follow_soon(self, seconds: float) -> None:
        if not self._gathering:
            self._gathering = True
            self._loop.call_later(seconds, self._gather)

    def _gather(self) -> None:
        self._gathering = False
        if self._open:
            self._follow(self._awake())

    def _follow(self, now: float) -> None:
        done = self.segment.follow(now, _AT_ONCE)
        if not self.segment.is_settled(now):
            self._follow_soon(0)
        if done.take or done.withdraw:
            self._wire.hear_for(self.segment.mine)
        if self.segment.has_news:
            self._send_heartbeats(now)
        fresh = (*done.take, *done.defend)
        if fresh:
            self._announce(fresh)
            for delay in ANNOUNCE_SECONDS[1:]:
                self._loop.call_later(delay, self._announce, fresh)
        for address in done.take:
            self._on_acquired(self.segment.wanted[address].service)

    def _announce(self, addresses: tuple[bytes, ...]) -> None:
        """Say where the addresses are, a few at a time, for as long as they are here."""
        if not self._open:
            return
        for address in addresses[:_AT_ONCE]:
            if address in self.segment.mine and len(address) == 4:  # noqa: PLR2004 - bytes of an IPv4 address
                for frame in announcements(address, self.link.mac):
                    self._wire.send_arp(frame)
        if rest := addresses[_AT_ONCE:]:
            self._loop.call_soon(self._announce, rest)


class Speaker:
    """A node's speaker: a port for every link that is up."""

    def __init__(
        self, *, node: str, secret: bytes, interval: float, misses: int, on_acquired: Callable[[str], None]
    ) -> None:
        """Speak for `node`; `on_acquired(service)` is called for each address that is taken."""
        self._node, self._secret, self._interval, self._misses, self._on_acquired = (
            node,
            secret,
            interval,
            misses,
            on_acquired,
        )
        self._ports: dict[str, Port] = {}
        self._offers: dict[bytes, Offer] = {}
        self._links: Mapping[str, Link] = {}

    def use_links(self, links: Mapping[str, Link]) -> None:
        """Follow what netlink says: a link that is gone or another starts afresh, and listens first."""
        self._links = links
        for name, port in list(self._ports.items()):
            if not port.is_open or not port.link.is_same(links.get(name)):
                log.info("link down", interface=name)
                port.close()
                del self._ports[name]
        for name, link in links.items():
            if name not in self._ports:
                self._open(link)
            elif self._ports[name].link != link:
                self._ports[name].link = link
                self._ports[name].set_desired(_on(link, self._offers))

    def set_desired(self, changes: Mapping[bytes, Offer | None]) -> None:
        """Announce these addresses, each where its subnet or its advertisement says; None: no more."""
        for address, offer in changes.items():
            if offer is None:
                self._offers.pop(address, None)
            else:
                self._offers[address] = offer
        for port in self._ports.values():
            port.set_desired(_on(port.link, changes))

    async def leave(self) -> None:
        """Tell the others to take over, and wait until they have or a moment is over."""
        for port in self._ports.values():
            port.leave()
        deadline = time.monotonic() + _GOODBYE_SECONDS
        while any(port.is_open and port.segment.mine for port in self._ports.values()):
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(self._interval / 10)
        for port in self._ports.values():
            port.close()

    def _open(self, link: Link) -> None:
        now = time.monotonic()
        segment = Segment(
            node=self._node,
            interface=link.name,
            boot=time.time_ns(),
            hold=self._interval * self._misses,
            now=now,
        )
        try:
            port = Port(
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
        self._ports[link.name] = port
        port.set_desired(_on(link, self._offers))


def _on(link: Link, offers: Mapping[bytes, Offer | None]) -> dict[bytes, Offer | None]:
    """The same offers; None for those that are not for this link, and for its own addresses."""

    def here(address: bytes, offer: Offer) -> bool:
        if address in link.own:
            return False
        return link.name in offer.interfaces if offer.interfaces is not None else link.reaches(address)

    return {address: offer if offer and here(address, offer) else None for address, offer in offers.items()}
