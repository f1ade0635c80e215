"""Our users: requests on a schedule, as Locust users that take part in its shapes, its distribution and its reports.

Each user keeps a schedule of `--rate` requests a second; ten users on two workers are ten schedules. Why a schedule is
in `engine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from locust import User, task

from lbproof_perf.load.engine import HttpSchedule, UdpSchedule
from lbproof_perf.load.recorder import Batches

if TYPE_CHECKING:
    from lbproof_perf.load.engine import Schedule

UDP_SOCKETS = 16
"""Source ports of a UDP schedule."""


def target(host: str | None, default: int) -> tuple[str, int]:
    """Address and port of `--host`. Raises ValueError when there is none."""
    parts = urlsplit(host or "")
    if not parts.hostname:
        raise ValueError(f"--host {host}: expected http://ADDRESS:PORT")
    return parts.hostname, parts.port or default


class ScheduleUser(User):
    """HTTP/1.1 over kept connections."""

    @task
    def keep(self) -> None:
        """Ask until Locust stops the user."""
        self.schedule().run()

    def schedule(self) -> Schedule:
        """GETs of `--path`."""
        options = self.environment.parsed_options
        host, port = target(self.host or options.host, 80)
        return HttpSchedule(
            host,
            port,
            options.path,
            rate=options.rate,
            connections=options.connections,
            timeout=options.request_timeout,
            sink=Batches(self.environment, "GET", options.path),
        )


class ScheduleUdpUser(ScheduleUser):
    """UDP echo."""

    def schedule(self) -> Schedule:
        """Echoes of a number each."""
        options = self.environment.parsed_options
        host, _ = target(self.host or options.host, 80)
        return UdpSchedule(
            host,
            options.udp_port,
            rate=options.rate,
            connections=min(options.connections, UDP_SOCKETS),
            timeout=options.request_timeout,
            sink=Batches(self.environment, "UDP", "echo"),
        )
