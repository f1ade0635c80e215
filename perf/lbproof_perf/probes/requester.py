"""Latency and rate of neighbour replies, by the task `solicit` of a probe of its own."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lbproof.probe.protocol import text_of
from lbproof.spec.families import family_of
from lbproof.witnesses.stream import ProbeError
from lbproof_perf.probes import neighbours

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

PATIENCE = 0.25
"""Seconds after which a request is unanswered."""
_END = 10.0
"""Seconds that a record may take beyond the time of its requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """What came of requests one after the other."""

    took: NDArray[np.float64]
    """Seconds to each reply, NaN where none came."""
    core: int
    """Processor of the vantage that the requester ran on last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volleys:
    """What came of requests on a schedule."""

    sent: int
    answered: int
    seconds: float
    """From the first volley to the end of the last."""


def latencies(record: Mapping[str, Any], where: str) -> Latencies:
    """Read a record of `solicit`. Raises `ProbeError` when the kernel dropped replies: they are not unanswered."""
    if record["dropped"]:
        raise ProbeError(f"requests at {where}: the kernel dropped {record['dropped']} replies")
    return Latencies(took=np.array(record["took"], dtype=np.float64), core=record["core"])


class Requester:
    """Context manager that sends neighbour requests from a vantage: ARP or NDP, as its own address says."""

    def __init__(self, vantage: Vantage, *, mac: str, address: IPAddress) -> None:
        """Requests come from `mac` and `address`, which must be nobody else's. Nothing is started yet."""
        self.address = address
        self._vantage, self._mac = vantage, mac
        self._records: deque[dict[str, Any]] = deque()
        self._seen, self._seconds = 0, 0.0

    def __enter__(self) -> Self:
        """Start the probe and open its sockets. Raises `ProbeError`."""
        self.probe = self._vantage.start_probe()
        try:
            asked = neighbours.replies(self._vantage.interface, self._mac, family_of(self.address))
            self._stream = self.probe.request("solicit", each=self._records.append, **asked)
            self._stream.wait_ready()
        except BaseException:
            self.probe.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever it is doing."""
        self.probe.close()

    def ask(
        self, targets: Sequence[IPAddress], *, within: float = math.inf, patience: float = PATIENCE, stop: bool = False
    ) -> Latencies:
        """Ask for each address in turn; a request is unanswered after `patience` seconds.

        No more is asked after `within` seconds in all, or with `stop` after the first that is unanswered. Raises
        `ProbeError` when the probe has ended or the kernel dropped replies.
        """
        limit = within if math.isfinite(within) else None
        self._tell(targets, do="ask", within=limit, patience=patience, stop=stop)
        self._seconds = min(within, patience * len(targets))
        return latencies(self._record(), self._vantage.name)

    def begin_volleys(self, targets: Sequence[IPAddress], *, rate: float, seconds: float) -> None:
        """Begin to ask for the addresses in turn, over and over: `rate` requests a second, for so many seconds."""
        self._tell(targets, do="volleys", rate=rate, seconds=seconds)
        self._seconds = seconds

    def end_volleys(self) -> Volleys:
        """Wait for the last volley, and return the counts. Raises `ProbeError` when the probe has ended."""
        return Volleys(**self._record())

    def _tell(self, targets: Sequence[IPAddress], **command: Any) -> None:  # noqa: ANN401 - it is JSON
        places = {target: place for place, target in enumerate(dict.fromkeys(targets))}
        rows = [
            (target.packed.hex(), text_of(neighbours.request(mac=self._mac, address=self.address, target=target)))
            for target in places
        ]
        self._stream.tell({"targets": rows, "order": [places[target] for target in targets], **command})

    def _record(self) -> dict[str, Any]:
        """Wait for the next record."""
        self._seen += 1
        self._stream.wait_records(self._seen, self._seconds + _END)
        return self._records.popleft()
