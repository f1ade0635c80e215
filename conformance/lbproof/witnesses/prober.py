"""Open-loop client in a separate process that sends requests on a fixed schedule, to measure outages.

Each request carries its scheduled time, and the next one is sent on schedule whether or not this one was answered, so
that a stall is measured in full length (no coordinated omission). As a subprocess it shares neither the interpreter nor
its lock with the suite.

`python -m lbproof.witnesses.prober HOST PORT` prints a JSON line at the end of each request: `[due, took, who]`, where
`due` is `time.monotonic()`, `took` seconds or null, `who` the first line of the body or the kind of `Unreached`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lbproof.spec.families import host_port
from lbproof.witnesses.http import kind_of
from lbproof.witnesses.wait import EventuallyFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.journal import Journal
    from lbproof.witnesses.vantage import Vantage

PERIOD = 0.01
TIMEOUT = 0.25
"""Request timeout in seconds."""
START = 30.0
"""Timeout in seconds for the first answer."""
LONGEST = 600.0
"""Maximum lifetime of a prober in seconds."""


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

    @property
    def samples(self) -> list[Sample]:
        """Return the completed requests, in order of completion."""
        return list(self._samples)

    def __enter__(self) -> Self:
        """Start, and wait for the first answer. Raises `EventuallyFailed` when there is none within `START`."""
        argv = [sys.executable, "-m", __name__, str(self.host), str(self.port)]
        argv += ["--path", self._path, "--period", str(self.period)]
        self._process = self.vantage.popen(argv, stdout=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, name=f"prober at {self.vantage.name}", daemon=True)
        self._reader.start()
        if not self._answered.wait(START):
            self.__exit__()
            rows = self.samples or [Sample(0, None, "no request was made")]
            seen = {s.who: round(s.due - rows[0].due, 3) for s in reversed(rows)}
            what = f"{host_port(self.host, self.port)} answers {self.vantage.name}"
            raise EventuallyFailed(what, f"not within {START:g} s", sorted((t, who) for who, t in seen.items()))
        return self

    def _read(self) -> None:
        out = self._process.stdout
        assert out is not None  # noqa: S101 - it was asked for
        for line in out:
            due, took, who = json.loads(line)
            self._samples.append(Sample(due, took, who))
            if took is not None:
                self._answered.set()

    def since(self, moment: float) -> list[Sample]:
        """Return the requests scheduled since a time."""
        return [sample for sample in self.samples if sample.due >= moment]

    def __exit__(self, *_: object) -> None:
        """Stop, and wait for pending requests."""
        self._process.terminate()
        self._process.wait(timeout=10)
        self._reader.join(timeout=10)
        if self._process.stdout:
            self._process.stdout.close()

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


async def _ask(host: str, port: int, path: str, due: float) -> Sample:
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
                answer = await reader.read(-1)
            finally:
                writer.close()
    except OSError as error:
        return Sample(due, None, kind_of(error))
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head[:20]:
        return Sample(due, None, "not-http")
    return Sample(due, time.monotonic() - due, body.decode(errors="replace").strip().partition("\n")[0][:80])


async def _probe(host: str, port: int, path: str, period: float) -> None:
    running: set[asyncio.Task[None]] = set()

    async def one(due: float) -> None:
        sample = await _ask(host, port, path, due)
        sys.stdout.write(json.dumps([round(sample.due, 6), sample.took, sample.who]) + "\n")
        sys.stdout.flush()

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    stopped = asyncio.create_task(stop.wait())
    began = time.monotonic()
    for turn in range(int(LONGEST / period)):
        due = began + turn * period
        await asyncio.wait([stopped], timeout=max(0.0, due - time.monotonic()))
        if stopped.done():
            break
        task = asyncio.create_task(one(due))
        running.add(task)
        task.add_done_callback(running.discard)
    stopped.cancel()
    await asyncio.gather(*running)


def main() -> None:
    """Send requests until SIGTERM, or for ten minutes."""
    parser = argparse.ArgumentParser(description="Ask a server all the time, on a schedule.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--path", default="/")
    parser.add_argument("--period", type=float, default=PERIOD, help="seconds between two requests")
    asked = parser.parse_args()
    asyncio.run(_probe(asked.host, asked.port, asked.path, asked.period))


if __name__ == "__main__":
    main()
