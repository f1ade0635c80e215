"""What the outage probe read, as arrays, and the little that must be known of it while it still reads. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lbproof.probe.rows import ROW, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lbproof.witnesses.clock import Clock

    Floats = NDArray[np.float64]

DTYPE = (("kind", "<u8"), ("mac", "<u8"), ("a", "<f8"), ("b", "<f8"), ("c", "<f8"))
"""Rows of `lbproof.probe.rows`."""
_HOLE = 2.5
"""Periods between two samples that came, from which on one is missing between them."""
_UNDER_WAY = 0.1
"""Seconds that the newest sample's record may be on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Samples of one stream in the order in which they were due; NaN for one without an answer."""

    due: Floats
    answered: Floats
    between: Floats
    """UDP: when it was sent; TCP: when the connection stood."""

    @property
    def lost(self) -> NDArray[np.bool_]:
        """Which samples were never answered."""
        return np.isnan(self.answered)

    def since(self, begin: float, end: float = np.inf) -> Samples:
        """The samples that were due in a span."""
        within = (self.due >= begin) & (self.due < end)
        return Samples(due=self.due[within], answered=self.answered[within], between=self.between[within])


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Frames of one kind: when, and from (or to) which node."""

    at: Floats
    who: NDArray[np.int64]
    """Index into `Reading.macs`."""

    def since(self, begin: float, end: float = np.inf) -> Heard:
        """The frames of a span."""
        within = (self.at >= begin) & (self.at < end)
        return Heard(at=self.at[within], who=self.who[within])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Everything that the outage probe saw of one address; all moments are of this process's `time.monotonic()`."""

    udp: Samples
    tcp: Samples
    asked: Floats
    """When the census asked."""
    answers: Heard
    announced: Heard
    garp_ignored: Heard
    signals: Heard
    turned: Heard
    macs: tuple[str, ...]
    periods: Mapping[str, float]
    """Seconds between two samples of `udp`, `tcp` and `census`."""
    clocks: Mapping[str, Clock] = field(default_factory=dict)
    """Vantage → its clock, by which the moments were converted."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The raw data as docs/figures.md names them, and the frames."""
        found: dict[str, NDArray[Any]] = {
            "udp_due": self.udp.due,
            "udp_sent": self.udp.between,
            "udp_answered": self.udp.answered,
            "tcp_due": self.tcp.due,
            "tcp_connected": self.tcp.between,
            "tcp_answered": self.tcp.answered,
            "census_due": self.asked,
        }
        found["census_who"], found["census_count"] = self.census()
        frames = {
            "answers": self.answers,
            "announced": self.announced,
            "mumbled": self.garp_ignored,  # the name of the first format
            "signals": self.signals,
            "turned": self.turned,
        }
        for name, heard in frames.items():
            found |= {f"{name}_at": heard.at, f"{name}_who": heard.who}
        return found

    def census(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each question who answered it first, -1 for nobody, and how many did, before the next one was asked."""
        who = np.full(len(self.asked), -1, dtype=np.int64)
        place = np.searchsorted(self.asked, self.answers.at, side="right") - 1
        heard = place >= 0
        pairs = np.unique(place[heard] * len(self.macs) + self.answers.who[heard])
        questions, at = np.unique(place[heard], return_index=True)
        who[questions] = self.answers.who[heard][at]
        count = np.bincount(pairs // max(1, len(self.macs)), minlength=len(self.asked))
        return who, count


def table(data: bytes | bytearray, clock: Clock | None = None) -> NDArray[np.void]:
    """The rows that one task has recorded, whole ones; their moments are converted from a vantage's clock."""
    rows = np.frombuffer(bytes(data[: len(data) // ROW.size * ROW.size]), dtype=list(DTYPE))
    if clock and clock.offset:
        rows = rows.copy()
        for name in ("a", "b", "c"):
            rows[name] -= clock.offset
    return rows


def reading(
    tables: Sequence[NDArray[np.void]],
    periods: Mapping[str, float],
    macs: Sequence[str] = (),
    clocks: Mapping[str, Clock] | None = None,
) -> Reading:
    """Put the tables of the outage probe's tasks together. `macs` are those of the nodes, which then go first."""
    rows = np.concatenate(tables)
    rows = rows[np.argsort(rows["a"], kind="stable")]
    met, place = np.unique(rows["mac"][rows["mac"] > 0], return_inverse=True)
    texts = [int(mac).to_bytes(6).hex(":") for mac in met]
    known = list(dict.fromkeys([*macs, *texts]))
    who = np.full(len(rows), -1)
    who[rows["mac"] > 0] = np.array([known.index(text) for text in texts], dtype=np.int64)[place]

    def stream(kind: Kind) -> Samples:
        found = rows[rows["kind"] == kind]
        return Samples(due=found["a"].copy(), between=found["b"].copy(), answered=found["c"].copy())

    def heard(kind: Kind) -> Heard:
        within = rows["kind"] == kind
        return Heard(at=rows["a"][within], who=who[within])

    return Reading(
        udp=stream(Kind.UDP),
        tcp=stream(Kind.TCP),
        asked=heard(Kind.ASK).at,
        answers=heard(Kind.ANSWER),
        announced=heard(Kind.ANNOUNCED),
        garp_ignored=heard(Kind.GARP_IGNORED),
        signals=heard(Kind.SIGNAL),
        turned=heard(Kind.TURNED),
        macs=tuple(known),
        periods=dict(periods),
        clocks=dict(clocks or {}),
    )


def quiet(found: Reading, since: float, now: float, span: float) -> bool:
    """Whether every stream was answered without a gap in the `span` seconds up to `now`, all of them after `since`.

    A sample that is under way has no record yet and one that is lost has none for a second, so what is looked at is
    whether those that came are complete: no hole between two of them, and none at either end.
    """
    begin = now - span
    if begin < since:
        return False
    for name, stream in (("udp", found.udp), ("tcp", found.tcp)):
        period = found.periods[name]
        if not period:
            continue
        due = stream.due[~stream.lost & (stream.due >= begin)]
        whole = np.concatenate([[begin], due])
        if np.diff(whole).max(initial=0.0) > _HOLE * period or whole[-1] < now - _UNDER_WAY:
            return False
    return True
