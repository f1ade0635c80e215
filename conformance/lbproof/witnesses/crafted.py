"""Frames that no host should send: good ones that are changed at random, by the thousand, or another host's."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Self

from lbproof.probe.protocol import text_of
from lbproof.spec.families import Family, family_of
from lbproof.witnesses import frames, ndp
from lbproof.witnesses.stream import ProbeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.stream import Stream
    from lbproof.witnesses.vantage import Vantage

_SENDER = {Family.IPV4: (28, 4), Family.IPV6: (22, 16)}
"""Offset and length of the sender's address: in an ARP packet (RFC 826), and in the IPv6 header (RFC 8200)."""
_NAMES = {Family.IPV4: (28, 38), Family.IPV6: (22, 38, 62)}
"""Offsets of all addresses: sender and target of an ARP packet; source, destination and target of an NDP message."""
_TYPE = 54
"""Offset of the type of an ICMPv6 message without extension headers (RFC 4861 section 4.3)."""
_NOTHING = ((0x06, 0, 0, 0),)
"""Classic BPF program that accepts no frame."""
LONGEST = 100.0
"""Seconds for which frames are repeated at most: longer than a node is dead in a check."""
PAUSE = 0.05
"""Seconds between the last frame of a recording and the first one again."""
_WITHIN = 120.0
"""Seconds that it may take; a wait without a budget is an error, never a verdict."""
_MOST, _RATE = 100_000, 1000
"""Copies that a `Replayer` sends at most, in all and a second: some twenty kinds of frames for as long as it lasts."""


def flood(vantage: Vantage, family: Family, good: Sequence[bytes], *, count: int, seed: int) -> None:
    """Send so many frames from a vantage as fast as it can. Raises `ProbeError`."""
    arguments = {
        "interface": vantage.interface,
        "protocol": frames.ETHERTYPE_ARP if family is Family.IPV4 else ndp.ETHERTYPE_IPV6,
        "good": [text_of(frame) for frame in good],
        "kept": _SENDER[family],
        "seed": seed,
        "count": count,
    }
    done = vantage.probe().call("flood", within=_WITHIN, **arguments)
    if done.end["sent"] != count:
        raise ProbeError(f"flood at {vantage.name}: {done.end['sent']} of {count} frames were sent")


def from_mac(frame: bytes, mac: str) -> bytes:
    """Return a frame as another hardware address would send it; its payload is left alone."""
    return frame[:6] + bytes.fromhex(mac.replace(":", "")) + frame[12:]


def naming(addresses: Iterable[IPAddress]) -> Iterator[list[tuple[int, str]]]:
    """Yield the bytes of the ARP and NDP messages that name one of some addresses: offsets, and what is there (hex)."""
    arp = (12, frames.ETHERTYPE_ARP.to_bytes(2).hex())
    icmpv6 = [(12, ndp.ETHERTYPE_IPV6.to_bytes(2).hex()), (20, ndp.ICMPV6.to_bytes().hex())]
    for address in addresses:
        family, name = family_of(address), address.packed.hex()
        for at in _NAMES[family]:
            if family is Family.IPV4:
                yield [arp, (at, name)]
            else:
                yield from ([*icmpv6, (_TYPE, kind.to_bytes().hex()), (at, name)] for kind in ndp.Type)


def repeated(recording: Sequence[tuple[float, bytes]], seconds: float) -> Iterator[tuple[float, bytes]]:
    """Yield moment and frame of a recording again and again, at its pace, for so many seconds."""
    lasts = recording[-1][0] + PAUSE
    for turn in itertools.count():
        for after, frame in recording:
            if (at := turn * lasts + after) > seconds:
                return
            yield at, frame


def last_of_each_kind(recording: Sequence[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """Return the last frame of a recording to each destination of each protocol, all at its begin.

    A receiver that compares what counts up may take the last message for a new one, and no earlier one.
    """
    last = {(frame[:6], frame[12:14]): frame for _, frame in recording}
    return [(0.0, frame) for frame in last.values()]


class Repeater:
    """Context manager that sends recorded frames from a vantage again and again, whoever sent them first."""

    def __init__(self, vantage: Vantage, recording: Sequence[tuple[float, bytes]]) -> None:
        """Send nothing before it is entered. `recording`: seconds after its begin, and frames, in order; not empty."""
        self._vantage, self._recording = vantage, recording
        self._stream: Stream | None = None

    def __enter__(self) -> Self:
        """Start to send. Raises `ProbeError`."""
        self._stream = self._vantage.probe().request(
            "frames",
            each=lambda _: None,
            interface=self._vantage.interface,
            protocol=frames.ETHERTYPE_ARP,
            filter=_NOTHING,
            send=[(at, text_of(frame)) for at, frame in repeated(self._recording, LONGEST)],
            seconds=None,
        )
        self._stream.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop. Raises `ProbeError` when it has ended by itself."""
        stream, self._stream = self._stream, None
        if stream:
            stream.cancel()


class Replayer:
    """Context manager that sends the frames of some hosts again from a vantage as they arrive there.

    And the last of each kind again and again, from the first moment on, as the task `replay` of the probe describes.
    """

    def __init__(
        self,
        vantage: Vantage,
        macs: Sequence[str],
        *,
        mac: str = "",
        after: float = 0.0,
        every: float = PAUSE,
        first: Sequence[bytes] = (),
        but: Iterable[IPAddress] = (),
        seconds: float = LONGEST,
    ) -> None:
        """Send nothing before it is entered.

        `macs`: of the hosts. `mac`: from which copies are sent, the original one by default. `after`: seconds from a
        frame to its copy. `every`: seconds between two copies of the last frames, 0 for none. `first`: frames that
        count as heard before. `but`: addresses; ARP and NDP messages that name one of these are left out. `seconds`:
        until nothing is sent any more.
        """
        self.counts: dict[str, int] = {}
        """Frames `heard`, copies `sent`, copies `withheld` by a bound, and frames `lost` in the kernel; at the end."""
        self._vantage = vantage
        self._asked: dict[str, Any] = {
            "hosts": [frames.mac_bytes(one).hex() for one in macs],
            "source": frames.mac_bytes(mac).hex(),
            "after": after,
            "every": every,
            "first": [text_of(frame) for frame in first],
            "skip": list(naming(but)),
            "seconds": seconds,
            "most": _MOST,
            "rate": _RATE,
        }
        self._stream: Stream | None = None

    def __enter__(self) -> Self:
        """Start to hear and send. Raises `ProbeError`."""
        self._stream = self._vantage.probe().request("replay", interface=self._vantage.interface, **self._asked)
        self._stream.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop. Raises `ProbeError` when it has failed."""
        stream, self._stream = self._stream, None
        if stream:
            done = stream.cancel()
            self.counts = {**done.end, "lost": done.dropped}
