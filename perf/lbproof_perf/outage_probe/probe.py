"""The ruler as a benchmark holds it: probe and capture at a vantage while it is entered."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Self

from lbproof_perf.outage_probe.outage import announcers
from lbproof_perf.outage_probe.reading import Reading, Records, quiet, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lbproof.lab.base import Lab
    from lbproof.witnesses.vantage import Vantage

SPAN = 0.5
"""Seconds without a gap after which all is taken to be well."""
_CENSUS_MAC = "02:00:00:00:fe:01"
_OVER = 5.0
"""Seconds within which the ruler's processes end once they are told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Seconds between two samples; 0 leaves a stream out."""

    udp: float = 0.001
    tcp: float = 0.01
    census: float = 0.01

    def periods(self) -> dict[str, float]:
        """By name."""
        return {"udp": self.udp, "tcp": self.tcp, "census": self.census}


@dataclass(slots=True)
class _Part:
    """One of the ruler's processes, and the thread that reads it."""

    process: subprocess.Popen[bytes]
    records: Records = field(default_factory=Records)
    thread: threading.Thread | None = None

    def follow(self, out: IO[bytes]) -> None:
        while data := out.read1(1 << 16):  # type: ignore[attr-defined] # a buffered reader, which IO does not say
            self.records.data += data


class OutageProbe:
    """Measures one address from a vantage."""

    def __init__(  # noqa: D417 - `vantage` and `address` are what they say
        self,
        vantage: Vantage,
        address: str,
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
        self._streams = streams or Streams()
        self._census_from, self._macs, self._port = census_from, macs, port
        self._parts: list[_Part] = []

    def __enter__(self) -> Self:
        """Start to ask, at once."""
        self.start()
        return self

    def start(self, begin: float = 0.0) -> None:
        """Start to ask at a moment of `time.monotonic()`; the capture starts now."""
        s = self._streams
        sender = [self.address, f"--port={self._port}", f"--interface={self.vantage.interface}", f"--begin={begin}"]
        sender += [f"--udp-period={s.udp}", f"--tcp-period={s.tcp}", f"--census-period={s.census}"]
        if self._census_from and s.census:
            sender.append(f"--census={_CENSUS_MAC},{self._census_from}")
        self._run("capture", [self.address, f"--interface={self.vantage.interface}"])
        self._run("sender", sender)

    def _run(self, module: str, arguments: Sequence[str]) -> None:
        argv = [sys.executable, "-m", f"lbproof_perf.outage_probe.{module}", *arguments]
        part = _Part(self.vantage.popen(argv, stdout=subprocess.PIPE))
        assert part.process.stdout is not None  # noqa: S101 - it was asked for
        part.thread = threading.Thread(
            target=part.follow, args=(part.process.stdout,), name=f"ruler's {module}", daemon=True
        )
        part.thread.start()
        self._parts.append(part)

    def reading(self) -> Reading:
        """What was read so far."""
        tables = [part.records.table() for part in self._parts]
        return reading(tables, self._streams.periods(), self._macs)

    def until(self, done: Callable[[Reading, float], bool], within: float) -> bool:
        """Wait until `done(what was read so far, now)`, at most so many seconds; whether it came to be.

        Raises RuntimeError when a process of the ruler's has ended by itself.
        """
        deadline = time.monotonic() + within
        while (now := time.monotonic()) < deadline:
            if done(self.reading(), now):
                return True
            for part in self._parts:
                if part.process.poll() is not None:
                    raise RuntimeError(f"a process of the ruler's ended with {part.process.returncode}")
            threading.Event().wait(0.05)  # records come all the time: a look each 50 ms is enough
        return False

    def quiet(self, within: float, span: float = SPAN) -> bool:
        """Wait until every stream was answered for `span` seconds from now on; whether it came to be."""
        return self.quiet_after(time.monotonic(), within, span)

    def quiet_after(self, moment: float, within: float, span: float = SPAN) -> bool:
        """Wait until every stream, the census too, was answered for `span` seconds after a moment; whether it was."""

        def well(found: Reading, now: float) -> bool:
            return quiet(found, moment, now, span) and _answered(found, now - span, now)

        return self.until(well, within)

    def __exit__(self, *_: object) -> None:
        """Ask no more, and wait for what is under way."""
        for part in reversed(self._parts):
            part.process.terminate()
        for part in self._parts:
            try:
                part.process.wait(_OVER)
            except subprocess.TimeoutExpired:
                part.process.kill()
                part.process.wait()
            if part.thread:
                part.thread.join()
            if part.process.stdout:
                part.process.stdout.close()


def _answered(found: Reading, begin: float, now: float) -> bool:
    """Whether the census, where there is one, was answered but for a twentieth of the time."""
    _, none = announcers(found, begin, now)
    return none is None or none <= (now - begin) / 20


def at_client(lab: Lab, address: str, streams: Streams | None = None) -> OutageProbe:
    """A ruler at the outside client on the segment, with a census from the subnet's last address."""
    last = str(ipaddress.ip_network(lab.segment.subnet)[-2])
    return OutageProbe(lab.client(), address, census_from=last, macs=[node.mac for node in lab.nodes], streams=streams)


def at_far(lab: Lab, address: str, streams: Streams | None = None) -> OutageProbe:
    """A ruler at the client behind a router, which no ARP reaches: there is no census."""
    return OutageProbe(lab.routed_client(), address, macs=[node.mac for node in lab.nodes], streams=streams)


def names_of(lab: Lab) -> Mapping[str, str]:
    """Node names by hardware address."""
    return {node.mac: node.name for node in lab.nodes}
