"""The bridge between Locust and our tallies: workers hand theirs to the master with Locust's own reports.

So it works alike in one process, with `--processes`, and with workers on other machines; the master writes the sum
where `--out` says when Locust ends. Locust gives its workers half a second for their last report, which a starved
machine does not keep; the master asks for it by a message and waits for it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gevent.queue import Empty, Queue  # type: ignore[import-untyped] # it ships no types that mypy reads
from locust.runners import MasterRunner, WorkerRunner

from lbproof_perf.load.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from locust.env import Environment

_KEY = "lbproof"
_END, _LAST = "lbproof_end", "lbproof_last"
_PATIENCE = 30.0
"""Seconds that the master waits for the next of the last reports of its workers."""
_MILLI = 1000
OURS = "lbproof_batch"
"""Key of the request event's context that marks one which we fire for a whole batch."""


class Recorder:
    """What this process has measured and not yet reported, and on a master the sum of all."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.fresh = Tally()
        self.total = Tally()
        self._last: Queue = Queue()

    def attach(self, environment: Environment) -> None:
        """Listen to Locust's events."""
        hooks: Any = environment.events  # Locust's hooks are untyped
        hooks.request.add_listener(self._on_request)
        hooks.report_to_master.add_listener(self._on_report_to_master)
        hooks.worker_report.add_listener(self._on_worker_report)
        hooks.quitting.add_listener(self._on_quitting)
        if isinstance(environment.runner, MasterRunner):
            hooks.test_stop.add_listener(self._on_test_stop)
            environment.runner.register_message(_LAST, lambda msg, **_: self._last.put(msg))
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
        hooks, runner = cast("Any", environment.events), cast("MasterRunner", environment.runner)
        self._last = Queue()
        runner.send_message(_END)
        for missing in range(runner.worker_count, 0, -1):
            try:
                report = self._last.get(timeout=_PATIENCE)
            except Empty:
                raise TimeoutError(f"{missing} workers did not report within {_PATIENCE:g} s") from None
            hooks.worker_report.fire(client_id=report.node_id, data=report.data)

    def _on_end(self, environment: Environment, **_: object) -> None:
        """On a worker: the users stop, which hands on what they hold, and the rest goes to the master."""
        hooks, runner = cast("Any", environment.events), cast("WorkerRunner", environment.runner)
        runner.stop()
        report: dict[str, Any] = {}
        hooks.report_to_master.fire(client_id=runner.client_id, data=report)
        runner.send_message(_LAST, report)

    def _on_quitting(self, *, environment: Environment, **_: object) -> None:
        options = environment.parsed_options
        if options is None or not options.out or options.worker:
            return
        self.total.merge(self.fresh)
        Path(options.out).write_text(json.dumps(self.total.to_json()), encoding="utf-8")


RECORDER = Recorder()


class Batches:
    """Where a schedule's measurements go: all into the tally, all into Locust's statistics, one of each batch as event.

    An event for every request would cost a fifth of the request. So the slowest of each batch is fired for whoever
    listens, and the others are logged in Locust's statistics alone, so that its reports stay whole.
    """

    def __init__(self, environment: Environment, method: str, name: str) -> None:
        """`method` and `name` as Locust's reports show them."""
        self._stats, self._method, self._name = environment.stats, method, name
        self._event: Any = environment.events.request  # Locust's hooks are untyped

    def took(self, latencies: Sequence[float], lags: Sequence[float], size: int) -> None:
        """Requests were answered after so many seconds, others left so many seconds late; `size` bytes came."""
        now, tally = time.monotonic(), RECORDER.fresh
        tally.latency.add(latencies)
        tally.lag.add(lags)
        tally.lasts(now - max(lags, default=0.0), now)
        if not latencies:
            return
        *others, slowest = sorted(latencies)
        each = size // len(latencies)
        for took in others:
            self._stats.log_request(self._method, self._name, int(took * _MILLI), each)
        self._fire(response_time=slowest * _MILLI, response_length=each, exception=None)

    def failed(self, why: str) -> None:
        """A request was not answered, or not well."""
        RECORDER.fresh.failures[why] += 1
        now = time.monotonic()
        RECORDER.fresh.lasts(now, now)
        self._fire(response_time=None, response_length=0, exception=ConnectionError(why))

    def left_over(self, unsent: int, in_flight: int) -> None:
        """The load ended with requests that had not left, and with some that were under way."""
        RECORDER.fresh.unsent += unsent
        RECORDER.fresh.in_flight += in_flight

    def _fire(self, **what: object) -> None:
        self._event.fire(request_type=self._method, name=self._name, context={OURS: True}, **what)
