"""Socket for neighbour requests and their replies, for tasks that know neither ARP nor NDP.

It is given as an object `{"interface": name, "protocol": EtherType, "filter": [[code, jt, jf, k], ...], "target":
[offset, length], "mac": offset}`: the filter lets replies to the task's requests pass and nothing else; `target` is
where a reply has the address that was asked for, and `mac` where it has the hardware address.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from lbproof.probe.packets import PacketSocket

if TYPE_CHECKING:
    from collections.abc import Mapping

REPLY_BYTES = 128
"""Bytes of a reply that are read."""
_MAC = 6
"""Length of a hardware address in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a reply has what it says."""

    target: slice
    mac: slice

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Make it from the JSON object."""
        offset, length = row["target"]
        return cls(target=slice(offset, offset + length), mac=slice(row["mac"], row["mac"] + _MAC))


def opened(row: Mapping[str, Any]) -> PacketSocket:
    """Open the socket; the caller closes it. Raises `OSError`."""
    return PacketSocket(row["interface"], row["protocol"], row["filter"])
