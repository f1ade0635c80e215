"""Programs from Go modules, pinned by go.sum: what works where only a module proxy is reachable, if slowly.

The sources are copied to a temporary folder, because an installed package and Go's own module cache are read-only.
`direct` is taken out of GOPROXY: it would clone repositories, which hangs on a machine without a way out.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.common.commands import killed_with_parent
from lbproof.lab.common.environment import NETWORK, only
from lbproof.lab.components.base import SourceError, no_space
from lbproof.lab.components.catalogue import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lbproof.lab.components.base import Progress
    from lbproof.lab.components.catalogue import Build, GoTree

SAY_EVERY = 15.0
_LAST_LINES = 5
_OF_USER = (
    *("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "GOROOT", "GOPATH", "GOCACHE", "GOMODCACHE", "GOENV"),
    *("GOPROXY", "GOINSECURE", "NETRC"),
    *NETWORK,
)
"""What a user may tell `go`: where it keeps files and how it reaches the module proxy; nothing that changes results."""


def go_version() -> tuple[int, int] | None:
    """The version of the `go` on PATH, None when there is none."""
    program = shutil.which("go")
    if program is None:
        return None
    said = subprocess.run([program, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=_local())
    found = re.match(r"go(\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2])) if found else None


def lacking() -> tuple[str, str]:
    """Why nothing can be built here and what to do about it, as two clauses; both empty when it can."""
    have = go_version()
    need = VERSIONS["go"]
    if have and have >= tuple(map(int, need.split("."))):
        return "", ""
    remedy = f"install Go {need} or newer from https://go.dev/dl and put its bin folder on PATH"
    return (f"Go {have[0]}.{have[1]} on PATH is older than {need}" if have else "there is no `go` on PATH"), remedy


@contextmanager
def tree(source: GoTree, progress: Progress) -> Iterator[Path]:
    """A writable copy of the sources, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="lbproof-go-", ignore_cleanup_errors=True) as temporary:
        place = Path(temporary) / "src"
        try:
            origin = source.folder or _module(source, Path(temporary), progress)
            # copyfile and not copy: the module cache's files are read-only, and so would be the copies
            shutil.copytree(origin, place, copy_function=shutil.copyfile)
        except (OSError, shutil.Error) as error:
            if "No space left" in str(error) or getattr(error, "errno", 0) == errno.ENOSPC:
                raise no_space(Path(temporary)) from None
            raise
        for folder, _, _ in os.walk(place):
            Path(folder).chmod(0o755)
        yield place


def make(recipe: Build, sources: Path, target: Path, progress: Progress) -> None:
    """Make a program, or a plain file, of a tree at the path `target`.

    Raises `SourceError` when it does not build, `ComponentError` when a disk is full.
    """
    if recipe.file:
        shutil.copyfile(sources / recipe.file, target)
        return
    flags = ["-trimpath", "-buildvcs=false", f"-tags={recipe.tags}", f"-ldflags={recipe.ldflags}", "-o", str(target)]
    _go(["build", *flags, recipe.package], sources, f"building {target.name} from Go modules", progress)
    target.chmod(0o755)


def _module(source: GoTree, temporary: Path, progress: Progress) -> Path:
    said = _go(["mod", "download", "-json", source.module], temporary, f"getting {source.module}", progress)
    row = json.loads(said)
    if row["Sum"] != source.sum:
        raise SourceError(
            f"the module {source.module} has the sum {row['Sum']}; pinned is {source.sum}; nothing of it is kept"
        )
    return Path(row["Dir"])


def _local() -> dict[str, str]:
    # -mod=readonly and not "": an empty GOFLAGS leaves that of `go env -w` in force, which may accept unpinned modules
    return only(*_OF_USER) | {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off", "CGO_ENABLED": "0"}


def environment() -> dict[str, str]:
    """The environment of `go`: the user's, without what would reach beyond the module proxy or change the result."""
    proxies = _output(["go", "env", "GOPROXY"])
    only = re.sub(r"[,|]direct\b", "", proxies)
    # hashes of what is built stand in go.sum and in versions.toml, so the checksum database adds nothing but a host
    return _local() | {"GOPROXY": only, "GONOSUMDB": "*"}


def _output(argv: Sequence[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, env=_local()).stdout.strip()


def _go(arguments: Sequence[str], folder: Path, doing: str, progress: Progress) -> str:
    """Output of a `go` command, which is said to be at work every `SAY_EVERY` seconds."""
    progress(doing)
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors, tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            killed_with_parent(["go", *arguments]),  # it must not go on when we are killed
            cwd=folder,
            env=environment() | {"GOTMPDIR": str(folder.parent)},  # inside what `tree` removes, whatever happens
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            while True:
                try:
                    code = process.wait(SAY_EVERY)
                    break
                except subprocess.TimeoutExpired:
                    progress(f"  {doing}: {time.monotonic() - began:.0f} s")
        finally:
            if process.poll() is None:  # interrupted: its compilers are of its own session and go with it
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        errors.seek(0)
        output.seek(0)
        said, result = errors.read(), output.read()
    if code:
        if "no space left on device" in said:
            raise no_space(_full_place(said, folder))
        last = "; ".join([line.strip() for line in (said or result).splitlines() if line.strip()][-_LAST_LINES:])
        raise SourceError(f"{doing} failed: {last or f'exit code {code}'}")
    return result


def _full_place(said: str, fallback: Path) -> Path:
    """The path that Go could not write, out of its message."""
    found = re.search(r"(/[^\s:]+): no space left on device", said)
    return Path(found[1]) if found else fallback
