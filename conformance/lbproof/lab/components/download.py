"""Official releases: each file is checked against its published SHA-256 before it gets a place.

A machine without a way out is common, so all checksums are asked for at once and a host that has not answered within
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

from lbproof.lab.components.base import SourceError, no_space

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


def urls(release: Release, mirror: str) -> tuple[str, str]:
    """Where a release's file and its checksum are. `SourceError` when there is none for this machine."""
    arch = _ARCHITECTURES.get(platform.machine())
    if arch is None:
        raise SourceError(f"there are no releases for {platform.machine()}")
    base = mirror.rstrip("/") or release.host
    return base + release.path.format(arch=arch), base + release.sums.format(arch=arch)


def checksums(components: Iterable[Component], mirror: str) -> dict[str, str | SourceError]:
    """Published SHA-256 of each component's release, by the component's name, or why there is none; ≤ `ANSWER_WITHIN`.

    All are asked for at once.
    """
    found: dict[str, str | SourceError] = {}
    threads: dict[str, tuple[threading.Thread, str]] = {}

    def ask(name: str, file: str, sums: str) -> None:
        try:
            found[name] = _digest(_text(sums), file.rpartition("/")[2], sums)
        except SourceError as error:
            found[name] = error

    for component in components:
        if component.release is None:
            continue
        try:
            file, sums = urls(component.release, mirror)
        except SourceError as error:
            found[component.name] = error
            continue
        thread = threading.Thread(target=ask, args=(component.name, file, sums), daemon=True)
        threads[component.name] = (thread, _host(sums))
        thread.start()
    deadline = time.monotonic() + ANSWER_WITHIN
    for name, (thread, host) in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            reason = _unreachable.setdefault(host, f"{host} has not answered within {ANSWER_WITHIN:g} s")
            found[name] = SourceError(reason)
    return dict(found)


def fetch(component: Component, digest: str, mirror: str, staging: Path, progress: Progress) -> Path:
    """The program of a component's release in the staging folder, checked.

    Raises `SourceError` when the file is not what was published, `ComponentError` when the disk is full.
    """
    if component.release is None:
        raise SourceError(f"there is no release of {component.name}")
    url, _ = urls(component.release, mirror)
    target = staging / component.name
    file = staging / f"{component.name}.part"
    try:
        _stream(url, digest, file, progress)
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


def _stream(url: str, digest: str, file: Path, progress: Progress) -> None:
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
    if seen.hexdigest() != digest:
        raise SourceError(f"{url} has the wrong checksum: {seen.hexdigest()} instead of the published {digest}")


def _text(url: str) -> str:
    with _open(url, ANSWER_WITHIN) as answer:
        try:
            return str(answer.read(_CHUNK).decode("utf-8", errors="replace"))
        except (OSError, http.client.HTTPException) as error:
            raise SourceError(f"{url} broke off: {error}") from None


def _digest(text: str, file: str, url: str) -> str:
    """The digest for a file in the text of a checksum file."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    for row in rows:
        if (len(row) == 1 and len(rows) == 1) or row[-1].lstrip("*") == file:
            return row[0].lower()
    raise SourceError(f"{url} has no checksum of {file}")


def _open(url: str, limit: float) -> http.client.HTTPResponse:
    host = _host(url)
    if host in _unreachable:
        raise SourceError(_unreachable[host])
    try:
        return urllib.request.urlopen(url, timeout=limit)  # type: ignore[no-any-return]  # noqa: S310 - a mirror may be a file:// URL; what comes is checked against what the same place published
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
    return urllib.parse.urlsplit(url).netloc
