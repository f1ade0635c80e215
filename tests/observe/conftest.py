"""What the witnesses' tests share: a segment with hosts on it, and a web server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lbproof.witnesses import http
from lbproof.witnesses.wait import eventually

sys.path.insert(0, str(Path(__file__).parents[2]))  # for the helpers of tests, by their place in the checkout

from tests.observe.places import PORT, Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.common.vantage import NamespaceVantage


@pytest.fixture(scope="session")
def segment() -> Iterator[Segment]:
    """The segment."""
    with Segment() as made:
        yield made


@pytest.fixture(scope="session")
def client(segment: Segment) -> NamespaceVantage:
    """The host that looks."""
    return segment.hosts["client"]


@pytest.fixture(scope="session")
def web(segment: Segment) -> NamespaceVantage:
    """The host that is looked at."""
    return segment.hosts["web"]


@pytest.fixture
def server(web: NamespaceVantage, client: NamespaceVantage, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A web server on `web`, port 8000, whose `/hostname` is `web`."""
    (tmp_path / "hostname").write_text("web\n")
    argv = [sys.executable, "-m", "http.server", str(PORT), "--directory", str(tmp_path)]
    process = web.popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(
        lambda: http.connects(client, web.address, PORT), lambda seen: seen == "open", what="it listens", within=10
    )
    yield process
    process.kill()
    process.wait()
