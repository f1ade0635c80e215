"""Event loop of the speaker: timers, sockets and links around one `Segment` per interface.

Each callback first checks whether this process was suspended. If so, it receives the heartbeats that arrived meanwhile
and discards queued requests and solicitations before it does anything else.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import structlog

from lbproof_reference.frames import ETHERNET, announcements, arp_reply, ndp_reply, read_arp, read_ndp
from lbproof_reference.speaker.conflicts import Conflicts
from lbproof_reference.speaker.elect import Station
from lbproof_reference.speaker.heartbeat import InvalidHeartbeatError, decode, encode, origin, relayed
from lbproof_reference.speaker.missing import MissingInterfaces
from lbproof_reference.speaker.plan import reaches
from lbproof_reference.speaker.segment import Segment
from lbproof_reference.speaker.subnets import other_subnets, own_subnets
from lbproof_reference.speaker.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from lbproof_reference.frames import ArpFrame, NdpFrame
    from lbproof_reference.speaker.keys import Keyring
    from lbproof_reference.speaker.links import Link
    from lbproof_reference.speaker.plan import Offer

ANNOUNCE_SECONDS = (0.0, 0.1, 1.1, 3.0)
"""Delays (s) of announcements: frames may be lost, and some hosts ignore changes within 1 s (`locktime`)."""
RETRANS_TIMER = 1.0
"""Shortest time (s) between two unsolicited advertisements of an address (RFC 4861 sections 7.2.6 and 10)."""
_BATCH = 64
"""Addresses processed or announced per event loop iteration."""
_GATHER_SECONDS = 0.002
"""Delay after received claims, to process those of a burst together."""
_GOODBYE_SECONDS = 0.3
AGAIN_SECONDS = 0.2
"""Time (s) after which a link is opened again."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the speakers of a node have in common."""

    node: str
    keyring: Keyring
    interval: float
    """Time between two heartbeats (s)."""
    misses: int
    on_acquired: Callable[[str], None]
    """Called with each Service of an acquired address, and with one that comes to have an announced one."""
    on_conflict: Callable[[str, str], None]
    """Called with a Service and a message when another host uses one of its addresses."""
    on_unannounced: Callable[[str, str], None] = lambda *_: None
    """Called with a Service and a message when no node has an interface that may announce one of its addresses."""
    is_outdated: Callable[[], bool] = lambda: False
    """Whether this node is cut from the API server, asked with each heartbeat."""
    interfaces: Sequence[str] = ("*",)
    """Patterns (fnmatch) of the interfaces that are used."""


