"""Releases come from a real HTTP server on the loopback, and only what its pinned SHA-256 names gets a place."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import tarfile
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest

from lbproof.lab.components import (
    Build,
    Component,
    ComponentError,
    ComponentOptions,
    GoTree,
    Release,
    catalogue,
    download,
    ensure,
)
from lbproof.lab.components.catalogue import SHA256
from lbproof.lab.kind.components import complete

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
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the server serves: a program and an archive, both pinned, and no file of checksums."""
    folder = tmp_path / "site"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/one").write_bytes(PROGRAM)
    with tarfile.open(folder / "two.tar.gz", "w:gz") as archive:
        row = tarfile.TarInfo("two-2/two")
        row.size = len(PROGRAM)
        archive.addfile(row, io.BytesIO(PROGRAM))
    for name in ("bin/one", "two.tar.gz"):
        monkeypatch.setitem(SHA256, f"/{name}", hashlib.sha256((folder / name).read_bytes()).hexdigest())
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

    assert brought(ONE, options).read_bytes() == PROGRAM


@pytest.mark.parametrize("component", [ONE, PACKED], ids=["plain file", "archive"])
def test_a_file_with_another_checksum_than_the_pinned_one_is_refused(
    component: Component, options: ComponentOptions, site: Path
) -> None:
    """One line says what, from where, and both checksums; nothing of it stays; a sum beside the file is not read."""
    assert component.release is not None
    other = b"something else"
    file = site / component.release.path.lstrip("/")
    file.write_bytes(other)
    got = hashlib.sha256(other).hexdigest()
    (site / component.release.sums.lstrip("/")).write_text(f"{got}  {file.name}\n")
    pinned = SHA256[component.release.path]

    with pytest.raises(ComponentError) as caught:
        brought(component, options)

    where = f"{options.mirror}{component.release.path}"
    named = f"{component.name} {component.version} cannot be had: {where}"
    assert str(caught.value) == f"{named} has the SHA-256 {got}; versions.toml pins {pinned}; nothing of it is kept"
    assert files_of(options) == []


def test_a_wrong_checksum_is_no_reason_to_build(options: ComponentOptions, site: Path) -> None:
    """A file that somebody altered is reported and not replaced in silence."""
    (site / "bin/one").write_bytes(b"something else")
    component = replace(ONE, build=Build(tree=GoTree(folder=site), package="."))

    with pytest.raises(ComponentError, match="nothing of it is kept"):
        brought(component, options)


def test_a_file_that_is_not_pinned_is_not_downloaded(
    options: ComponentOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how to pin it."""
    monkeypatch.delitem(SHA256, "/bin/one")

    with pytest.raises(
        ComponentError, match=r"/bin/one is not pinned in versions\.toml \(python tools/pin_releases\.py"
    ):
        brought(ONE, options)

    assert files_of(options) == []


def test_every_release_is_pinned_for_both_architectures() -> None:
    """The programs of a lab, and those for kind; nothing else is pinned."""
    releases = [component.release for component in complete().values() if component.release]
    paths = {release.path.format(arch=arch) for release in releases for arch in ("amd64", "arm64")}

    assert set(SHA256) == paths
    assert [digest for digest in SHA256.values() if not re.fullmatch("[0-9a-f]{64}", digest)] == []


def test_a_download_that_breaks_off_leaves_nothing(options: ComponentOptions, site: Path) -> None:
    """Half a program never gets the name of a program."""
    (site / "bin/one.cut").touch()

    with pytest.raises(ComponentError, match=r"broke off after \d+ of \d+ bytes"):
        brought(ONE, options)

    assert files_of(options) == []


def test_a_disk_that_fills_up_is_named(
    options: ComponentOptions, site: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which folder is full, and nothing of the file stays."""
    large = bytes(3_000_000)
    (site / "bin/one").write_bytes(large)
    monkeypatch.setitem(SHA256, "/bin/one", hashlib.sha256(large).hexdigest())
    full = ComponentOptions(cache=small, mirror=options.mirror)

    with pytest.raises(ComponentError, match=rf"disk of {small}.* is full .* LBPROOF_CACHE, GOCACHE and TMPDIR can"):
        brought(ONE, full)

    assert files_of(full) == []


def test_a_release_that_is_not_there_is_named_with_its_address(options: ComponentOptions, site: Path) -> None:
    """A reader of a 404 can open the same address."""
    (site / "bin/one").unlink()

    with pytest.raises(ComponentError, match=r"http://127\.0\.0\.1:\d+/bin/one: HTTP 404"):
        brought(ONE, options)


def test_a_machine_without_a_way_out_learns_it_once_and_at_once(tmp_path: Path) -> None:
    """A host that refuses is named once for all its programs."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        options = ComponentOptions(cache=tmp_path, mirror=f"http://127.0.0.1:{closed.getsockname()[1]}")

        found = download.unreachable(catalogue().values(), options.mirror)

    host = options.mirror.removeprefix("http://")
    assert found[host].partition(": ")[0] == f"{host} is unreachable"


def test_a_host_that_never_answers_costs_the_limit_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of a silent host are asked for once, and never again."""
    monkeypatch.setattr(download, "ANSWER_WITHIN", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        first = download.unreachable(catalogue().values(), f"http://{host}")
        second = download.unreachable(catalogue().values(), f"http://{host}")
        silent.settimeout(0.1)
        silent.accept()[0].close()
        with pytest.raises(TimeoutError):
            silent.accept()

    assert re.fullmatch(rf"{host} (has not answered within 0\.3 s|is unreachable: .*timed out)", first[host])
    assert second[host] == first[host]


def test_a_mirror_in_a_folder_is_read(site: Path, tmp_path: Path) -> None:
    """A `file://` URL is a mirror too, and one file that it lacks says nothing about the next."""
    options = ComponentOptions(cache=tmp_path / "cache", mirror=site.as_uri())
    (site / "bin/one").unlink()

    with pytest.raises(ComponentError, match=r"/site/bin/one is unreachable"):
        brought(ONE, options)

    assert brought(PACKED, options).read_bytes() == PROGRAM


def test_a_version_that_is_not_pinned_is_refused(tmp_path: Path) -> None:
    """Only the pinned Kubernetes can be downloaded or built, and the error says so."""
    options = ComponentOptions(cache=tmp_path, kubernetes="1.35.1")

    with pytest.raises(
        ComponentError, match=r"kubectl 1\.35\.1 .* is not pinned .*only Kubernetes 1\.36\.3 can be built"
    ):
        ensure(["kubectl"], progress=lambda _: None, options=options)
