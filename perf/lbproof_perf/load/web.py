"""Locust's web UI: the load at the client in the lab, its page on this machine's loopback.

Master and workers run at the client, where Locust listens on its own loopback. Each connection to this machine's port
is relayed to it by the task `relay` of the client's probe.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
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
    from lbproof.witnesses.vantage import Vantage
    from lbproof_perf.load.run import ExecArgv, Load

_HOST, _PORT = "127.0.0.1", 8089
_LISTENS = "Starting web interface at"
_CHUNK = 1 << 16


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
        _listening(port, probe) as url,
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
def _listening(port: int, probe: Probe) -> Iterator[str]:
    """Relay connections to a port of this machine's loopback inside the block. `LabError` when the port is taken."""

    class Relay(socketserver.BaseRequestHandler):
        """One connection, in a thread of its own."""

        def handle(self) -> None:
            """Relay until one side closes."""
            here: socket.socket = self.request
            stream = probe.request("relay", each=lambda text: here.sendall(bytes_of(text)), host=_HOST, port=_PORT)
            with contextlib.suppress(OSError, ProbeError):  # one side has closed its connection: close the other
                stream.wait_ready()
                threading.Thread(target=_close_with, args=(stream.result, here), daemon=True).start()
                while data := here.recv(_CHUNK):
                    stream.tell({"data": text_of(data)})
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


_LONGEST = 86_400.0
"""Seconds that a connection may last."""


def _close_with(result: Callable[[float], object], here: socket.socket) -> None:
    """Close this machine's side when the relay has ended."""
    with contextlib.suppress(ProbeError):
        result(_LONGEST)
    with contextlib.suppress(OSError):
        here.shutdown(socket.SHUT_RDWR)
