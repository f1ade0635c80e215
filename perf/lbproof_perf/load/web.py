"""Locust's web UI: the load at the client in the lab, its page on this machine's loopback.

Master and workers run at the client, where Locust listens on its own loopback. A proxy pipes to it, as to a lab's API
server: the listening socket is this machine's, and what it leads to is opened at the client.
"""

from __future__ import annotations

import contextlib
import tempfile
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.common import api_proxy
from lbproof.witnesses import http
from lbproof.witnesses.wait import eventually
from lbproof_perf.load.run import START, started, wait_for
from lbproof_perf.probes.prober import Prober

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lbproof.witnesses.vantage import Vantage
    from lbproof_perf.load.run import Load

_PORT = 8089
_LISTENS = "Starting web interface at"


def serve(vantage: Vantage, load: Load, port: int, say: Callable[[str], None]) -> None:
    """Serve the UI until Locust ends or Ctrl-C. Raises `LabError` when the port is taken or Locust fails."""
    with opened(vantage, load, port) as (url, wait):
        say(f"load: Locust's web UI is at {url}; Ctrl-C ends it")
        with contextlib.suppress(KeyboardInterrupt):
            wait()


@contextlib.contextmanager
def opened(vantage: Vantage, load: Load, port: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """The UI inside the block: its address here, and a way to wait for Locust's end."""
    with (
        tempfile.TemporaryDirectory(prefix="lbproof-web-") as made,
        api_proxy.listening(port) as listener,
        started(vantage, load.argv(Path(made), "--web-host", "127.0.0.1", "--web-port", str(_PORT)), Path(made, "log"))
        as process,
    ):  # fmt: skip
        wait_for(process, Path(made, "log"), _LISTENS)
        eventually(  # it says so a little before it does
            lambda: http.connects(vantage, IPv4Address("127.0.0.1"), _PORT),
            lambda seen: seen == "open",
            what="Locust's web UI listens",
            within=START,
        )
        pipe = [str(listener.fileno()), "127.0.0.1", str(_PORT)]
        with Prober(api_proxy.__name__, pipe, descriptors=[listener.fileno()], inside=vantage.inside()):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", process.wait
