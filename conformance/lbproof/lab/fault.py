"""Faults in a lab, and interfaces that are added to it: each has an effect from one moment to another, and an undo."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage


@dataclass(slots=True, kw_only=True)
class Fault:
    """Fault in a lab, from its effect until its undo."""

    kind: str
    """`power-cut`, `cable`, `silent-cut`, `partition`, `freeze`, `freeze-pod`, `kill`, `stop-api`, `drop`,
    `api-cut`, `one-way-loss`, `second-nic`, `foreign-host`, `clock-behind`, `silent-kubelet`,
    `new-segment`, `second-subnet`: the value of its capability."""
    target: str
    """Target, for a reader: `node w02`, `w01 | w03`, `speaker-x7k2p on w02`."""
    began: float
    """`time.monotonic()` of this machine after it took effect; all vantages of a lab share that clock."""
    undo_with: Callable[[], None]
    ended: float | None = None
    before: float | None = None
    """The same clock just before the fault, which took effect between then and `began`. None if only one moment was
    measured."""

    @property
    def earliest(self) -> float:
        """Earliest moment at which it can have taken effect."""
        return self.began if self.before is None else self.before

    def undo(self) -> None:
        """Restore the previous state; the second call has no effect."""
        if self.ended is None:
            self.undo_with()
            self.ended = time.monotonic()


@dataclass(slots=True, kw_only=True)
class Attachment(Fault):
    """Interface that is added to the first segment, until its undo."""

    vantage: Vantage
    """Host that has it; its interface, hardware address and addresses are those of the new interface."""


@dataclass(slots=True, kw_only=True)
class NewSubnet(Attachment):
    """Subnet that some nodes have an address of, until its undo; its `vantage` is a client there."""

    free: tuple[IPAddress, ...]
    """Unused addresses there, of all families; those of one family in order."""
    macs: Mapping[str, str]
    """Hardware address on the segment of the subnet → node, also of those that lack the subnet."""


@dataclass(slots=True, kw_only=True)
class NewSegment(NewSubnet):
    """Second segment that all nodes are joined to, until its undo."""

    interfaces: Mapping[str, str]
    """Node → its interface there."""
