"""One load: Locust as a subprocess at a vantage, master and workers, bounded in time, and what came of it.

It runs in the lab's PID namespace, so that it ends with the lab; there it needs a /proc of its own, from which
Locust reads its use of the processor.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from lbproof.lab.base import LabError
from lbproof.lab.common import environment
from lbproof.lab.common.commands import killed_with_parent
from lbproof.witnesses.wait import eventually
from lbproof_perf.load.meter import GeneratorMeter
from lbproof_perf.load.tally import Tally
from lbproof_perf.stats.quantiles import quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from lbproof_perf.load.meter import Use

LOCUSTFILE = Path(__file__).with_name("users.py")
START = 60.0
"""Seconds within which all users are spawned, and Locust ends after its time: a starved machine is slow."""
FULL = 0.9
"""Share of its processors at which a generator is the limit, and of the machine's at which the machine is."""
LATE = 0.005
"""Seconds of schedule lag (p99) from which the generator did not keep its schedule."""
_LEFT = 0.01
"""Share of requests that may be about to leave when the load ends."""
_STEAL = 0.01
"""Share of the machine from which what the hypervisor took is said."""
_SPAWNED = "All users spawned"


ExecArgv: TypeAlias = "Callable[[Sequence[str]], list[str]]"
"""Makes a command line into one that runs at the place that load comes from (`Lab.exec_argv`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to ask of whom."""

    user: str
    """A class of the locustfile: `KeepAliveUser`, `ScheduleUser`."""
    host: str
    port: int
    udp_port: int
    seconds: int
    """Whole ones, as Locust counts its run time."""
    users: int = 8
    processes: int = 1
    """Locust's workers; its master is one more process."""
    shape: str = "constant"
    rate: float = 1000.0
    """Requests a second of a user with a schedule."""
    connections: int = 256
    """Of a user with a schedule, at most."""
    throughput: float = 10.0
    """Requests a second of a user that Locust paces."""

    @property
    def scheduled(self) -> bool:
        """Whether its users keep a schedule."""
        return self.user.startswith("Schedule")

    def argv(self, folder: Path, *more: str) -> list[str]:
        """The command line. `more`: Locust's further options, `--headless` by default."""
        return [
            *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *(more or ("--headless",))),
            *("--processes", str(self.processes), "-u", str(self.users), "-r", str(max(100, self.users))),
            *("-t", f"{self.seconds}s", "--host", f"http://{self.host}:{self.port}", "--udp-port", str(self.udp_port)),
            *("--shape", self.shape, "--rate", f"{self.rate:g}", "--connections", str(self.connections)),
            *("--throughput", f"{self.throughput:g}"),
            *("--out", str(folder / "tally.json"), "--json-file", str(folder / "locust")),
            self.user,
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a load."""

    load: Load
    tally: Tally
    stats: tuple[dict[str, Any], ...]
    """Locust's own statistics, as its `--json` gives them."""
    use: Use | None
    """None when nothing was measured."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.tally.answered / self.tally.seconds if self.tally.seconds else 0.0

    @property
    def rate_per_core(self) -> float | None:
        """Answers for a second of one processor of the generator's; None where it used too little to be seen."""
        return self.rate / self.use.generator if self.use and self.use.generator > 0 else None

    def locust_quantile(self, q: float) -> float | None:
        """Seconds as Locust's own report has them: rounded to its buckets."""
        buckets = [(int(took), count) for row in self.stats for took, count in row["response_times"].items()]
        seen = np.repeat(*np.array(buckets, dtype=np.int64).reshape(-1, 2).T)
        return quantile(seen, q) / 1000 if len(seen) else None

    def warnings(self) -> tuple[str, ...]:
        """Why to look twice: above all, where the client and not the LoadBalancer was the limit."""
        found = []
        lag = self.tally.lag.quantile(0.99)
        if self.load.scheduled and lag is not None and lag > LATE:
            found.append(f"the client was the limit: 1 of 100 requests left {lag * 1000:.1f} ms late or later")
        if self.tally.unsent > _LEFT * (self.tally.unsent + self.tally.answered + self.tally.failed):
            found.append(f"the client was the limit: {self.tally.unsent} requests were due and did not leave")
        if self.use and self.use.generator >= FULL * self.load.processes:
            found.append(f"the client was the limit: it used {self.use.generator:.2f} of {self.load.processes} cores")
        cores = os.cpu_count() or 1
        if self.use and self.use.busy + self.use.steal >= FULL * cores:
            found.append(f"the machine was the limit: {self.use.busy:.2f} of {cores} cores busy")
        if self.use and self.use.steal > _STEAL * cores:
            found.append(f"the hypervisor took {self.use.steal:.2f} cores away")
        if not self.tally.answered:
            found.append("nothing was answered")
        return tuple(found)


def measure(
    there: ExecArgv, load: Load, *, servers: Iterable[Path] = (), during: Callable[[], None] | None = None
) -> Outcome:
    """Let a load run at a place to its end. `servers`: folders in a /proc of the processes that serve.

    `during` is called once all users are spawned. Raises `LabError`, with the end of its log, when Locust fails; every
    process is gone afterwards, also on an exception and on Ctrl-C.
    """
    with tempfile.TemporaryDirectory(prefix="lbproof-load-") as made:
        folder = Path(made)
        with (
            started(there, load.argv(folder), folder / "log") as process,
            GeneratorMeter(process.pid, servers) as meter,
        ):
            if during:
                wait_for(process, folder / "log", _SPAWNED)
                during()
            wait_until_ended(process, load.seconds, folder / "log")
        return _read(load, folder, meter)


def _read(load: Load, folder: Path, meter: GeneratorMeter) -> Outcome:
    try:
        tally = Tally.from_json(json.loads((folder / "tally.json").read_text(encoding="utf-8")))
        stats = json.loads((folder / "locust.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        raise LabError(f"Locust's {load.user} gave no figures ({error}); {_end(folder / 'log')}") from None
    return Outcome(load=load, tally=tally, stats=tuple(stats), use=meter.use(tally.began, tally.ended))


@contextlib.contextmanager
def started(there: ExecArgv, argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program at a place with a /proc of its PID namespace's; its whole session is ended with the block."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            # `exec_argv` may keep a process of its own as parent
            killed_with_parent(there(killed_with_parent(["unshare", "--mount-proc", "--", *argv]))),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment.python(),
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers whose master is gone
        process.wait()


def wait_until_ended(process: subprocess.Popen[bytes], seconds: float, log: Path) -> None:
    """Wait for a program that runs for so many seconds. Raises `LabError` when it takes `START` longer."""
    try:
        process.wait(timeout=seconds + START)
    except subprocess.TimeoutExpired:
        raise LabError(f"the generator did not end {START:g} s after its time; {_end(log)}") from None


def wait_for(process: subprocess.Popen[bytes], log: Path, line: str) -> None:
    """Wait until a program's log says something. `LabError` when it ends before or does not within a minute."""

    def said() -> str:
        if process.poll() is not None:
            raise LabError(f"Locust ended with {process.returncode}; {_end(log)}")
        return "said" if line in log.read_text(encoding="utf-8", errors="replace") else "not yet"

    eventually(said, lambda seen: seen == "said", what=f"Locust says `{line}`", within=START)


def _end(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "the end of its log:\n" + "\n".join(lines[-15:])
