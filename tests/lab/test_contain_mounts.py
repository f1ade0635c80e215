"""The first process of a container, run without a lab: no path, link or file of a pod leads it out of the container."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.lab.base import SYSTEM
from lbproof.lab.netns import contain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

DEFAULT_CAPABILITIES = 0xA80425FB
SYS_ADMIN = 1 << 21
BOUNDING = "import ctypes; print([n for n in range(64) if ctypes.CDLL(None).prctl(23, n) == 1])"
REPLACED_PROC = (
    "import ctypes, os, sys\n"
    "os.makedirs('/tmp/p/sys/kernel'); open('/tmp/p/sys/kernel/cap_last_cap', 'w').write('-1')\n"
    "assert ctypes.CDLL(None).mount(b'/tmp/p', b'/proc', b'', 4096, b'') == 0\n"
    "print('replaced', flush=True); sys.stdin.read()"
)


def row(source: object, target: str, **more: object) -> dict[str, Any]:
    """A mount, as `container.py` hands it over."""
    return {"source": str(source), "target": target, "read_only": False, "sub": None, "make": "", "link": False, **more}


def config(root: Path, mounts: Sequence[Mapping[str, Any]], argv: Sequence[str], **more: object) -> dict[str, Any]:
    """What a container of root with default capabilities starts with."""
    programs = sorted({*SYSTEM, sys.prefix, sys.base_prefix})
    return {
        "join": 0,
        "root": str(root),
        "mounts": [*(row(path, path, read_only=True, link=True) for path in programs if os.path.exists(path)), *mounts],  # noqa: PTH110 - text
        "files": {"etc/hostname": "contained\n"},
        "sysctls": {},
        "hostname": "contained",
        "argv": list(argv),
        "env": {"PATH": "/usr/bin:/bin"},
        "directory": "/",
        "host_ipc": False,
        "user": 0,
        "group": 0,
        "groups": (0,),
        "capabilities": DEFAULT_CAPABILITIES,
        "no_new_privileges": False,
        "privileged": False,
        "read_only_root": False,
        **more,
    }


@contextmanager
def started(given: Mapping[str, Any], *before: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start `contain.py` with a configuration; yield the process, and the pipe of its errors."""
    handed_over, (ours, theirs) = os.memfd_create("config"), os.pipe()
    os.write(handed_over, marshal.dumps(dict(given)))
    os.lseek(handed_over, 0, os.SEEK_SET)
    argv = [*before, sys.executable, "-I", "-S", contain.__file__, str(handed_over), str(theirs)]
    with subprocess.Popen(
        argv,
        pass_fds=(handed_over, theirs),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        os.close(handed_over)
        os.close(theirs)
        yield process, ours
        os.close(ours)


def contained(given: Mapping[str, Any], *, host_pid: bool = False) -> tuple[str, str]:
    """Run a container to its end; return what it printed, and why it did not start."""
    spaces = ("unshare", "--mount", "--net", *(() if host_pid else ("--pid", "--fork")))
    with started(given, *spaces) as (process, errors):
        said = process.communicate(timeout=30)[0]
        return said, os.read(errors, 4096).decode()


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str], Path]:
    """Make a directory; `root` is where containers mount theirs."""

    def make(name: str) -> Path:
        path = tmp_path / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    make("root")
    make("machine")
    return make


@pytest.mark.parametrize("target", ["/proc", "/proc/", "/tmp/../proc", "/proc/1", "/proc/fs", "/v/at", "/v/at/1"])  # noqa: S108 - in the container
def test_nothing_is_mounted_in_proc(made: Callable[[str], Path], target: str) -> None:
    """As runc refuses it (CVE-2019-16884): what is read there would be the pod's, and so what is mounted after it."""
    volume, evil = made("volume"), made("evil")
    (volume / "at").symlink_to("/proc")
    said, error = contained(config(made("root"), [row(volume, "/v"), row(evil, target)], ["/bin/echo", "started"]))

    assert said == ""
    assert error == f"CreateContainerError nothing can be mounted at {target}: it is in /proc"


