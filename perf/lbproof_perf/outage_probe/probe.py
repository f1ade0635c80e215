"""The outage probe as a benchmark holds it: the tasks `streams` and `classify` at a vantage while it is entered."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from lbproof.probe.protocol import bytes_of, text_of
from lbproof.spec.families import family_of
from lbproof.witnesses.stream import ProbeError
from lbproof_perf.outage_probe.outage import announcers
from lbproof_perf.outage_probe.reading import Reading, quiet, reading, table
from lbproof_perf.outage_probe.rules import rules
from lbproof_perf.probes import neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from lbproof.lab.base import Lab
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.probe import Probe
    from lbproof.witnesses.stream import Stream
    from lbproof.witnesses.vantage import Vantage

SPAN = 0.5
"""Seconds without a gap after which all is taken to be well."""
TIMEOUT = 1.0
"""Seconds after which a sample counts as lost."""
_CENSUS_MAC = "02:00:00:00:fe:01"
_END = 10.0
"""Seconds that a task may take to end, beyond what it still waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Seconds between two samples; 0 leaves a stream out."""

    udp: float = 0.001
    tcp: float = 0.01
    census: float = 0.01


class _Part:
    """One task in a probe of its own: it shares neither interpreter nor queue with the other one."""

    def __init__(self, vantage: Vantage) -> None:
        """Start the probe, and no task yet. Raises `ProbeError`."""
        self.probe: Probe = vantage.start_probe()
        self._data = bytearray()
        self._stream: Stream | None = None

    def start(self, task: str, **arguments: Any) -> None:  # noqa: ANN401 - JSON
        """Start the task, and wait until it observes."""
        self._stream = self.probe.request(task, each=lambda text: self._data.extend(bytes_of(text)), **arguments)
        self._stream.wait_ready()

    def rows(self) -> NDArray[np.void]:
        """Return the rows so far, on this process's clock. Raises `ProbeError` when the task has failed."""
        if self._stream:
            _ = self._stream.ended
        return table(self._data, self.probe.clock)

    def require_running(self) -> None:
        """Raise `ProbeError` when the task has ended."""
        if self._stream:
            self._stream.require_running()

    def end(self) -> None:
        """End the task. Raises `ProbeError` when the kernel dropped what it would have recorded."""
        if self._stream and not self._stream.ended:
            dropped = self._stream.cancel(within=TIMEOUT + _END).dropped
            if dropped:
                raise ProbeError(f"{self._stream.what}: the kernel dropped {dropped} frames")


class OutageProbe:
    """Measures one address from a vantage."""

    def __init__(  # noqa: D417 - `vantage` and `address` are what they say
        self,
        vantage: Vantage,
        address: IPAddress,
        *,
        census_from: IPAddress | None = None,
        macs: Sequence[str] = (),
        port: int = 80,
        streams: Streams | None = None,
    ) -> None:
        """Nothing is asked before it is entered.

        Args:
            census_from: an address of the segment that is nobody's, which the census asks from; without, none is made.
            macs: of the nodes, in an order that the reader knows.
        """
        self.vantage, self.address = vantage, address
        self._periods = asdict(streams or Streams())
        self._census_from, self._macs, self._port = census_from, macs, port
        self._parts: list[_Part] = []

    def open(self) -> None:
        """Start its probes, without asking yet. Raises `ProbeError`."""
        with ExitStack() as until_opened:
            until_opened.callback(self.close)
            while len(self._parts) < 2:  # noqa: PLR2004 - one sends, one captures
                self._parts.append(_Part(self.vantage))
            until_opened.pop_all()

    def __enter__(self) -> Self:
        """Start to ask, at once."""
        self.open()
        with ExitStack() as until_started:
            until_started.callback(self.close)
            self.start()
            until_started.pop_all()
        return self

    def start(self, begin: float = 0.0) -> None:
        """Start to ask at a moment of `time.monotonic()`, 0 for at once; the capture starts now. It must be open."""
        capture, sender = self._parts
        capture.start("classify", interface=self.vantage.interface, rules=rules(self.address))
        question, replies = None, None
        if self._census_from and self._periods["census"]:
            asked = neighbours.request(mac=_CENSUS_MAC, address=self._census_from, target=self.address)
            question = text_of(asked)
            replies = neighbours.replies(self.vantage.interface, _CENSUS_MAC, family_of(self.address))
        sender.start(
            "streams",
            host=str(self.address),
            port=self._port,
            path="/hostname",
            begin=sender.probe.clock.remote(begin) if begin else 0.0,
            question=question,
            replies=replies,
            timeout=TIMEOUT,
            **self._periods,
        )

    @property
    def probes(self) -> list[Probe]:
        """Its probes: of the capture, of the sender."""
        return [part.probe for part in self._parts]

    def reading(self) -> Reading:
        """What was read so far. Raises `ProbeError` when records were lost."""
        worst = max((part.probe.clock for part in self._parts), key=lambda clock: clock.uncertainty)
        clocks = {self.vantage.name: worst}
        return reading([part.rows() for part in self._parts], self._periods, self._macs, clocks)

    def until(self, done: Callable[[Reading, float], bool], within: float) -> bool:
        """Wait until `done(what was read so far, now)`, at most so many seconds; whether it came to be.

        Raises `ProbeError` when a task of the probe's has ended by itself.
        """
        deadline = time.monotonic() + within
        while (now := time.monotonic()) < deadline:
            if done(self.reading(), now):
                return True
            for part in self._parts:
                part.require_running()
            threading.Event().wait(0.05)  # records come all the time: a look each 50 ms is enough
        return False

    def quiet(self, within: float, *, after: float | None = None, span: float = SPAN) -> bool:
        """Wait until every stream, the census too, was answered for `span` seconds; whether it was.

        All of them after a moment of `time.monotonic()`: by default from now on.
        """
        since = time.monotonic() if after is None else after

        def well(found: Reading, now: float) -> bool:
            _, none = announcers(found, now - span, now)
            return quiet(found, since, now, span) and (none is None or none <= span / 20)

        return self.until(well, within)

    def __exit__(self, kind: object = None, *_: object) -> None:
        """Ask no more, and wait for what is pending. Raises `ProbeError` when the kernel dropped frames."""
        try:
            if kind is None:
                for part in reversed(self._parts):  # the capture sees the last sample
                    part.end()
        finally:
            self.close()

    def close(self) -> None:
        """End its probes, whatever they are doing."""
        for part in self._parts:
            part.probe.close()


def at_client(lab: Lab, address: IPAddress, streams: Streams | None = None) -> OutageProbe:
    """An outage probe at the outside client on the segment, with a census from the subnet's last address."""
    last = lab.segment.subnet_for(family_of(address))[-2]
    return OutageProbe(lab.client(), address, census_from=last, macs=[node.mac for node in lab.nodes], streams=streams)


def at_far(lab: Lab, address: IPAddress) -> OutageProbe:
    """An outage probe at the client behind a router, which no ARP or NDP reaches: there is no census."""
    return OutageProbe(lab.routed_client(), address, macs=[node.mac for node in lab.nodes])