class SegmentSpeaker:
    """Speaker on one interface."""

    def __init__(self, config: Config, link: Link, lost: Callable[[], None]) -> None:
        """Open the sockets, and call `lost` when the link is down. Raises OSError when the interface is gone."""
        self.link, self._config, self._lost = link, config, lost
        self._wire = Wire(link)
        self._conflicts = Conflicts()
        self._loop = asyncio.get_running_loop()
        self.is_open = True
        self._reads_at_once = True
        self._filter_is_old = self._filter_is_wide = False
        self._heartbeat_due = time.monotonic()
        self.segment = Segment(
            me=Station(config.node, link.name),
            mac=link.mac,
            subnets=own_subnets(link),
            session=secrets.randbits(32),
            dead_interval=config.interval * config.misses,
            now=self._heartbeat_due,
        )
        self._loop.add_reader(self._wire.heartbeat, self._on_heartbeat)
        self._loop.add_reader(self._wire.arp, self._on_arp)
        self._loop.add_reader(self._wire.ndp, self._on_ndp)
        self._timer = self._loop.call_at(self._heartbeat_due, self._on_timer)

    def close(self) -> None:
        """Stop sending and answering at once; idempotent."""
        if not self.is_open:
            return
        self.is_open = False
        self._timer.cancel()
        for sock in (self._wire.heartbeat, self._wire.arp, self._wire.ndp):
            self._loop.remove_reader(sock)
        self._wire.close()

    def set_link(self, link: Link) -> None:
        """Use the subnets of the link as it is now."""
        self.link = link
        self.segment.set_subnets(own_subnets(link))

    def set_other_links(self, links: Iterable[Link]) -> None:
        """Name the subnets of the node's other links in heartbeats."""
        self.segment.set_elsewhere(other_subnets(self.link, links))

    def set_desired(self, changes: Mapping[bytes, Offer | None]) -> None:
        """Change the addresses to announce on this segment; None removes one."""
        joined = [
            (address, service)
            for address, offer in changes.items()
            if offer and address in self.segment.claims and (before := self.segment.desired.get(address))
            for service in offer.services
            if service not in before.services
        ]
        self.segment.set_desired(changes)
        if self.is_open:
            self._reconcile(self._awake())
        for address, service in joined:
            if address in self.segment.claims:
                self._config.on_acquired(service)

    def leave(self) -> None:
        """Start the handover to other speakers."""
        self.segment.leave()
        if self.is_open:
            self._reconcile(self._awake())

    def _awake(self) -> float:
        """Return the time (monotonic, s); handle a suspension first if a heartbeat was missed."""
        now = time.monotonic()
        late = now - self._timer.when()
        if late <= self._config.interval:
            return now
        log.warning("process was suspended", interface=self.link.name, late_ms=round(late * 1000))
        for received in (self._wire.requests, self._wire.solicitations):
            for _ in received(limit=1 << 16):
                continue
        self._receive(now)
        self.segment.on_suspend(now, late)
        self._reconcile(now)
        return now

    def _receive(self, now: float) -> bool:
        """Process the queued heartbeats and relay some; return whether one may change who announces what."""
        news, keys = False, self._config.keyring.keys(now)
        self._wire.accept_heartbeats_of(keys)
        for frame, age in self._wire.heartbeats():
            data = frame[ETHERNET.size :]
            arrived = now - min(max(age, 0), self._config.interval)  # the clock of the day may have been set meanwhile
            try:
                if not self.segment.peers.is_known(*origin(data)):  # a recorded frame costs a fiftieth of decoding it
                    news |= self.segment.receive(decode(data, keys), data, arrived)
            except InvalidHeartbeatError as error:
                log.debug("invalid heartbeat", interface=self.link.name, error=str(error))
        for data in self.segment.peers.take_relays(now):
            self._wire.send_heartbeat(relayed(data))
        self._wake_by(max(now + _GATHER_SECONDS, now if news else self.segment.news_due()))
        return news

    def _on_heartbeat(self) -> None:
        self._receive(self._awake())

    def _read_at_once(self, *, at_once: bool) -> None:
        """Read heartbeats when they arrive, or with the timer, which costs a fraction of the processor time."""
        if self._reads_at_once != at_once:
            self._reads_at_once = at_once
            if at_once:
                self._loop.add_reader(self._wire.heartbeat, self._on_heartbeat)
            else:
                self._loop.remove_reader(self._wire.heartbeat)

    def _on_arp(self) -> None:
        now = self._awake()
        for frame in self._wire.requests():
            if (arp := read_arp(frame)) and self._process(arp, now):
                self._wire.send(arp_reply(arp, self.link.mac))
        self._wake_by(max(now + _GATHER_SECONDS, self.segment.news_due()))

    def _on_ndp(self) -> None:
        now = self._awake()
        for frame in self._wire.solicitations():
            if (ndp := read_ndp(frame)) and self._process(ndp, now):
                self._wire.send(ndp_reply(ndp, self.link.mac))
        self._wake_by(max(now + _GATHER_SECONDS, self.segment.news_due()))

    def _process(self, frame: ArpFrame | NdpFrame, now: float) -> bool:
        """Defend the sender's address if it is one of ours; return whether the frame is answered."""
        if self.segment.answers(frame.sender, now) and not self.segment.is_station(frame.mac):
            self._defend(frame, now)
        if is_answered := frame.needs_reply and self.segment.answers(frame.target, now):
            self.segment.on_received(now)
        return is_answered

    def _defend(self, frame: ArpFrame | NdpFrame, now: float) -> None:
        """Announce an address that another host uses too, and report the first frame of a conflict."""
        defence = self._conflicts.defend(frame.sender, now)
        if defence.delay is not None:
            self._loop.call_later(defence.delay, self._announce_again, (frame.sender,))
        if defence.begins and (offer := self.segment.desired.get(frame.sender)):
            address, mac = str(ipaddress.ip_address(frame.sender)), frame.mac.hex(":")
            log.warning("address conflict", interface=self.link.name, address=address, service=offer.service, mac=mac)
            self._config.on_conflict(offer.service, f"{address} is also used by the host with MAC address {mac}")

    def _on_timer(self) -> None:
        now = self._awake()
        news = self._receive(now)
        if self._wire.lost:
            self.close()
            self._lost()
            return
        for peer in self.segment.expire_peers(now):
            log.info("peer dead", interface=self.link.name, node=peer.node, peer_interface=peer.interface)
        if now >= self._heartbeat_due:
            self._heartbeat_due = max(self._heartbeat_due + self._config.interval, now)
            self.segment.set_outdated(self._config.is_outdated())
            self._send_heartbeats(now, beat=True)
        self._read_at_once(at_once=news or not self.segment.is_calm(now))
        self._reconcile(now)

    def _send_heartbeats(self, now: float, *, beat: bool) -> None:
        keys = self._config.keyring.keys(now)
        for heartbeat in self.segment.heartbeats(now, beat=beat):
            self._wire.send_heartbeat(encode(heartbeat, keys))

    def _wake_by(self, when: float) -> None:
        """Let the timer expire at a time (monotonic, s), if it would later."""
        if when < self._timer.when():
            self._wake_at(when)

    def _wake_at(self, when: float) -> None:
        self._timer.cancel()
        self._timer = self._loop.call_at(when, self._on_timer)

    def _reconcile(self, now: float) -> None:
        """Act on what changed, and set the timer for what is left, the next heartbeat or the next deadline."""
        done = self.segment.reconcile(now, _BATCH)
        self._wire.groups.leave(done.withdraw)
        self._wire.groups.join(done.acquire)
        self._set_filter(acquires=bool(done.acquire), changes=bool(done.acquire or done.withdraw), now=now)
        if self.segment.news_due() <= now:
            self._send_heartbeats(now, beat=False)
        self._wake_at(min(self._heartbeat_due, self.segment.news_due(), self.segment.next_deadline(now)))
        if not self.segment.is_settled(now):
            self._wake_by(now)
        if fresh := (*done.acquire, *done.defend):
            self._announce(fresh)
            for delay in ANNOUNCE_SECONDS[1:]:
                due = tuple(address for address in fresh if delay >= RETRANS_TIMER or len(address) == 4)  # noqa: PLR2004
                self._loop.call_later(delay, self._announce_again, due)
        for address in done.acquire:
            for service in self.segment.desired[address].services:
                self._config.on_acquired(service)

    def _set_filter(self, *, acquires: bool, changes: bool, now: float) -> None:
        """Receive requests for the claimed addresses; for all desired ones while a burst is processed.

        To build a filter for thousands of addresses takes milliseconds, so that is not done with each batch.
        """
        self._filter_is_old |= changes
        if self._filter_is_old and self.segment.is_settled(now):
            self._filter_is_old = self._filter_is_wide = False
            self._wire.accept_requests_for(self.segment.claims)
        elif acquires and not self._filter_is_wide:
            self._filter_is_wide = True
            self._wire.accept_requests_for(self.segment.claims.keys() | self.segment.desired.keys())

    def _announce(self, addresses: tuple[bytes, ...]) -> None:
        """Announce in batches the addresses that are still answered."""
        now = time.monotonic()
        for address in addresses[:_BATCH]:
            if self.segment.answers(address, now):
                for frame in announcements(address, self.link.mac):
                    self._wire.send(frame)
        if rest := addresses[_BATCH:]:
            self._loop.call_soon(self._announce_again, rest)

    def _announce_again(self, addresses: tuple[bytes, ...]) -> None:
        if self.is_open:
            self._awake()
            self._announce(addresses)


