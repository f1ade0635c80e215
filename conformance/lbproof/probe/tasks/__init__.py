"""Tasks of the probe, a module each, imported when first asked for.

To add one, write a module here with a function `run(task: Task) -> dict | None` and add it to the layers in
pyproject.toml. It runs in a thread of its own.

- `task.arguments` are the fields of the request.
- `task.ready()`, when the suite shall wait until the task observes.
- `task.emit(record, ...)` sends records: any JSON value. They leave in batches, at the latest when the task waits.
- `task.wait(seconds, *sockets)` waits for sockets, and returns earlier when the task is told something or cancelled. A
  task with an epoll of its own registers `task.fileno()` there and calls `task.flush()` before it waits.
- `task.messages()` empties the inbox. A message with a `token` (`Stream.exchange`) is answered by `task.ready(token)`,
  after the records that belong to it.
- `task.stopping` is true after a cancel. A task that is cancelled returns soon.
- `task.dropped` counts what the kernel dropped (packet(7), PACKET_STATISTICS).
- What it returns is added to the end that the suite sees. Whatever it raises becomes a `ProbeError` there.

A thread may have a real-time priority of its own (sched_setscheduler(2) takes 0 for the calling thread), but shares the
interpreter with the other tasks of its process: measurements run in a probe of their own (`Vantage.start_probe`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from lbproof.probe.task import Task


def find(name: str) -> Callable[[Task], dict[str, Any] | None]:
    """Return the function of a task. Raises `LookupError` for an unknown one."""
    if not name.isidentifier():
        raise LookupError(f"no task {name!r}")
    try:
        found: Callable[[Task], dict[str, Any] | None] = import_module(f"{__name__}.{name}").run
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise LookupError(f"no task {name!r}") from None
    return found
