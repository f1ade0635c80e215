"""A container: a program in its pod's network namespace, with a root, namespaces and privileges of its own.

The root is a file system in memory that holds the image's program, what the program needs of the machine (read-only),
the volumes, /proc, /sys and /dev; nothing else of the machine is in sight. It ends with the container's processes:
`contain.py` makes it in a mount namespace that nothing outside shares.
"""

from __future__ import annotations

import marshal
import os
import py_compile
import re
import select
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from lbproof.lab.common.commands import output
from lbproof.lab.common.netns import entered, new_pid_namespace
from lbproof.lab.netns import plan
from lbproof.lab.netns.processes import start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lbproof.lab.base import Image
    from lbproof.lab.netns.security import Privileges
    from lbproof.spec.families import Family, IPAddress

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/"
WITHIN = 30.0
"""Timeout in seconds of a container's start."""
_VARIABLE = re.compile(r"\$(\$)?\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
_ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnobody:x:65534:\n",
}
_HOST_TYPES = {"": "directory", "DirectoryOrCreate": "directory", "FileOrCreate": "file"}
"""Type of a `hostPath` → what is made where nothing is; containerd makes a directory for one without type."""


class ContainerError(RuntimeError):
    """A container did not start; `reason` is that of its waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        """`reason` as in the API (`CreateContainerError`, `RunContainerError`)."""
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Something of the machine that the container sees."""

    source: str
    target: str
    """Where in the container."""
    read_only: bool = True
    sub: str | None = None
    """Path below `source`, resolved as if `source` were the root; None for `source` itself."""
    make: str = ""
    """What to make at `sub` when nothing is there: `directory`, `file`, or nothing."""
    link: bool = False
    """Whether a symbolic link at `source` becomes the same link at `target`, as /bin of a machine with merged /usr."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What all containers of a lab start with."""

    root: Path
    """Empty directory; each container mounts its root at it, in its own mount namespace."""
    interpreter: Path
    """The Python interpreter on a read-only mount: a script with the first line `#!/proc/self/exe` in a container runs
    the program that started the container, and could else write to it (CVE-2019-5736)."""
    program: Path
    """`contain.py`, compiled: a script is compiled at each start."""

    @classmethod
    def prepare(cls, work: Path) -> Self:
        """Make it in a directory that a mount namespace of the lab alone sees. Raises `LabError`."""
        runtime = cls(root=work / "root", interpreter=work / "python", program=work / "contain.pyc")
        runtime.root.mkdir()
        runtime.interpreter.touch()
        py_compile.compile(str(Path(__file__).with_name("contain.py")), str(runtime.program), doraise=True)
        output(["mount", "--bind", "-o", "ro", os.path.realpath(sys.executable), str(runtime.interpreter)])
        return runtime

    def call(self, *files: IO[bytes]) -> list[str]:
        """Return the command line of `contain.py` with descriptors."""
        return [os.path.realpath(sys.executable), "-I", "-S", str(self.program), *(str(one.fileno()) for one in files)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything of a container but its command: how it is started, and what a command of an `exec` probe gets."""

    runtime: Runtime
    privileges: Privileges
    env: Mapping[str, str]
    directory: str
    """Working directory."""
    host_ipc: bool = False
    host_pid: bool = False

    def config(self, command: Sequence[str]) -> dict[str, Any]:
        """Return the part of a configuration of `contain.py` that a container and a command in it share."""
        return {
            "argv": list(command),
            "env": dict(self.env),
            "directory": self.directory,
            "host_ipc": self.host_ipc,
            **asdict(self.privileges),
        }


@cache
def available_capabilities() -> int:
    """Return the bit mask of capabilities that this process can give to a container."""
    fields = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if "Cap" in line)
    return int(fields["CapBnd"], 16) & int(fields["CapPrm"], 16)


def base_environment(image: Image, hostname: str, families: Sequence[Family]) -> dict[str, str]:
    """Return a container's variables before its own `env`."""
    return {
        "PATH": PATH,
        "HOSTNAME": hostname,
        "KUBERNETES_SERVICE_HOST": str(plan.SERVICES.hosts(plan.API_SERVICE, families)[0]),
        "KUBERNETES_SERVICE_PORT": "443",
        **image.env,
    }


def mounts_of(
    pod: Mapping[str, Any], container: Mapping[str, Any], volumes: Path, node: Path, env: Mapping[str, str]
) -> list[Mount]:
    """Return what a container of a pod mounts, by their specs.

    `volumes` holds the pod's volumes by name; `node` is the root of the node's own files, to which `hostPath` refers.
    """
    specs = {row["name"]: row for row in pod.get("volumes", [])}
    mounts = []
    for row in container.get("volumeMounts", []):
        spec = specs[row["name"]]
        inner = expand(row["subPathExpr"], env) if "subPathExpr" in row else row.get("subPath")
        writable = "emptyDir" in spec or "hostPath" in spec  # a kubelet mounts all others read-only
        source, make = volumes / row["name"], "directory" if writable else ""
        if "hostPath" in spec:
            source = node
            make = make if inner else _HOST_TYPES.get(spec["hostPath"].get("type") or "", "")
            inner = f"{spec['hostPath']['path']}/{inner or ''}".rstrip("/")
        read_only = row.get("readOnly", False) or not writable
        mounts.append(
            Mount(source=str(source), target=row["mountPath"], read_only=read_only, sub=inner or None, make=make)
        )
    return mounts


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value; `$$(NAME)` is its escape, and an unknown name stays as it is."""

    def value(found: re.Match[str]) -> str:
        escaped, name = found.groups()
        return f"$({name})" if escaped else env.get(name, found[0])

    return _VARIABLE.sub(value, text)


def argv(image: Image, container: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
    """Return what runs: `command` replaces the image's entrypoint and default arguments, `args` the latter alone."""
    command: Sequence[str] = container.get("command") or ()
    args: Sequence[str] = container.get("args") or ()
    if command:
        return [expand(word, env) for word in (*command, *args)]
    own = args or image.default_args
    return [image.path or image.program, *image.args, *(expand(word, env) for word in own)]


def run(
    settings: Settings,
    command: Sequence[str],
    *,
    image: Image,
    mounts: Sequence[Mount],
    sysctls: Mapping[str, str],
    netns: str,
    hostname: str,
    addresses: Sequence[IPAddress],
    log: Path,
) -> subprocess.Popen[bytes]:
    """Start a container; return its first process once that is the program. Raises `ContainerError`."""
    hosts = ["127.0.0.1 localhost", "::1 localhost", *(f"{address} {hostname}" for address in addresses)]
    config = {
        **settings.config(command),
        "join": 0,
        "root": str(settings.runtime.root),
        "mounts": [asdict(row) for row in (*_image_mounts(image), *mounts)],
        "files": {
            **_ACCOUNTS,
            "etc/hostname": f"{hostname}\n",
            "etc/hosts": "\n".join(hosts) + "\n",
            "etc/resolv.conf": "",
        },
        "sysctls": dict(sysctls),
        "hostname": hostname,
    }
    with _handed_over(config) as (given, errors, to_us):
        with new_pid_namespace(not settings.host_pid):
            process = start(
                settings.runtime.call(given, to_us),
                program=settings.runtime.interpreter,
                netns=netns,
                log=log,
                env={},
                descriptors=(given.fileno(), to_us.fileno()),
            )
        to_us.close()
        _await(process, errors)
    return process


def execute(settings: Settings, pid: int, command: Sequence[str], timeout: float) -> bool:
    """Run a command in the container of process `pid`, as its user; return whether it succeeded within `timeout` s."""
    with _handed_over({**settings.config(command), "join": pid}) as (given, _, to_us):
        try:
            with entered(f"/proc/{pid}/ns/pid", kind="pid_for_children"):
                done = subprocess.run(
                    settings.runtime.call(given, to_us),
                    executable=settings.runtime.interpreter,
                    capture_output=True,
                    timeout=timeout,
                    check=False,
                    env={},
                    pass_fds=(given.fileno(), to_us.fileno()),
                )
        except (subprocess.TimeoutExpired, FileNotFoundError):  # FileNotFoundError: the container has ended
            return False
        return done.returncode == 0


@contextmanager
def _handed_over(config: dict[str, Any]) -> Iterator[tuple[IO[bytes], IO[bytes], IO[bytes]]]:
    """Open a configuration in memory, and of both ends of a pipe for errors."""
    with ExitStack() as opened:
        given = opened.enter_context(os.fdopen(os.memfd_create("config"), "wb"))
        marshal.dump(config, given)
        given.flush()
        os.lseek(given.fileno(), 0, os.SEEK_SET)
        ends = [opened.enter_context(os.fdopen(end, mode)) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True)]
        yield given, ends[0], ends[1]


def _image_mounts(image: Image) -> list[Mount]:
    program = Mount(source=image.program, target=image.path or image.program)
    own = [Mount(source=path, target=path, link=True) for path in image.binds]
    if not any(Path(program.target).is_relative_to(row.target) for row in own):
        own.append(program)
    return sorted(own, key=lambda row: row.target)


def _await(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    """Wait until a container's first process has become the program. Raises `ContainerError` when it does not."""
    until = time.monotonic() + WITHIN
    said = b""
    while True:
        if not select.select([errors], [], [], max(0.0, until - time.monotonic()))[0]:
            said = f"CreateContainerError the container has not started within {WITHIN:g} s".encode()
            break
        part = os.read(errors.fileno(), 4096)
        said += part
        if not part:
            break
    if said:
        process.kill()
        process.wait()
        reason, _, message = said.decode(errors="replace").partition(" ")
        raise ContainerError(reason, message)
