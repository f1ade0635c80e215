"""Where packets to an address go on the segment: a loop of two nodes is seen at the ports of its switch alone."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from lbproof.lab.base import Capability
from lbproof.text import words
from lbproof.witnesses.capture import Capture
from lbproof.witnesses.frames import mac_bytes
from lbproof.witnesses.packets import filter_to, hops_to
from lbproof.witnesses.switch import SwitchListener
from lbproof.witnesses.transport import send_datagrams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.lab.base import Lab
    from lbproof.spec.families import IPAddress

TTL = 64
PACKETS = 5


class Hops:
    """Context manager that records packets to addresses: at the client, and, where a lab has them, at nodes' ports."""

    def __init__(self, lab: Lab, addresses: Sequence[IPAddress]) -> None:
        """Record nothing before it is entered."""
        self._lab, self._addresses = lab, addresses
        self._stack = ExitStack()
        self._capture = Capture(lab.client())
        self._ports: dict[IPAddress, SwitchListener] = {}

    def __enter__(self) -> Self:
        """Start to record."""
        with self._stack:
            self._stack.enter_context(self._capture)
            if self._lab.can(Capability.PORTS):
                ports = self._lab.ports()
                for address in self._addresses:
                    listener = SwitchListener(ports.vantage, ports.nodes, filter_to(address), ignored=ports.own)
                    self._ports[address] = self._stack.enter_context(listener)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop. Raises `ProbeError` when something was lost; recorded packets stay available otherwise."""
        self._stack.close()

    def send(self, port: int) -> None:
        """Send some datagrams from the client to a port of each address."""
        for address in self._addresses:
            send_datagrams(self._lab.client(), address, port, b"lbproof", count=PACKETS, ttl=TTL)

    def sent(self, address: IPAddress) -> bool:
        """Return whether a packet to an address has left the client."""
        own = mac_bytes(self._lab.client().mac)
        return any(hops_to(frame, address) is not None for _, frame in self._capture.frames() if frame[6:12] == own)

    def looped(self) -> str:
        """Say which packets came back to the client, or were sent on by nodes more than once; empty when none was."""
        own = mac_bytes(self._lab.client().mac)
        found: list[str] = []
        for address in self._addresses:
            back = [t for _, f in self._capture.frames() if f[6:12] != own and (t := hops_to(f, address)) is not None]
            if back:
                found.append(f"{len(back)} to {address} came back to the client, with TTLs {words(set(back))}")
            if address not in self._ports:
                continue
            on = [(node, t) for _, node, f in self._ports[address].frames if (t := hops_to(f, address)) is not None]
            least = min((t for _, t in on), default=TTL)
            if least < TTL - 1:
                nodes = words(sorted({node for node, _ in on}))
                found.append(f"{len(on)} to {address} were sent on by {nodes}, down to TTL {least}")
        return "; ".join(found)
