"""The outage probe as a benchmark holds it: sender and capture at a vantage while it is entered."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from typing import IO, TYPE_CHECKING, Self

from lbproof.spec.families import Family, IPAddress
from lbproof.witnesses import packets
from lbproof_perf.outage_probe.outage import announcers
from lbproof_perf.outage_probe.reading import Reading, quiet, reading, table
from lbproof_perf.outage_probe.sender import Sending
from lbproof_perf.probes import arp_frames
from lbproof_perf.probes.prober import Prober
from lbproof_perf.probes.timestamps import stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lbproof.lab.base import Lab
    from lbproof.witnesses.vantage import Vantage

SPAN = 0.5
"""Seconds without a gap after which all is taken to be well."""
_CENSUS_MAC = "02:00:00:00:fe:01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Seconds between two samples; 0 leaves a stream out."""

    udp: float = 0.001
    tcp: float = 0.01
    census: float = 0.01


class OutageProbe:
    """Measures one address from a vantage."""

    def __init__(  # noqa: D417 - `vantage` and `address` are what they say
        self,
        vantage: Vantage,
        address: IPAddress,
        *,
        census_from: str = "",
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
        self._parts: list[tuple[Prober, bytearray]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start to ask, at once."""
        self.start()
        return self

    def start(self, begin: float = 0.0) -> None:
        """Start to ask at a moment of `time.monotonic()`; the capture starts now."""
        asked = Sending(address=str(self.address), port=self._port, begin=begin, **self._periods)
        with closing(packets.opened(self.vantage, packets.ALL, stamp)) as wire:
            self._run("capture", [str(self.address), str(wire.fileno())], [wire.fileno()])
        if not self._census_from or not asked.census:
            self._run("sender", [json.dumps(asdict(asked))])
            return
        with closing(arp_frames.opened(self.vantage, _CENSUS_MAC)) as wire:
            asked = replace(asked, census_from=(_CENSUS_MAC, self._census_from), descriptor=wire.fileno())
            self._run("sender", [json.dumps(asdict(asked))], [wire.fileno()])

    def _run(self, module: str, arguments: Sequence[str], descriptors: Sequence[int] = ()) -> None:
        data = bytearray()

        def follow(out: IO[bytes]) -> None:
            while chunk := out.read1(1 << 16):  # type: ignore[attr-defined] # a buffered reader, which IO does not say
                data.extend(chunk)

        prober = Prober(
            f"lbproof_perf.outage_probe.{module}",
            arguments,
            follow,
            descriptors=descriptors,
            inside=self.vantage.inside(),
        )
        self._parts.append((self._stack.enter_context(prober), data))

    def reading(self) -> Reading:
        """What was read so far."""
        return reading([table(data) for _, data in self._parts], self._periods, self._macs)

    def until(self, done: Callable[[Reading, float], bool], within: float) -> bool:
        """Wait until `done(what was read so far, now)`, at most so many seconds; whether it came to be.

        Raises RuntimeError when a process of the probe's has ended by itself.
        """
        deadline = time.monotonic() + within
        while (now := time.monotonic()) < deadline:
            if done(self.reading(), now):
                return True
            for prober, _ in self._parts:
                if prober.process.poll() is not None:
                    raise RuntimeError(f"the outage probe's {prober.name} ended with {prober.process.returncode}")
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

    def __exit__(self, *_: object) -> None:
        """Ask no more, and wait for what is under way."""
        self._stack.close()


def at_client(lab: Lab, address: IPAddress, streams: Streams | None = None) -> OutageProbe:
    """An outage probe at the outside client on the segment, with a census from the subnet's last address."""
    last = str(lab.segment.subnet_for(Family.IPV4)[-2])
    return OutageProbe(lab.client(), address, census_from=last, macs=[node.mac for node in lab.nodes], streams=streams)


def at_far(lab: Lab, address: IPAddress) -> OutageProbe:
    """An outage probe at the client behind a router, which no ARP reaches: there is no census."""
    return OutageProbe(lab.routed_client(), address, macs=[node.mac for node in lab.nodes])
