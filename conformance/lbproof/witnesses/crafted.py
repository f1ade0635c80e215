"""Frames that no host should send, by the thousand: good ones that are changed at random, from a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.probe.protocol import text_of
from lbproof.spec.families import Family
from lbproof.witnesses import frames, ndp
from lbproof.witnesses.stream import ProbeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.witnesses.vantage import Vantage

_SENDER = {Family.IPV4: (28, 4), Family.IPV6: (22, 16)}
"""Offset and length of the sender's address: in an ARP packet (RFC 826), and in the IPv6 header (RFC 8200)."""
_WITHIN = 120.0
"""Seconds that it may take; a wait without a budget is an error, never a verdict."""


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
