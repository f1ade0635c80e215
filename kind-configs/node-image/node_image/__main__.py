"""`python -m node_image [--name | --unless-published]`: has the image in the engine, and prints its name.

Progress goes to stderr, each stage with its time. 69 when something cannot be had, as for every command of ours.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError
from lbproof.lab.components import VERSIONS, ComponentOptions, build, ensure
from lbproof.lab.components.catalogue import GOMOD
from lbproof.lab.kind import images as choose
from lbproof.lab.kind.components import complete, kind_sources
from lbproof.lab.kind.engine import Engine
from node_image import archive, debian, images, node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EX_USAGE, EX_UNAVAILABLE = 64, 69
STABLE = f"lbproof/node:v{VERSIONS['kubernetes']}"
"""The name without the hash: whatever has been loaded last."""
_MB = 1e6


def say(line: str) -> None:
    """One line of progress."""
    print(f"node-image: {line}", file=sys.stderr, flush=True)  # noqa: T201 - a command


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Say what is done, and when it is done how long it took."""
    began = time.monotonic()
    say(f"{what} …")
    yield
    say(f"{what}: {time.monotonic() - began:.1f} s")


@contextmanager
def alone(cache: Path) -> Iterator[None]:
    """No other process makes an image while the block lasts; says so when it has to wait for one."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is making an image: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fingerprint(*roots: Path) -> str:
    """A short hash of files and of all files in folders: names, contents, whether one can run."""
    digest = hashlib.sha256()
    for root in roots:
        files = root.rglob("*") if root.is_dir() else [root]
        for path in sorted(path for path in files if path.is_file() and path.suffix != ".pyc"):
            head = f"{path.relative_to(root.parent)} {os.access(path, os.X_OK)} {path.stat().st_size}\n"
            digest.update(head.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def name() -> str:
    """The image's name: Kubernetes' version, and a hash of all that it is made by."""
    made_by = fingerprint(
        Path(__file__).parent, node.FILES, images.FILES, node.RUNC, GOMOD, GOMOD.with_name("versions.toml")
    )
    return f"{STABLE}-{made_by}"


def docker(*arguments: str) -> str:
    """Output of a docker command. `LabError` when there is no engine or it refuses."""
    if shutil.which("docker") is None:
        raise LabError("there is no docker here: make kind-engine brings it")
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"docker {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def loaded(image: str) -> bool:
    """Whether the engine has the image. `LabError` when no engine answers."""
    try:
        docker("version", "--format", "{{.Server.Version}}")
    except LabError as error:
        raise LabError(f'no Docker engine answers ({error}); eval "$(make -s kind-engine)" starts one') from None
    return bool(docker("images", "--quiet", image).strip())


def bring_debian(cache: Path) -> Path:
    """The Debian tree, from the cache or new."""
    key = hashlib.sha256((debian.SUITE + debian.PACKAGES + Path(debian.__file__).read_text("utf-8")).encode())
    tree = cache / f"debian-{key.hexdigest()[:8]}"
    if not tree.exists():
        with stage(f"Debian {debian.SUITE} by debootstrap"):
            debian.bring(tree)
    for old in cache.glob("debian-*"):
        if old != tree:
            debian.remove(old)
    return tree


def make(image: str, target: Path, paths: Mapping[str, Path], tree: Path) -> None:
    """Make the node image as an archive at a path."""
    with tempfile.TemporaryDirectory(prefix="making-", dir=target.parent) as temporary:
        work = Path(temporary)
        with stage("images for nodes"):
            written: list[archive.Layer] = []

            def layer(files: archive.LayerFiles) -> archive.Layer:
                written.append(files.write(work / f"{len(written)}.tar"))
                return written[-1]

            pictures = images.pictures(paths, tree, layer)
            with (work / "images.tar").open("wb") as stream:
                archive.write(pictures, stream)
        laid = work / "node"
        with stage("kind's files and programs"), build.tree(kind_sources(), say) as sources:
            node.lay_out(laid, sources, paths)
        with stage(f"{len(pictures)} images into containerd's store"):
            node.fill_store(laid / "var/lib/containerd", work / "images.tar", paths)
        with stage("the node image's archive"):
            picture = archive.Picture(
                tags=(image, STABLE),
                layers=(tar(tree, work / "debian.tar"), tar(laid, work / "node.tar")),
                entrypoint=("/usr/local/bin/lbproof-entrypoint", "/sbin/init"),
                env=("container=docker",),
                stop_signal="SIGRTMIN+3",
            )
            with (work / "image.tar").open("wb") as stream:
                archive.write([picture], stream)
        (work / "image.tar").replace(target)


def tar(folder: Path, target: Path) -> archive.Layer:
    """A folder as a layer."""
    command = ["tar", "--create", "--file", str(target), "--numeric-owner", "--sort=name", "--directory", str(folder)]
    subprocess.run([*command, "."], check=True)
    return archive.Layer.of(target)


def run() -> str:
    """Have the image in the engine and give its name."""
    image = name()
    if loaded(image):
        docker("tag", image, STABLE)
        say(f"{image} is in the engine")
        return image
    options = ComponentOptions()
    cache = options.cache / "node-image"
    kept = cache / f"{image.rpartition(':')[2]}.tar"
    with alone(cache):
        if not kept.exists():
            if os.geteuid() != 0:
                raise LabError("not root: debootstrap and containerd need it to make a node image")
            with stage("programs"):
                paths = ensure(images.COMPONENTS, progress=say, options=options, known=complete())
            make(image, kept, paths, bring_debian(cache))
            for old in cache.glob("*.tar"):
                if old != kept:
                    old.unlink()
    with stage(f"{kept.stat().st_size / _MB:.0f} MB into the engine"):
        docker("load", "--quiet", "--input", str(kept))
    _forget_others(image)
    return image


def _forget_others(image: str) -> None:
    """Untag what this image replaces; the engine keeps what a cluster still runs."""
    listed = docker("images", "--format", "{{.Repository}}:{{.Tag}}", image.partition(":")[0]).split()
    for other in listed:
        if other.startswith(f"{STABLE}-") and other != image:
            with suppress(LabError):
                docker("rmi", other)


def unless_published() -> str:
    """The published image, if the engine has it or can pull it, else ours."""
    engine = Engine.find()
    try:
        return choose.published(engine, say)
    except LabError as error:
        say(str(error))
        return run()


MODES = {"": run, "--name": name, "--unless-published": unless_published}


def main(arguments: list[str]) -> int:
    """Do it, and say in one line what is wrong if it cannot be done."""
    mode = MODES.get(" ".join(arguments))
    if mode is None:
        say(f"usage: build [{' | '.join(filter(None, MODES))}]")
        return EX_USAGE
    try:
        print(mode())  # noqa: T201 - a command
    except LabError as error:
        say(str(error))
        return EX_UNAVAILABLE
    except KeyboardInterrupt:
        say("interrupted; what was complete is kept")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
