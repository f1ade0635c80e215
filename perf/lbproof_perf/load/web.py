"""Locust's web UI: the load at the client in the lab, its page on this machine's loopback.

Master and workers run at the client, where Locust listens on its own loopback. Each connection to this machine's port
is relayed to it by the task `relay` of the client's probe.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import socketserver
import struct
import tempfile
import threading
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError
from lbproof.probe.protocol import bytes_of, text_of
from lbproof.witnesses import http
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import eventually
from lbproof_perf.load.run import START, started, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lbproof.witnesses.probe import Probe
    from lbproof.witnesses.stream import Stream
    from lbproof.witnesses.vantage import Vantage
    from lbproof_perf.load.run import ExecArgv, Load

_HOST, _PORT = "127.0.0.1", 8089
_LISTENS = "Starting web interface at"
_CHUNK = 1 << 16
_MOST = 16 << 20
"""Bytes that may wait for a client to read them."""
_TIMEOUT = 10
"""Seconds that a client may not read while something waits for it."""
_LOOK = 0.1
"""Seconds between two looks whether the relay has ended."""
_TIMEVAL = struct.Struct("@ll")
"""struct timeval, for SO_SNDTIMEO (socket(7)): a timeout of sends alone."""


def serve(there: ExecArgv, vantage: Vantage, load: Load, port: int, say: Callable[[str], None]) -> None:
    """Serve the UI until Locust ends or Ctrl-C. Raises `LabError` when the port is taken or Locust fails."""
    with opened(there, vantage, load, port) as (url, wait):
        say(f"load: Locust's web UI is at {url}; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            wait()


@contextlib.contextmanager
def opened(there: ExecArgv, vantage: Vantage, load: Load, port: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """The UI inside the block: its address here, and a way to wait for Locust's end.

    `there` makes command lines that run at `vantage`.
    """
    with (
        tempfile.TemporaryDirectory(prefix="lbproof-web-") as made,
        vantage.start_probe() as probe,
        listening(port, probe) as url,
        started(there, load.argv(Path(made), "--web-host", _HOST, "--web-port", str(_PORT)), Path(made, "log"))
        as process,
    ):  # fmt: skip
        wait_for(process, Path(made, "log"), _LISTENS)
        eventually(  # it says so a little before it does
            lambda: http.connects(vantage, IPv4Address(_HOST), _PORT),
            lambda seen: seen == "open",
            what="Locust's web UI listens",
            within=START,
        )
        yield url, process.wait


@contextlib.contextmanager
def listening(port: int, probe: Probe) -> Iterator[str]:
    """Relay connections to a port of this machine's loopback inside the block. `LabError` when the port is taken."""

    class Relay(socketserver.BaseRequestHandler):
        """One connection, in a thread of its own."""

        def handle(self) -> None:
            """Relay until one side closes, or the client has not read for `_TIMEOUT`."""
            here: socket.socket = self.request
            here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(_TIMEOUT, 0))
            waiting = _Waiting(here)
            with contextlib.suppress(OSError, ProbeError):  # one side has closed its connection: close the other
                stream = probe.request("relay", each=waiting.put, host=_HOST, port=_PORT)
                try:
                    stream.wait_ready()
                    threading.Thread(target=_send, args=(stream, waiting, here), daemon=True).start()
                    while data := here.recv(_CHUNK):
                        stream.tell({"data": text_of(data)})
                finally:
                    stream.cancel()

    class Server(socketserver.ThreadingTCPServer):
        """Server of this machine's loopback."""

        allow_reuse_address = daemon_threads = True
        block_on_close = False

    try:
        server = Server((_HOST, port), Relay)
    except OSError as error:
        raise LabError(f"port {port} is taken: choose another for Locust's web UI") from error
    with server:
        thread = threading.Thread(target=server.serve_forever, name="web UI", daemon=True)
        thread.start()
        try:
            yield f"http://{_HOST}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Waiting:
    """Data that is yet to be sent to a client. `put` never blocks: it runs in the thread that reads the probe."""

    def __init__(self, here: socket.socket) -> None:
        """`here` is shut down when more than `_MOST` bytes wait."""
        self._here = here
        self._data: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._size = 0

    def put(self, text: str) -> None:
        """Add a record of the task `relay`."""
        data = bytes_of(text)
        with self._lock:
            self._size += len(data)
            too_much = self._size > _MOST
        if too_much:
            _shut_down(self._here)
        else:
            self._data.put(data)

    def get(self) -> bytes:
        """Return the next record, empty when there is none within `_LOOK`."""
        try:
            data = self._data.get(timeout=_LOOK)
        except queue.Empty:
            return b""
        with self._lock:
            self._size -= len(data)
        return data


def _send(stream: Stream, waiting: _Waiting, here: socket.socket) -> None:
    """Send what arrives to a client until the relay has ended and all is sent, or the client does not read."""
    with contextlib.suppress(OSError, ProbeError):
        while True:
            ended = stream.ended
            if data := waiting.get():
                here.sendall(data)
            elif ended:
                break
    _shut_down(here)


def _shut_down(here: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        here.shutdown(socket.SHUT_RDWR)
