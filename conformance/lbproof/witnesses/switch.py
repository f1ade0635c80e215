"""Frames that enter a segment at the ports of its switch: what one node sends to another is recorded too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from lbproof.probe.protocol import bytes_of, text_of
from lbproof.witnesses import frames, ndp
from lbproof.witnesses.packets import OUTGOING, PACKET_TYPE
from lbproof.witnesses.stream import ProbeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lbproof.witnesses.probe import Probe
    from lbproof.witnesses.stream import Stream
    from lbproof.witnesses.vantage import Vantage

CLAIMS = (
    (0x20, 0, 0, PACKET_TYPE),  # ld [packet type]
    (0x15, 8, 0, OUTGOING),
    (0x28, 0, 0, 12),  # ldh [12]: the EtherType
    (0x15, 5, 0, frames.ETHERTYPE_ARP),
    (0x15, 0, 5, ndp.ETHERTYPE_IPV6),
    (0x30, 0, 0, 20),  # ldb [20]: the next header
    (0x15, 0, 3, 58),
    (0x30, 0, 0, 54),  # ldb [54]: the ICMPv6 type
    (0x15, 0, 1, 136),
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)
"""Classic BPF: ARP and neighbour advertisements that arrive."""


class SwitchListener:
    """Context manager that records the frames that enter at the ports of nodes and pass a filter."""

    def __init__(
        self,
        vantage: Vantage,
        nodes: Mapping[str, str],
        program: Sequence[Sequence[int]],
        *,
        ignored: Sequence[str] = (),
        each: Callable[[float, str, bytes], None] | None = None,
        apart: bool = False,
    ) -> None:
        """`vantage`: place of the ports; `nodes`: port → node; `program`: classic BPF; `ignored`: other interfaces.

        `each`: called with the time, the node and the frame, instead of recording it. `apart`: in a probe of its own.
        """
        self._vantage, self._nodes, self._program, self._ignored = vantage, nodes, program, ignored
        self._frames: list[tuple[float, str, bytes]] = []
        self._each = each or (lambda *row: self._frames.append(row))
        self._apart = apart
        self._probe: Probe | None = None
        self._stream: Stream | None = None

    @property
    def frames(self) -> list[tuple[float, str, bytes]]:
        """Return what has entered so far: time (`time.monotonic()`), node, the beginning of the frame, in order.

        Raises `ProbeError` when something may be missing.
        """
        self.exchange()
        return sorted(self._frames, key=lambda row: row[0])

    def exchange(self) -> None:
        """Wait until all that has entered is recorded. Raises `ProbeError` when something may be missing."""
        if self._stream:
            self._stream.exchange()

    def send(self, frames: Iterable[bytes]) -> None:
        """Send frames from the vantage's interface."""
        if self._stream:
            self._stream.tell({"send": [text_of(frame) for frame in frames]})

    def __enter__(self) -> Self:
        """Start to record."""
        probe = self._vantage.start_probe() if self._apart else self._vantage.probe()

        def keep(record: list[Any]) -> None:
            if record[0] == "frame" and record[2] in self._nodes:
                _, t, port, data = record
                self._each(probe.clock.local(t), self._nodes[port], bytes_of(data))

        asked = {"interface": self._vantage.interface, "filter": self._program, "ignored": self._ignored}
        self._probe = probe
        self._stream = probe.request("ports", each=keep, **asked)
        self._stream.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop. Raises `ProbeError` when frames were lost; recorded ones stay available otherwise."""
        stream, self._stream = self._stream, None
        try:
            dropped = stream.cancel().dropped if stream else 0
        finally:
            if self._apart and self._probe:
                self._probe.close()
        if dropped:
            raise ProbeError(f"ports at {self._vantage.name}: the kernel dropped {dropped} frames")