@pytest.mark.parametrize("through", ["/.old", "/v/old", "/v/process/root", "/proc/{pid}/root"])
@pytest.mark.parametrize("host_pid", [False, True])
@pytest.mark.parametrize("kind", ["directory", "file"])
def test_no_target_of_a_mount_is_made_on_the_machine(
    made: Callable[[str], Path], through: str, kind: str, *, host_pid: bool
) -> None:
    """Neither through the old root nor through a process of the machine; such a path is the container's, or refused."""
    machine, volume = made("machine"), made("volume")
    source = made("source") if kind == "directory" else made("source") / "file"
    if kind == "file":
        source.touch()
    (volume / "old").symlink_to("/.old")
    (volume / "process").symlink_to(f"/proc/{os.getpid()}")
    target = through.format(pid=os.getpid()) + f"{machine}/made/here"
    contained(config(made("root"), [row(volume, "/v"), row(source, target)], ["/bin/true"]), host_pid=host_pid)

    assert list(machine.iterdir()) == []


@pytest.mark.parametrize("through", ["/v/process/root", "/v/process/cwd", "/proc/{pid}/root", "/proc/{pid}/cwd/"])
def test_no_working_directory_is_the_machine_s(made: Callable[[str], Path], through: str) -> None:
    """A link of /proc to another process's root is refused, where the machine's processes are in sight."""
    volume = made("volume")
    (volume / "process").symlink_to(f"/proc/{os.getpid()}")
    directory = through.format(pid=os.getpid())
    given = config(made("root"), [row(volume, "/v")], ["/bin/ls"], directory=directory)
    said, error = contained(given, host_pid=True)

    assert said == ""
    assert "Too many levels of symbolic links" in error


def test_mounts_are_as_wanted(made: Callable[[str], Path]) -> None:
    """Directories and files, read-only or not, below one another, at a path with `..`, without device files."""
    volume, inner = made("volume"), made("inner")
    (inner / "file").write_text("of the file\n")
    mounts = [
        row(volume, "/../a/b"),
        row(inner, "/a/b/c", read_only=True),
        row(inner, "/etc/passwd", sub="file"),
        row(volume, "/sub", sub="x/y", make="directory"),
    ]
    script = "cat /a/b/c/file /etc/passwd; touch /a/b/w /sub/w; touch /a/b/c/w; ls /a/b; cat /proc/mounts"
    said, error = contained(config(made("root"), mounts, ["/bin/sh", "-c", script], directory="/new/directory"))
    lines = said.splitlines()
    options = {line.split()[1]: set(line.split()[3].split(",")) for line in lines if line.count(" ") == 5}

    assert error == ""
    assert lines[:2] == ["of the file"] * 2
    assert "Read-only file system" in lines[2]
    assert lines[3:6] == ["c", "w", "x"]
    assert [{"ro", "rw", "nodev"} & options[path] for path in ("/a/b", "/a/b/c")] == [{"rw", "nodev"}, {"ro", "nodev"}]
    assert (volume / "x/y/w").exists()


def test_no_file_of_a_container_decides_on_capabilities(made: Callable[[str], Path]) -> None:
    """A command of a probe has the container's bounding set also where /proc is no longer the kernel's."""
    running = config(
        made("root"), [], [sys.executable, "-c", REPLACED_PROC], capabilities=DEFAULT_CAPABILITIES | SYS_ADMIN
    )
    with started(running, "unshare", "--mount", "--net") as (process, _):
        assert process.stdout is not None
        assert process.stdout.readline() == "replaced\n"
        probe = config(made("root"), [], [sys.executable, "-c", BOUNDING], join=process.pid, capabilities=1)
        with started(probe) as (joined, errors):
            said = joined.communicate(timeout=30)[0]
            error = os.read(errors, 4096).decode()
        process.communicate()

    assert (said, error) == ("[0]\n", "")
