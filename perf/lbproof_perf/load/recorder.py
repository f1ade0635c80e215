"""The bridge between Locust and our tallies: workers hand theirs to the master with Locust's own reports.

So it works alike in one process, with `--processes`, and with workers on other machines; the master writes the sum
where `--out` says when Locust ends. Locust gives its workers half a second for their last report, which a starved
machine does not keep; the master asks for it by a message and waits for it.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gevent.event import Event  # type: ignore[import-untyped] # it ships no types that mypy reads
from locust import events
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import StatsEntry, bucket_response_time

from lbproof_perf.load.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from locust.env import Environment

_KEY = "lbproof"
_END, _LAST = "lbproof_end", "lbproof_last"
_PATIENCE = 30.0
"""Seconds that the master waits for the last reports of its workers."""
_MILLI = 1000
OURS = "lbproof_batch"
"""Key of the request event's context that marks one which we fire for a whole batch."""


class Recorder:
    """What this process has measured and not yet reported, and on a master the sum of all."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.fresh = Tally()
        self.total = Tally()
        self._missing = 0
        self._complete = Event()

    def attach(self, environment: Environment) -> None:
        """Listen to Locust's events."""
        hooks: Any = environment.events  # Locust's hooks are untyped
        hooks.request.add_listener(self._on_request)
        hooks.report_to_master.add_listener(self._on_report_to_master)
        hooks.worker_report.add_listener(self._on_worker_report)
        hooks.quitting.add_listener(self._on_quitting)
        if isinstance(environment.runner, MasterRunner):
            hooks.test_stop.add_listener(self._on_test_stop)
            environment.runner.register_message(_LAST, self._on_last)
        elif isinstance(environment.runner, WorkerRunner):
            environment.runner.register_message(_END, self._on_end, concurrent=True)

    def _on_request(
        self, *, response_time: float, exception: Exception | None, context: dict[str, Any] | None = None, **_: object
    ) -> None:
        """A stock user's request is over. Its own clock is taken, which begins when it sends."""
        if context and OURS in context:
            return
        now = time.monotonic()
        took = response_time / _MILLI
        if exception is None:
            self.fresh.latency.add((took,))
        else:
            self.fresh.failures[type(exception).__name__] += 1
        self.fresh.lasts(now - took, now)

    def _on_report_to_master(self, *, data: dict[str, Any], **_: object) -> None:
        data[_KEY] = self.fresh.to_json()
        self.fresh = Tally()

    def _on_worker_report(self, *, data: dict[str, Any], **_: object) -> None:
        if _KEY in data:
            self.total.merge(Tally.from_json(data[_KEY]))

    def _on_test_stop(self, *, environment: Environment, **_: object) -> None:
        """On the master: ask every worker to stop and to say what it still has."""
        assert isinstance(environment.runner, MasterRunner)  # noqa: S101 - the listener is the master's alone
        self._missing = environment.runner.worker_count
        self._complete.clear()
        if self._missing:
            environment.runner.send_message(_END)
            if not self._complete.wait(_PATIENCE):
                raise TimeoutError(f"{self._missing} workers did not report within {_PATIENCE:g} s")

    def _on_end(self, environment: Environment, **_: object) -> None:
        """On a worker: the users stop, which hands on what they hold, and the rest goes to the master."""
        assert isinstance(environment.runner, WorkerRunner)  # noqa: S101 - the listener is a worker's alone
        environment.runner.stop()
        hooks: Any = environment.events  # Locust's hooks are untyped
        report: dict[str, Any] = {}
        hooks.report_to_master.fire(client_id=environment.runner.client_id, data=report)
        environment.runner.send_message(_LAST, report)

    def _on_last(self, environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401 - Locust's message
        hooks: Any = environment.events
        hooks.worker_report.fire(client_id=msg.node_id, data=msg.data)
        self._missing -= 1
        if not self._missing:
            self._complete.set()

    def _on_quitting(self, *, environment: Environment, **_: object) -> None:
        options = environment.parsed_options
        if options is None or not options.out or options.worker:
            return
        self.total.merge(self.fresh)
        Path(options.out).write_text(json.dumps(self.total.to_json()), encoding="utf-8")


RECORDER = Recorder()


class Batches:
    """Where a schedule's measurements go: all into the tally, all into Locust's statistics, one of each batch as event.

    An event for every request would cost as much as the request. So the slowest of each batch is fired for whoever
    listens, and the others are added to Locust's statistics together, so that its reports stay whole.
    """

    def __init__(self, environment: Environment, method: str, name: str) -> None:
        """`method` and `name` as Locust's reports show them."""
        self._environment, self._method, self._name = environment, method, name
        self._event: Any = environment.events.request  # Locust's hooks are untyped

    def took(self, latencies: Sequence[float], lags: Sequence[float], size: int) -> None:
        """Requests were answered, or left."""
        now, tally = time.monotonic(), RECORDER.fresh
        tally.latency.add(latencies)
        tally.lag.add(lags)
        tally.lasts(now - max(lags, default=0.0), now)
        if latencies:
            slowest, each = max(latencies), size // len(latencies)
            self._event.fire(
                request_type=self._method,
                name=self._name,
                response_time=slowest * _MILLI,
                response_length=each,
                exception=None,
                context={OURS: len(latencies)},
            )
            rest = Counter(int(took * _MILLI) for took in latencies)
            rest[int(slowest * _MILLI)] -= 1
            self._log(+rest, size - each)

    def _log(self, milliseconds: Counter[int], size: int) -> None:
        """Add requests to Locust's statistics, in the form in which a worker reports them to its master."""
        stats, now = self._environment.stats, time.time()
        if not milliseconds:
            return
        buckets: Counter[int] = Counter()
        for took, times in milliseconds.items():
            buckets[bucket_response_time(took)] += times
        row: Any = {
            "name": self._name,
            "method": self._method,
            "last_request_timestamp": now,
            "start_time": now,
            "num_requests": milliseconds.total(),
            "total_response_time": sum(took * times for took, times in milliseconds.items()),
            "min_response_time": min(milliseconds),
            "max_response_time": max(milliseconds),
            "total_content_length": size,
            "response_times": buckets,
            "num_reqs_per_sec": {int(now): milliseconds.total()},
        }
        entry = StatsEntry.unserialize(row, stats)
        stats.total.extend(entry)
        stats.get(self._name, self._method).extend(entry)

    def failed(self, why: str) -> None:
        """A request was not answered well."""
        RECORDER.fresh.failures[why] += 1
        now = time.monotonic()
        RECORDER.fresh.lasts(now, now)
        self._event.fire(
            request_type=self._method,
            name=self._name,
            response_time=None,
            response_length=0,
            exception=ConnectionError(why),
            context={OURS: 1},
        )

    def left_over(self, unsent: int, in_flight: int) -> None:
        """The load ended."""
        RECORDER.fresh.unsent += unsent
        RECORDER.fresh.in_flight += in_flight


@events.init.add_listener  # type: ignore[untyped-decorator] # Locust's events are untyped
def _attach(environment: Environment, **_: object) -> None:
    RECORDER.attach(environment)
