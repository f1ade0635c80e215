"""Official releases: each file is checked against its pinned SHA-256 before it gets a place.

A checksum that comes from where the file comes from proves nothing, so it is not asked for, and a file that is not
pinned in versions.toml is not downloaded.

A machine without a way out is common, so all hosts are asked at once and one that has not answered within
`ANSWER_WITHIN` seconds counts as unreachable for the rest of this process. Name resolution cannot be given a time
limit, hence threads that nobody waits for.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import platform
import shutil
import tarfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

from lbproof.lab.components.base import ComponentError, SourceError, no_space
from lbproof.lab.components.catalogue import SHA256

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lbproof.lab.components.base import Progress
    from lbproof.lab.components.catalogue import Component, Release

ANSWER_WITHIN = 3.0
STALLED_AFTER = 30.0
"""Seconds without a byte after which a download has broken off."""
SAY_EVERY = 5.0
_CHUNK = 1 << 20
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x"}
_unreachable: dict[str, str] = {}
"""Host → why, for the rest of this process."""


def pinned(release: Release) -> str:
    """Return the pinned SHA-256 of a release's file for this machine; empty when there is none."""
    return SHA256.get(_path(release), "")


def unreachable(components: Iterable[Component], mirror: str) -> dict[str, str]:
    """Ask the hosts of the components' releases, all at once, for at most `ANSWER_WITHIN` seconds; any answer counts.

    Return host → why it cannot be reached, for all that this process has found so far.
    """
    asked: dict[str, threading.Thread] = {}
    for component in components:
        if component.release is None or not pinned(component.release):
            continue
        url = _url(component.release, mirror)
        host = _host(url)
        if host not in asked and host not in _unreachable:
            asked[host] = threading.Thread(target=_ask, args=(url,), daemon=True)
            asked[host].start()
    deadline = time.monotonic() + ANSWER_WITHIN
    for host, thread in asked.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            _unreachable.setdefault(host, f"{host} has not answered within {ANSWER_WITHIN:g} s")
    return dict(_unreachable)


def _path(release: Release) -> str:
    return release.path.format(arch=_ARCHITECTURES.get(platform.machine(), platform.machine()))


def _url(release: Release, mirror: str) -> str:
    return (mirror.rstrip("/") or release.host) + _path(release)


def _ask(url: str) -> None:
    try:
        _open(url, ANSWER_WITHIN, method="HEAD").close()
    except SourceError:
        return  # an unreachable host is noted; a file that is missing is told when it is fetched


def fetch(component: Component, mirror: str, staging: Path, progress: Progress) -> Path:
    """The program of a component's release in the staging folder, checked.

    Raises `SourceError` when there is no such file, it is not pinned or it cannot be had; `ComponentError` when it is
    not the pinned one or the disk is full.
    """
    if component.release is None:
        raise SourceError("it is published as an image alone")
    url = _url(component.release, mirror)
    digest = pinned(component.release)
    if not digest:
        raise SourceError(f"{url} is not pinned in versions.toml (python tools/pin_releases.py prints what to add)")
    target = staging / component.name
    file = staging / f"{component.name}.part"
    try:
        got = _stream(url, file, progress)
        if got != digest:
            raise ComponentError(
                f"{component.name} {component.version} cannot be had: {url} has the SHA-256 {got}; versions.toml pins "
                f"{digest}; nothing of it is kept"
            )
        if component.release.member:
            member = component.release.member.format(arch=_ARCHITECTURES[platform.machine()])
            with tarfile.open(file) as archive, target.open("wb") as program:
                source = archive.extractfile(member)
                if source is None:
                    raise SourceError(f"{url} holds no program {member}")
                shutil.copyfileobj(source, program, _CHUNK)
            file.unlink()
        else:
            file.replace(target)
        target.chmod(0o755)
    except (tarfile.TarError, KeyError) as error:
        raise SourceError(f"{url} is not the archive that it should be: {error}") from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise no_space(staging) from None
        raise
    return target


def _stream(url: str, file: Path, progress: Progress) -> str:
    """Download a file; return its SHA-256."""
    seen = hashlib.sha256()
    began = said = time.monotonic()
    got = 0
    with _open(url, STALLED_AFTER) as answer, file.open("wb") as out:
        expected = int(answer.headers.get("Content-Length") or 0)
        progress(f"downloading {url} ({expected / 1e6:.0f} MB)")
        while True:
            try:
                chunk = answer.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise SourceError(f"{url} broke off after {got} bytes: {error}") from None
            if not chunk:
                break
            out.write(chunk)
            seen.update(chunk)
            got += len(chunk)
            if time.monotonic() - said >= SAY_EVERY:
                said = time.monotonic()
                progress(f"  {got / 1e6:.0f} of {expected / 1e6:.0f} MB after {said - began:.0f} s")
    if expected and got != expected:
        raise SourceError(f"{url} broke off after {got} of {expected} bytes")
    return seen.hexdigest()


def _open(url: str, limit: float, method: str = "GET") -> http.client.HTTPResponse:
    host = _host(url)
    if host in _unreachable:
        raise SourceError(_unreachable[host])
    try:
        request = urllib.request.Request(url, method=method)  # noqa: S310 - a mirror may be a file:// URL; what comes is checked
        return urllib.request.urlopen(request, timeout=limit)  # type: ignore[no-any-return]  # noqa: S310 - likewise
    except urllib.error.HTTPError as error:
        with error:
            raise SourceError(f"{url}: HTTP {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        _unreachable.setdefault(host, f"{host} is unreachable: {reason}")
        raise SourceError(_unreachable[host]) from None
    except ValueError as error:
        raise SourceError(f"{url} is no URL: {error}") from None


def _host(url: str) -> str:
    """Return the host of a URL; of a file:// URL, which has none, the URL."""
    return urllib.parse.urlsplit(url).netloc or url
