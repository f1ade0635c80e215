"""Rules that sort frames by their bytes, given as data: what the bytes mean is known to whoever gives them.

A rule is an object `{"kind": number, "outgoing": bool, "equal": [[offset, hex], ...], "bits": [[offset, mask, value],
...], "same": [[offset, offset, length], ...], "mac": offset, "changed": bool}`. It matches a frame that the vantage
itself sends, or one that arrives, whose bytes at all `equal` are those, whose byte at each of `bits` has this value
under the mask, and whose bytes at both offsets of each of `same` are alike. `mac` is the offset of the hardware address
that is reported. With `changed`, a frame is reported only when it has another one than the last frame that matched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAC = 6
"""Length of a hardware address in bytes."""


@dataclass(slots=True)
class _Rule:
    """A rule, with its slices made."""

    kind: int
    equal: tuple[tuple[slice, bytes], ...]
    bits: tuple[tuple[int, int, int], ...]
    same: tuple[tuple[slice, slice], ...]
    mac: slice
    changed: bool
    last: bytes = b""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Make it from its JSON object."""
        equal = [(offset, bytes.fromhex(text)) for offset, text in row["equal"]]
        return cls(
            kind=row["kind"],
            equal=tuple((slice(offset, offset + len(value)), value) for offset, value in equal),
            bits=tuple((offset, mask, value) for offset, mask, value in row["bits"]),
            same=tuple((slice(a, a + length), slice(b, b + length)) for a, b, length in row["same"]),
            mac=slice(row["mac"], row["mac"] + _MAC),
            changed=row["changed"],
        )

    def matches(self, frame: bytes) -> bool:
        """Return whether a frame of the right direction is one of it."""
        for place, value in self.equal:
            if frame[place] != value:
                return False
        if not all(offset < len(frame) and frame[offset] & mask == value for offset, mask, value in self.bits):
            return False
        return all(frame[one] == frame[other] for one, other in self.same)


class Rules:
    """Rules in order: the first that matches a frame counts."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Make them from their JSON objects."""
        rules = [(bool(row["outgoing"]), _Rule.of(row)) for row in rows]
        self._of = {direction: [rule for sent, rule in rules if sent is direction] for direction in (True, False)}

    def find(self, frame: bytes, *, outgoing: bool) -> tuple[int, bytes] | None:
        """Return the kind of a frame and its hardware address; None when it is not reported."""
        for rule in self._of[outgoing]:
            if rule.matches(frame):
                mac = frame[rule.mac]
                if rule.changed and mac == rule.last:
                    return None
                rule.last = mac
                return rule.kind, mac
        return None
