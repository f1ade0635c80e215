"""A container: a program in its pod's network namespace, with mounts, a hostname and a root of its own.

The root is an empty directory in memory that holds the image's program, what the program needs of the machine
(read-only), the volumes, /proc, /sys and /dev; nothing else of the machine is in sight. The directories and files are
made here; the binds are made by a few lines of shell in the container's private mount namespace, and end with it.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from lbproof.lab.netns.processes import start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

    from lbproof.lab.base import Image
    from lbproof.spec.families import IPAddress

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/"
_VARIABLE = re.compile(r"\$(\$)?\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Something of the machine that the container sees."""

    source: str
    target: str
    """Where in the container."""
    read_only: bool = True


def mounts_of(pod: Mapping[str, Any], container: Mapping[str, Any], volumes: Path) -> list[Mount]:
    """What a container of a pod mounts, by their specs; `volumes` holds the pod's volumes by name."""
    host = {row["name"]: row["hostPath"] for row in pod.get("volumes", []) if "hostPath" in row}
    mounts = []
    for row in container.get("volumeMounts", []):
        name = row["name"]
        source = Path(host[name]["path"]) if name in host else volumes / name
        if "subPath" in row:
            source /= row["subPath"]
        # what is of this machine is never written to
        read_only = name in host or row.get("readOnly", False)
        mounts.append(Mount(source=str(source), target=row["mountPath"], read_only=read_only))
    return mounts


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value; `$$(NAME)` is its escape, and an unknown name stays as it is."""

    def value(found: re.Match[str]) -> str:
        escaped, name = found.groups()
        return f"$({name})" if escaped else env.get(name, found[0])

    return _VARIABLE.sub(value, text)


def argv(image: Image, container: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
    """What runs: `command` replaces the image's entrypoint and its default arguments, `args` the latter alone."""
    command: Sequence[str] = container.get("command") or ()
    args: Sequence[str] = container.get("args") or ()
    if command:
        return [expand(word, env) for word in (*command, *args)]
    own = args or image.default_args
    return [image.path or image.program, *image.args, *(expand(word, env) for word in own)]


def run(
    *,
    image: Image,
    command: Sequence[str],
    env: Mapping[str, str],
    mounts: Sequence[Mount],
    root: Path,
    netns: str,
    hostname: str,
    addresses: Sequence[IPAddress],
    log: Path,
) -> subprocess.Popen[bytes]:
    """Start a container anew below `root`, which is emptied. `OSError` when a source is not there."""
    shutil.rmtree(root, ignore_errors=True)
    for directory in ("etc", "proc", "sys", "dev", "tmp", "run", "var/tmp", "var/log", "var/lib"):
        (root / directory).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/hostname").write_text(f"{hostname}\n", encoding="utf-8")
    hosts = ["127.0.0.1 localhost", *(f"{address} {hostname}" for address in addresses)]
    (root / "etc/hosts").write_text("\n".join(hosts) + "\n", encoding="utf-8")
    (root / "etc/resolv.conf").touch()
    program = Mount(source=image.program, target=image.path or image.program)
    own = [Mount(source=path, target=path) for path in image.binds]
    if not any(Path(program.target).is_relative_to(bind.target) for bind in own):
        own.append(program)
    script = ["set -e", 'chroot=$(command -v chroot); path=$1; shift; echo "$1" > /proc/sys/kernel/hostname; shift']
    script += [f"mount --rbind /{name} {quote(str(root / name))}" for name in ("proc", "dev")]
    script.append(f"mount -t sysfs -o ro sysfs {quote(str(root / 'sys'))}")
    for mount in [*sorted(own, key=lambda bind: bind.target), *mounts]:
        script += _bind(mount, root)
    script.append(f'export PATH="$path"; exec "$chroot" {quote(str(root))} "$@"')
    # the shell's own PATH finds mount; the container's comes with the last line
    shell_env = {**env, "PATH": os.environ["PATH"]}
    shell = ["unshare", "--mount", "--uts", "sh", "-c", "\n".join(script), "container"]
    return start([*shell, env.get("PATH", PATH), hostname, *command], netns=netns, log=log, env=shell_env)


def _bind(mount: Mount, root: Path) -> list[str]:
    """Make room for a mount; gives the command that fills it, if it takes one."""
    source, target = Path(mount.source), root / mount.target.lstrip("/")
    if source.is_symlink() and mount.read_only and mount.source == mount.target:
        if not target.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.readlink())
        return []
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        source.stat()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    option = " -o ro" if mount.read_only else ""
    return [f"mount --bind{option} {quote(str(source))} {quote(str(target))}"]
