"""What the witnesses' tests share: a segment with hosts on it, a web server, and a real API server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lbproof.observe import http
from lbproof.observe.kube import Kube
from lbproof.observe.wait import settles

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the helpers of tests, by their place in the checkout

from tests.observe.places import PORT, Segment, kubeconfig_text
from tests.reference.apiserver import ApiServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.observe.vantage import Vantage


@pytest.fixture(scope="session")
def segment() -> Iterator[Segment]:
    """The segment."""
    with Segment() as made:
        yield made


@pytest.fixture(scope="session")
def client(segment: Segment) -> Vantage:
    """The host that looks."""
    return segment.hosts["client"]


@pytest.fixture(scope="session")
def web(segment: Segment) -> Vantage:
    """The host that is looked at."""
    return segment.hosts["web"]


@pytest.fixture
def server(web: Vantage, client: Vantage, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A web server on `web`, port 8000, whose `/hostname` is `web`."""
    (tmp_path / "hostname").write_text("web\n")
    argv = [sys.executable, "-m", "http.server", str(PORT), "--directory", str(tmp_path)]
    process = web.popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    settles(lambda: http.connects(client, web.address, PORT), lambda seen: seen == "open", what="it listens", within=10)
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The administrator's kubeconfig of a real API server."""
    folder = tmp_path_factory.mktemp("observe-api")
    with ApiServer(folder) as server:
        token = server.client.headers["Authorization"].removeprefix("Bearer ")
        path = folder / "kubeconfig"
        path.write_text(kubeconfig_text(server.url, token=token, ca=str(server.ca)))
        yield path


@pytest.fixture(scope="session")
def kube(kubeconfig: Path) -> Iterator[Kube]:
    """A client of it."""
    made = Kube(kubeconfig)
    yield made
    made.close()
