"""The locustfile: every kind of user that a LoadBalancer meets, against agnhost's `netexec`.

    locust -f users.py --headless --host http://192.168.172.170 -u 8 -t 30s KeepAliveUser

The stock users ask in a closed loop, as Locust's do: they say how much a path carries. How long a request takes when
it is not asked politely, and what an outage costs, the users with a schedule say (`engine`): each keeps one of `--rate`
requests a second, so that ten users on two workers are ten schedules.
"""

from __future__ import annotations

import itertools
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import gevent.socket  # type: ignore[import-untyped] # it ships no types that mypy reads
from locust import FastHttpUser, HttpUser, User, constant_throughput, events, task

from lbproof_perf.load.engine import HttpSchedule, UdpSchedule
from lbproof_perf.load.options import LOAD_OPTIONS
from lbproof_perf.load.recorder import RECORDER, Batches
from lbproof_perf.load.shapes import ChosenShape

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from locust.env import Environment

BODY = 64 * 1024
"""Bytes of a large body, each way."""
UDP_SOCKETS = 16
"""Source ports of a UDP schedule."""
_RESET_ON_CLOSE = b"\x01\x00\x00\x00\x00\x00\x00\x00"
"""`struct linger`: on, zero seconds. No TIME_WAIT, so that a client's ports are not what is measured."""


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator] # Locust's events are untyped
def options(parser: ArgumentParser) -> None:
    """Our options, which Locust's web UI shows as well."""
    group = parser.add_argument_group("lbproof")
    for option in LOAD_OPTIONS:
        group.add_argument(
            f"--{option.name}",
            help=option.text,
            env_var=option.variable,
            default=option.default,
            type=type(option.default),
            choices=option.choices or None,
        )


@events.init.add_listener  # type: ignore[untyped-decorator] # likewise
def attach(environment: Environment, **_: object) -> None:
    """Have the recorder and the shape hear of Locust's events."""
    RECORDER.attach(environment)
    if isinstance(environment.shape_class, ChosenShape):
        environment.shape_class.attach(environment)


def target(user: User) -> tuple[str, int]:
    """Address and port of `--host`. Raises ValueError when there is none."""
    host = user.host or user.environment.parsed_options.host
    parts = urlsplit(host or "")
    if not parts.hostname:
        raise ValueError(f"--host {host}: expected http://ADDRESS:PORT")
    return parts.hostname, parts.port or 80


class _GetUser(User):
    """A small GET, again and again."""

    abstract = True
    client: Any
    """Of one of Locust's classes, which each user names."""

    @task
    def ask(self) -> None:
        """Ask once."""
        self.client.get(self.environment.parsed_options.path)


class KeepAliveUser(_GetUser, FastHttpUser):
    """Locust's fast client, one connection a user that is kept."""


class RequestsUser(_GetUser, HttpUser):
    """Locust's client by `requests`, one connection a user that is kept."""


class FreshUser(_GetUser, FastHttpUser):
    """A connection for every request: each is a new flow, for which kube-proxy chooses a backend."""

    default_headers = {"Connection": "close"}  # noqa: RUF012 - Locust declares it so


class PacedUser(_GetUser, FastHttpUser):
    """Locust's own pacing: `--throughput` requests a second if the answers let it, and no word of those it missed."""

    def wait_time(self) -> float:
        """Seconds until the next."""
        wait: float = constant_throughput(self.environment.parsed_options.throughput)(self)
        return wait


class BodyUser(FastHttpUser):
    """64 KiB there and 64 KiB back: netexec's `/header` gives back a header, and logs nothing of it."""

    _headers: ClassVar = {"X-Body": "b" * BODY}

    @task
    def ask(self) -> None:
        """A GET whose header is the body of the answer."""
        with self.client.get("/header?key=X-Body", name="/header", headers=self._headers, catch_response=True) as got:
            if len(got.content or b"") != BODY:
                got.failure(f"{len(got.content or b'')} bytes of {BODY}")


class _PlainUser(User):
    """One without a client of Locust's: it times what it does itself."""

    abstract = True

    @contextmanager
    def measured(self, method: str, name: str, size: int = 0) -> Iterator[None]:
        """Tell Locust of the block as a request, which an `OSError` fails; a user that is stopped in it made none."""
        error: Exception | None = None
        began = time.perf_counter()
        try:
            yield
        except OSError as failed:
            error = failed
        self.environment.events.request.fire(
            request_type=method,
            name=name,
            response_time=(time.perf_counter() - began) * 1000,
            response_length=size,
            exception=error,
            context={},
        )


class ConnectUser(_PlainUser):
    """TCP's handshake and nothing more; closed by a reset."""

    @task
    def ask(self) -> None:
        """Connect."""
        to = target(self)
        with closing(gevent.socket.socket(gevent.socket.AF_INET, gevent.socket.SOCK_STREAM)) as opened:
            opened.setsockopt(gevent.socket.SOL_SOCKET, gevent.socket.SO_LINGER, _RESET_ON_CLOSE)
            opened.settimeout(self.environment.parsed_options.request_timeout)
            with self.measured("TCP", "connect"):
                opened.connect(to)


class UdpUser(_PlainUser):
    """UDP echo in a closed loop, from a port of the user's own."""

    def on_start(self) -> None:
        """Open the socket."""
        options = self.environment.parsed_options
        self._socket = gevent.socket.socket(gevent.socket.AF_INET, gevent.socket.SOCK_DGRAM)
        self._socket.connect((target(self)[0], options.udp_port))
        self._socket.settimeout(min(options.request_timeout, 1.0))
        self._numbers = itertools.count()

    def on_stop(self) -> None:
        """Close it."""
        self._socket.close()

    @task
    def ask(self) -> None:
        """One echo; answers to earlier ones, which were given up, are passed over."""
        wanted = b"%d" % next(self._numbers)
        with self.measured("UDP", "echo", len(wanted)):
            self._socket.send(b"echo " + wanted)
            while self._socket.recv(2048) != wanted:
                pass


class ScheduleUser(User):
    """GETs of `--path` over kept connections, on a schedule."""

    @task
    def keep(self) -> None:
        """Ask until Locust stops the user."""
        options = self.environment.parsed_options
        HttpSchedule(
            *target(self),
            options.path,
            rate=options.rate,
            connections=options.connections,
            timeout=options.request_timeout,
            sink=Batches(self.environment, "GET", options.path),
        ).run()


class ScheduleUdpUser(User):
    """UDP echoes of a number each, on a schedule."""

    @task
    def keep(self) -> None:
        """Ask until Locust stops the user."""
        options = self.environment.parsed_options
        UdpSchedule(
            target(self)[0],
            options.udp_port,
            rate=options.rate,
            connections=min(options.connections, UDP_SOCKETS),
            timeout=options.request_timeout,
            sink=Batches(self.environment, "UDP", "echo"),
        ).run()
