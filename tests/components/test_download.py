"""Releases come from a real HTTP server on the loopback, and only what is exactly as published gets a place."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest

from lbproof.lab.components import Component, ComponentError, ComponentOptions, Release, catalogue, download, ensure

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = b"#!/bin/sh\necho it runs\n"
ONE = Component(name="one", version="1.0.0", release=Release(host="", path="/bin/one", sums="/bin/one.sha256"))
PACKED = Component(
    name="two", version="2.0.0", release=Release(host="", path="/two.tar.gz", sums="/SHA256SUMS", member="two-2/two")
)


class Quiet(SimpleHTTPRequestHandler):
    """A file server that breaks off in the middle of a file when one of its name with `.cut` lies beside it."""

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""

    def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:  # type: ignore[override]
        """Send a file, or half of it."""
        data = source.read()
        outputfile.write(data[: len(data) // 2] if Path(f"{self.directory}{self.path}.cut").exists() else data)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """What the server serves: a program and an archive, with their checksums."""
    folder = tmp_path / "site"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/one").write_bytes(PROGRAM)
    (folder / "bin/one.sha256").write_text(hashlib.sha256(PROGRAM).hexdigest())
    with tarfile.open(folder / "two.tar.gz", "w:gz") as archive:
        row = tarfile.TarInfo("two-2/two")
        row.size = len(PROGRAM)
        archive.addfile(row, io.BytesIO(PROGRAM))
    digest = hashlib.sha256((folder / "two.tar.gz").read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  other.tar.gz\n{digest}  two.tar.gz\n")
    return folder


@pytest.fixture
def options(site: Path, tmp_path: Path) -> Iterator[ComponentOptions]:
    """Options whose mirror is the server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield ComponentOptions(cache=tmp_path / "cache", mirror=f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    thread.join()
    server.server_close()


def brought(component: Component, options: ComponentOptions) -> Path:
    """A component, through the public way."""
    return ensure([component.name], progress=lambda _: None, options=options, known={component.name: component})[
        component.name
    ]


def files_of(options: ComponentOptions) -> list[str]:
    """Every file in the cache that has a name of its own."""
    return [path.name for path in options.cache.rglob("*") if path.is_file() and path.name != ".lock"]


@pytest.mark.parametrize("component", [ONE, PACKED], ids=["plain file", "archive"])
def test_a_release_is_downloaded_checked_and_executable(component: Component, options: ComponentOptions) -> None:
    """What was published is what runs."""
    path = brought(component, options)

    assert path.read_bytes() == PROGRAM
    assert path.stat().st_mode & 0o777 == 0o755
    assert files_of(options) == [component.name]


def test_a_second_time_asks_nobody(options: ComponentOptions, site: Path) -> None:
    """The cache answers when the server has nothing any more."""
    brought(ONE, options)
    (site / "bin/one").unlink()
    (site / "bin/one.sha256").unlink()

    assert brought(ONE, options).read_bytes() == PROGRAM


def test_a_file_that_is_not_what_was_published_is_refused(options: ComponentOptions, site: Path) -> None:
    """A wrong checksum is named, and nothing of the file stays."""
    (site / "bin/one").write_bytes(b"something else")

    with pytest.raises(ComponentError, match=r"one 1\.0\.0 cannot be had: .*/bin/one has the wrong checksum"):
        brought(ONE, options)

    assert files_of(options) == []


def test_a_download_that_breaks_off_leaves_nothing(options: ComponentOptions, site: Path) -> None:
    """Half a program never gets the name of a program."""
    (site / "bin/one.cut").touch()

    with pytest.raises(ComponentError, match=r"broke off after \d+ of \d+ bytes"):
        brought(ONE, options)

    assert files_of(options) == []


def test_a_disk_that_fills_up_is_named(options: ComponentOptions, site: Path, small: Path) -> None:
    """The error says which folder is full, and nothing of the file stays."""
    large = bytes(3_000_000)
    (site / "bin/one").write_bytes(large)
    (site / "bin/one.sha256").write_text(hashlib.sha256(large).hexdigest())
    full = ComponentOptions(cache=small, mirror=options.mirror)

    with pytest.raises(ComponentError, match=rf"disk of {small}.* is full .* LBPROOF_CACHE, GOCACHE and TMPDIR can"):
        brought(ONE, full)

    assert files_of(full) == []


def test_a_release_that_is_not_there_is_named_with_its_address(options: ComponentOptions, site: Path) -> None:
    """A reader of a 404 can open the same address."""
    (site / "bin/one.sha256").unlink()

    with pytest.raises(ComponentError, match=r"http://127\.0\.0\.1:\d+/bin/one\.sha256: HTTP 404"):
        brought(ONE, options)


def test_a_checksum_file_without_the_release_is_an_error(options: ComponentOptions, site: Path) -> None:
    """A digest of something else is never taken."""
    (site / "SHA256SUMS").write_text(f"{'0' * 64}  other.tar.gz\n{'1' * 64}  another.tar.gz\n")

    with pytest.raises(ComponentError, match=r"has no checksum of two\.tar\.gz"):
        brought(PACKED, options)


def test_a_machine_without_a_way_out_learns_it_once_and_at_once(tmp_path: Path) -> None:
    """Several programs of one host that refuses cost one try, in far less than the limit."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        options = ComponentOptions(cache=tmp_path, mirror=f"http://127.0.0.1:{closed.getsockname()[1]}")
        began = time.monotonic()

        found = download.checksums(catalogue().values(), options.mirror)

    assert {str(reason).partition(": ")[0] for reason in found.values()} == {
        f"{options.mirror.removeprefix('http://')} is unreachable"
    }
    assert time.monotonic() - began < 1


def test_a_host_that_never_answers_costs_the_limit_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five programs of a silent host take no longer than one, and the next ask takes nothing."""
    monkeypatch.setattr(download, "ANSWER_WITHIN", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirror = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        first = download.checksums(catalogue().values(), mirror)
        second = download.checksums(catalogue().values(), mirror)
        took = time.monotonic() - began

    assert len(first) == len(second) == 6
    assert took < 0.9


def test_a_version_that_is_not_pinned_is_downloaded_or_refused(tmp_path: Path) -> None:
    """Only the pinned Kubernetes can be built, and the error says so."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        mirror = f"http://127.0.0.1:{closed.getsockname()[1]}"
        options = ComponentOptions(cache=tmp_path, mirror=mirror, kubernetes="1.35.1")

        with pytest.raises(ComponentError, match=r"kubectl 1\.35\.1 .*only Kubernetes 1\.36\.3 can be built here"):
            ensure(["kubectl"], progress=lambda _: None, options=options)
