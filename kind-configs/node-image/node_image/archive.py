"""Docker's archive of images, written without an engine: layers are plain tars, an image is a list of them."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """An uncompressed tar on disk."""

    path: Path
    digest: str
    """SHA-256 of the tar, which is also its name in an archive."""

    @classmethod
    def of(cls, path: Path) -> Layer:
        """The layer of a tar that is there."""
        with path.open("rb") as file:
            return cls(path=path, digest=hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image: what it is called, what it is made of, what it runs."""

    tags: tuple[str, ...]
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    env: tuple[str, ...] = ()
    stop_signal: str = ""

    def config(self) -> bytes:
        """The image's configuration as JSON; the same image gives the same bytes."""
        runs = {
            "Env": [_PATH, *self.env],
            "Entrypoint": list(self.entrypoint) or None,
            "Cmd": list(self.command) or None,
            "User": self.user,
            "WorkingDir": "/",
            "StopSignal": self.stop_signal or None,
        }
        rows = {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {name: value for name, value in runs.items() if value},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in self.layers]},
        }
        return json.dumps(rows, sort_keys=True).encode()


@dataclass(slots=True, kw_only=True)
class LayerFiles:
    """What a layer is to hold, by paths inside the image without the leading slash."""

    files: dict[str, Path] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    """Path → where the symbolic link points."""
    folders: dict[str, int] = field(default_factory=dict)
    """Path → mode."""

    def write(self, target: Path) -> Layer:
        """Write the tar: owned by root, without times, so that equal files make an equal layer."""
        with tarfile.open(target, "w") as tar:
            for name, mode in sorted(self.folders.items()):
                tar.addfile(_entry(name, tarfile.DIRTYPE, mode))
            for name, points_to in sorted(self.links.items()):
                link = _entry(name, tarfile.SYMTYPE, 0o777)
                link.linkname = points_to
                tar.addfile(link)
            for name, source in sorted(self.files.items()):
                status = source.stat()
                entry = _entry(name, tarfile.REGTYPE, 0o755 if status.st_mode & 0o100 else 0o644)
                entry.size = status.st_size
                with source.open("rb") as file:
                    tar.addfile(entry, file)
        return Layer.of(target)


def write(pictures: Sequence[Picture], stream: IO[bytes]) -> None:
    """Write an archive of images (`docker save`'s format) to a stream; equal layers are written once."""
    layers = {layer.digest: layer for picture in pictures for layer in picture.layers}
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        for name, content in _head(pictures).items():
            entry = _entry(name, tarfile.REGTYPE, 0o644)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for layer in layers.values():
            entry = _entry(f"{layer.digest}.tar", tarfile.REGTYPE, 0o644)
            entry.size = layer.path.stat().st_size
            with layer.path.open("rb") as file:
                tar.addfile(entry, file)


def _head(pictures: Iterable[Picture]) -> Mapping[str, bytes]:
    found: dict[str, bytes] = {}
    rows = []
    for picture in pictures:
        config = picture.config()
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        found[name] = config
        layers = [f"{layer.digest}.tar" for layer in picture.layers]
        rows.append({"Config": name, "RepoTags": list(picture.tags), "Layers": layers})
    return {"manifest.json": json.dumps(rows).encode(), **found}


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = kind, mode, 0
    return entry
