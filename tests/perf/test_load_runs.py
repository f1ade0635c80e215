"""Loads that really run: the schedule against a server that stands still, and Locust at a place of its own."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lbproof.lab.base import LabError
from lbproof.witnesses.wait import eventually
from lbproof_perf.load import run, web

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the helpers of tests, by their place in the checkout

from tests.observe.places import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.common.vantage import NamespaceVantage

SERVER = """
import asyncio, sys

class Http(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        body = b"web"
        head = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
        self.transport.write((head + body) * data.count(b"\\r\\n\\r\\n"))

class Udp(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, sender):
        self.transport.sendto(data.removeprefix(b"echo "), sender)

async def main():
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Udp, local_addr=("0.0.0.0", 8000))
    server = await loop.create_server(Http, "0.0.0.0", 8000)
    print("up", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""
"""Answers as agnhost's netexec does, and needs nothing built."""


@pytest.fixture(scope="module")
def segment() -> Iterator[Segment]:
    """A client and a server on a segment."""
    with Segment() as made:
        for host in made.hosts.values():
            assert host.popen(["ip", "link", "set", "lo", "up"]).wait() == 0
        yield made


@pytest.fixture(scope="module")
def client(segment: Segment) -> NamespaceVantage:
    """Where the load comes from."""
    return segment.hosts["client"]


@pytest.fixture(scope="module")
def server(segment: Segment) -> Iterator[subprocess.Popen[bytes]]:
    """It serves on `web`, port 8000."""
    process = segment.hosts["web"].popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    yield process
    process.kill()
    process.communicate()


def at(place: NamespaceVantage) -> run.ExecArgv:
    """What runs a program at a place."""
    return lambda argv: ["nsenter", f"--net={place.netns}", "--", *argv]


def processes_at(place: NamespaceVantage) -> list[int]:
    """The processes in a network namespace."""
    wanted, found = Path(place.netns).stat().st_ino, []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if (process / "ns/net").stat().st_ino == wanted:
                found.append(int(process.name))
    return found


def load(user: str, segment: Segment, **more: float | str) -> run.Load:
    """A load of one second."""
    made = {
        "user": user,
        "host": str(segment.hosts["web"].address),
        "port": 8000,
        "udp_port": 8000,
        "seconds": 1,
        **more,
    }
    return run.Load(**made)  # type: ignore[arg-type] # the keywords are those of the dataclass


@pytest.mark.parametrize("user", ["ScheduleUser", "ScheduleUdpUser"])
def test_a_schedule_is_kept_and_reported(
    user: str, client: NamespaceVantage, segment: Segment, server: subprocess.Popen[bytes]
) -> None:
    """Every request that was due is answered, under way or not yet gone; Locust's own report has them all."""
    outcome = run.measure(at(client), load(user, segment, users=1, rate=200.0), servers=[Path(f"/proc/{server.pid}")])
    tally = outcome.tally

    assert tally.failed == 0
    assert tally.answered > 100
    assert tally.lag.count == tally.answered + tally.in_flight
    assert sum(row["num_requests"] for row in outcome.stats) == tally.answered
    assert outcome.use is not None
    assert 0 < outcome.use.generator < 2
    assert outcome.rate_per_core


def test_a_stock_user_is_measured_too(
    client: NamespaceVantage, segment: Segment, server: subprocess.Popen[bytes]
) -> None:
    """Locust's users fill the same tally by Locust's own events, and two workers add up."""
    outcome = run.measure(at(client), load("KeepAliveUser", segment, users=4, processes=2))

    assert server.poll() is None
    assert outcome.tally.answered > 10
    assert outcome.tally.failed == 0
    assert outcome.tally.lag.count == 0


def test_failures_are_counted_by_what_they_are(client: NamespaceVantage, segment: Segment) -> None:
    """Nobody listens there: every request failed, no latency is made of it, and a reader is told."""
    outcome = run.measure(at(client), load("ScheduleUser", segment, port=9, users=1, rate=100.0))

    assert set(outcome.tally.failures) == {"ECONNREFUSED"}
    assert outcome.tally.answered == 0
    assert "nothing was answered" in outcome.warnings()


def test_a_stock_user_s_failures_are_counted_too(client: NamespaceVantage, segment: Segment) -> None:
    """What Locust calls an exception is a failure of the tally, and no answer."""
    outcome = run.measure(at(client), load("KeepAliveUser", segment, port=9, users=1))

    assert outcome.tally.failed > 0
    assert outcome.tally.answered == 0


def test_locust_that_fails_is_told_with_its_log(client: NamespaceVantage, segment: Segment) -> None:
    """A user that there is not is one clear error, and no process is left at the place."""
    before = processes_at(client)
    with pytest.raises(LabError, match="NobodyUser"):
        run.measure(at(client), load("NobodyUser", segment))

    assert processes_at(client) == before


def test_an_interrupted_load_leaves_nothing(
    client: NamespaceVantage, segment: Segment, server: subprocess.Popen[bytes]
) -> None:
    """Master and workers are gone when what runs beside the load is interrupted."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    assert server.poll() is None
    with pytest.raises(KeyboardInterrupt):
        run.measure(at(client), load("KeepAliveUser", segment, seconds=30), during=interrupted)

    eventually(lambda: processes_at(client), lambda left: not left, what="all processes are gone", within=10)


def test_the_web_ui_is_reached_from_this_machine(client: NamespaceVantage, segment: Segment) -> None:
    """Locust's page, of a master at the client, on a port of this machine's loopback; refused once it is over."""
    with web.opened(at(client), client, load("KeepAliveUser", segment), 0) as (url, _):
        with urllib.request.urlopen(url, timeout=20) as page:  # noqa: S310 - our own door
            text = page.read().decode()
        port = int(url.rpartition(":")[2])

    assert "<title>Locust</title>" in text
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


ENDLESS = """
import socket, subprocess, threading

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listener = socket.create_server(("127.0.0.1", 8089))
print("up", flush=True)

def serve(connection):
    try:
        while True:
            connection.sendall(bytes(65536))
    except OSError:
        print("closed", flush=True)

while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
"""Sends to each connection as much as it takes; prints a line when one is closed."""


@pytest.fixture
def endless(client: NamespaceVantage) -> Iterator[subprocess.Popen[bytes]]:
    """It is where Locust's web UI would be."""
    with client.popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"up\n"
            yield process
        finally:
            process.kill()


def test_a_browser_that_does_not_read_blocks_no_other(
    client: NamespaceVantage, endless: subprocess.Popen[bytes]
) -> None:
    """Its connection is given up at both ends, and the probe serves other tasks meanwhile."""
    assert endless.stdout is not None
    with client.start_probe() as probe, web.listening(0, probe) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as browser:
            assert browser.recv(1)
            readable, _, _ = select.select([endless.stdout], [], [], 20)
            assert readable
            assert endless.stdout.readline() == b"closed\n"
            probe.call("interface", within=5, interface=client.interface)


def test_a_tab_that_is_closed_ends_its_connection(client: NamespaceVantage, endless: subprocess.Popen[bytes]) -> None:
    """Also while data flows: nothing of it goes on at the probe."""
    assert endless.stdout is not None
    with client.start_probe() as probe, web.listening(0, probe) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as browser:
            for _ in range(100):
                assert browser.recv(1 << 16)
        readable, _, _ = select.select([endless.stdout], [], [], 20)
        assert readable
        assert endless.stdout.readline() == b"closed\n"


ENGINE = """
import json, sys
import gevent
from lbproof_perf.load.engine import HttpSchedule

class Sink:
    took_all, lags_all, failures = [], [], []
    def took(self, latencies, lags, size):
        self.took_all += latencies
        self.lags_all += lags
    def failed(self, why):
        self.failures.append(why)
    def left_over(self, unsent, in_flight):
        pass

sink = Sink()
made = HttpSchedule(sys.argv[1], 8000, "/", rate=100, connections=64, timeout=10, sink=sink)
keeper = gevent.spawn(made.run)
print("going", flush=True)
gevent.sleep(1.6)
keeper.kill()
print(json.dumps([len(sink.lags_all), max(sink.took_all), len(sink.took_all), sink.failures]))
"""


def test_requests_leave_while_the_server_stands_still(
    client: NamespaceVantage, segment: Segment, server: subprocess.Popen[bytes]
) -> None:
    """A closed loop would ask once in half a second of standstill; a schedule goes on, and counts all of the wait."""
    address = segment.hosts["web"].address
    process = client.popen([sys.executable, "-c", ENGINE, str(address)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"going\n"
    server.send_signal(signal.SIGSTOP)
    threading.Event().wait(0.5)  # how long it stands still is the experiment
    server.send_signal(signal.SIGCONT)
    out, _ = process.communicate(timeout=20)
    left, longest, answered, failures = json.loads(out)

    assert failures == []
    assert left >= 120
    assert answered >= 120
    assert longest >= 0.4
