"""Open-loop client that sends requests on a fixed schedule, to measure outages.

Each request carries its scheduled time, and the next one is sent on schedule whether or not this one was answered, so
that a stall is measured in full length (no coordinated omission). It has a probe of its own, which shares neither
interpreter nor queue with other witnesses.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from lbproof.spec.families import host_port
from lbproof.witnesses.wait import EventuallyFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.journal import Journal
    from lbproof.witnesses.stream import Stream
    from lbproof.witnesses.vantage import Vantage

PERIOD = 0.01
TIMEOUT = 0.25
"""Request timeout in seconds: shorter than the second after which TCP sends a lost SYN again (RFC 6298), so that a
request is answered by its first SYN or counts as lost, and far longer than a backend on the segment takes. A machine so
slow that it takes longer is no steady service (`steady`), and nothing is judged there."""
START = 30.0
"""Timeout in seconds for the first answer. It decides no verdict: a wait without a budget is an error."""
LONGEST = 3600.0
"""Maximum lifetime of a prober in seconds: longer than all waits of a check at their ceilings."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request."""

    due: float
    """Scheduled time (`time.monotonic()`)."""
    took: float | None
    """Seconds from the scheduled time to the answer; None without an answer."""
    who: str
    """Name of the backend, or the kind of failure."""


def outages(samples: Sequence[Sample]) -> list[tuple[float, float | None]]:
    """List outages: start of the first unanswered request and of the next answered one, None if there is none."""
    found: list[tuple[float, float | None]] = []
    began: float | None = None
    for sample in sorted(samples, key=lambda sample: sample.due):
        if sample.took is None and began is None:
            began = sample.due
        elif sample.took is not None and began is not None:
            found.append((began, sample.due))
            began = None
    return [*found, (began, None)] if began is not None else found


STEADY = 50
"""Consecutive answered requests that show normal service: half a second, twice the timeout of one request."""


def steady(samples: Sequence[Sample]) -> bool:
    """Return whether the last `STEADY` requests were answered."""
    last = samples[-STEADY:]
    return len(last) == STEADY and all(sample.took is not None for sample in last)


def first_outage(samples: Sequence[Sample], after: float) -> float | None:
    """Return the duration in seconds of the first completed outage since a time; 0.0 after `STEADY` answered requests.

    None while undecided. A fault that causes no unanswered request counts as an outage of zero.
    """
    later = [sample for sample in samples if sample.due >= after]
    for begin, end in outages(later):
        return None if end is None else end - begin
    return 0.0 if len(later) >= STEADY else None


def longest(samples: Sequence[Sample]) -> float:
    """Return the longest outage in seconds; 0.0 when every request was answered, infinite when one did not end."""
    return max((float("inf") if end is None else end - begin for begin, end in outages(samples)), default=0.0)


class Prober:
    """Context manager that sends requests from a vantage."""

    def __init__(
        self, vantage: Vantage, host: IPAddress, port: int = 80, *, path: str = "/hostname", period: float = PERIOD
    ) -> None:
        """Send nothing before it is entered."""
        self.vantage, self.host, self.port, self.period = vantage, host, port, period
        self._path = path
        self._samples: list[Sample] = []
        self._answered = threading.Event()
        self._stack = ExitStack()
        self._stream: Stream | None = None

    @property
    def samples(self) -> list[Sample]:
        """Return the completed requests, in order of completion. Raises `ProbeError` when some may be missing."""
        if self._stream:
            self._stream.require_running()
        return list(self._samples)

    def __enter__(self) -> Self:
        """Start, and wait for the first answer. Raises `EventuallyFailed` when there is none within `START`."""
        with ExitStack() as stack:
            self.probe = stack.enter_context(self.vantage.start_probe())
            asked = {"host": str(self.host), "port": self.port, "path": self._path}
            times = {"period": self.period, "timeout": TIMEOUT, "longest": LONGEST}
            self._stream = self.probe.request("requests", each=self._take, **asked, **times)
            stack.enter_context(self._stream)
            if not self._answered.wait(START):
                rows = self.samples or [Sample(0, None, "no request was made")]
                seen = {s.who: round(s.due - rows[0].due, 3) for s in reversed(rows)}
                what = f"{host_port(self.host, self.port)} answers {self.vantage.name}"
                raise EventuallyFailed(what, f"not within {START:g} s", sorted((t, who) for who, t in seen.items()))
            self._stack = stack.pop_all()
        return self

    def _take(self, record: list[Any]) -> None:
        due, took, who = record
        self._samples.append(Sample(self.probe.clock.local(due), took, who))
        if took is not None:
            self._answered.set()

    def since(self, moment: float) -> list[Sample]:
        """Return the requests scheduled since a time."""
        return [sample for sample in self.samples if sample.due >= moment]

    def __exit__(self, *_: object) -> None:
        """Stop, and wait for pending requests."""
        self._stack.close()
        self._stream = None  # not when it has failed: its samples cannot be judged

    def write(self, journal: Journal, title: str) -> None:
        """Write the timeline of requests to the events of the run."""
        rows = sorted(self._samples, key=lambda sample: sample.due)
        end = rows[-1].due if rows else journal.began
        journal.write(
            "timeline",
            title=title,
            vantage=self.vantage.name,
            period=self.period,
            samples=[(journal.t(s.due), s.took, s.who) for s in rows],
            outages=[(journal.t(a), journal.t(end if b is None else b)) for a, b in outages(rows)],
        )