class Speaker:
    """Speaker of a node: one `SegmentSpeaker` for each link that is up."""

    def __init__(self, config: Config) -> None:
        """Start without links and addresses."""
        self._config = config
        self._segment_speakers: dict[str, SegmentSpeaker] = {}
        self._offers: dict[bytes, Offer] = {}
        self._links: Mapping[str, Link] = {}
        self._again: asyncio.TimerHandle | None = None
        self._missing = MissingInterfaces(config.node, config.on_unannounced, self._segments)

    def use_links(self, links: Mapping[str, Link]) -> None:
        """Apply the links that netlink reports; a new or replaced link starts with a listening period."""
        is_changed, self._links = links != self._links, links
        for name, segment_speaker in list(self._segment_speakers.items()):
            link = links.get(name)
            if link is None or not segment_speaker.is_open or not segment_speaker.link.is_same(link):
                log.info("link down", interface=name)
                segment_speaker.close()
                del self._segment_speakers[name]
            elif is_changed:
                segment_speaker.set_link(link)
        for name, link in links.items():
            if name not in self._segment_speakers and any(fnmatchcase(name, one) for one in self._config.interfaces):
                is_changed |= self._open_link(link)
        if is_changed:
            for name, segment_speaker in self._segment_speakers.items():
                segment_speaker.set_other_links([link for link in links.values() if link.name != name])
            self._offer_again(list(self._offers))

    def set_desired(self, changes: Mapping[bytes, Offer | None]) -> None:
        """Change the addresses to announce; None removes one."""
        for address, offer in changes.items():
            if offer is None:
                self._offers.pop(address, None)
            else:
                self._offers[address] = offer
        self._offer(changes)
        self._missing.set_desired(changes)

    def _segments(self) -> list[Segment]:
        return [one.segment for one in self._segment_speakers.values() if one.is_open]

    def _offer_again(self, addresses: list[bytes]) -> None:
        """Offer addresses to all links, in batches, so that no heartbeat is late."""
        self._offer({address: self._offers.get(address) for address in addresses[:_BATCH]})
        if rest := addresses[_BATCH:]:
            asyncio.get_running_loop().call_soon(self._offer_again, rest)

    def _offer(self, changes: Mapping[bytes, Offer | None]) -> None:
        for segment_speaker in self._segment_speakers.values():
            segment_speaker.set_desired(offers_for_link(segment_speaker.link, self._links.values(), changes))

    async def leave(self) -> None:
        """Hand over all addresses, with a timeout, then close."""
        self._missing.close()
        for segment_speaker in self._segment_speakers.values():
            segment_speaker.leave()
        deadline = time.monotonic() + _GOODBYE_SECONDS
        while any(s.is_open and s.segment.claims for s in self._segment_speakers.values()):
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(self._config.interval / 10)
        for segment_speaker in self._segment_speakers.values():
            segment_speaker.close()

    def _open_link(self, link: Link) -> bool:
        """Start to speak on a link. Return False if its sockets cannot be opened; that is tried again."""
        try:
            self._segment_speakers[link.name] = SegmentSpeaker(self._config, link, self._use_links_again)
        except OSError as error:
            log.warning("link not usable", interface=link.name, error=repr(error))
            self._use_links_again()
            return False
        log.info("link up", interface=link.name, mac=link.mac.hex(":"))
        return True

    def _use_links_again(self) -> None:
        """Open links later that are up and closed: whose sockets failed, or could not be opened."""
        if self._again:
            self._again.cancel()
        self._again = asyncio.get_running_loop().call_later(AGAIN_SECONDS, lambda: self.use_links(self._links))


def offers_for_link(
    link: Link, links: Collection[Link], offers: Mapping[bytes, Offer | None]
) -> dict[bytes, Offer | None]:
    """Return the offers, with None for what is not for this one of the node's links.

    That is: the node's own addresses, and addresses that another link reaches and this one does not, unless an
    advertisement names this one. Which of the stations on the segment reach an address is decided by `plan`.
    """
    own = frozenset[bytes]().union(*(one.own for one in links))
    mine, all_subnets = own_subnets(link), [own_subnets(one) for one in links]

    def is_allowed(address: bytes, offer: Offer) -> bool:
        if address in own:
            return False
        if reaches(mine, address) or not any(reaches(subnets, address) for subnets in all_subnets):
            return True
        return any(one.interfaces is not None and link.name in one.interfaces for one in offer.allowed)

    return {address: offer if offer and is_allowed(address, offer) else None for address, offer in offers.items()}
