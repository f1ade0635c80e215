"""The Debian that a node is: a tree of packages without what a container has no use for.

Also picks single programs out of it with their libraries, for the images that need a few (kube-proxy's iptables).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError
from node_image.archive import LayerFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUITE = "bookworm"
"""The last Debian whose systemd boots with cgroup v1."""
PACKAGES = (
    # what kind's own base image installs, of which a node without NFS and iSCSI needs these
    "systemd,systemd-sysv,conntrack,iptables,nftables,iproute2,ethtool,util-linux,mount,kmod,libseccomp2,"
    "ca-certificates,jq,procps,hostname,"
    # what kind builds itself and Debian has
    "runc,containernetworking-plugins,"
    # for images: kube-proxy in mode ipvs, and nginx
    "ipset,nginx"
)
PLUGINS = ("bridge", "host-local", "loopback", "portmap", "ptp")
_USELESS = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/cache/debconf",
    "var/log",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/i18n",
    "usr/lib/cni",
    "etc/nginx",
)
_UNWANTED_UNITS = (  # as in kind's Dockerfile: a node is no machine
    "lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
    "lib/systemd/system/multi-user.target.wants/*",
    "etc/systemd/system/*.wants/*",
    "lib/systemd/system/local-fs.target.wants/*",
    "lib/systemd/system/sockets.target.wants/*udev*",
    "lib/systemd/system/sockets.target.wants/*initctl*",
    "lib/systemd/system/basic.target.wants/*",
)


def bring(tree: Path) -> None:
    """Make the tree by debootstrap at a path where nothing is yet. `LabError` with what it said last when it fails."""
    staging = tree.with_name(f"{tree.name}.part")
    remove(staging)
    staging.parent.mkdir(parents=True, exist_ok=True)
    log = tree.with_name("debootstrap.log")
    with log.open("w", encoding="utf-8") as output:
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(staging)]
        done = subprocess.run(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        last = log.read_text(encoding="utf-8").splitlines()[-3:]
        raise LabError(f"debootstrap failed: {'; '.join(last)} (all of it: {log})")
    _slim(staging)
    staging.rename(tree)


def remove(tree: Path) -> None:
    """Remove a tree, if it is there, with whatever is still mounted below it taken off first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    for place in sorted((one for one in mounts if one.startswith(f"{tree}/")), reverse=True):
        subprocess.run(["umount", "--lazy", place], check=True)
    if tree.exists():
        shutil.rmtree(tree)


def _slim(tree: Path) -> None:
    plugins = tree / "opt/cni/bin"
    plugins.mkdir(parents=True)
    for name in PLUGINS:
        shutil.move(tree / "usr/lib/cni" / name, plugins / name)
    for place in _USELESS:
        shutil.rmtree(tree / place, ignore_errors=True)
    for place in ("var/log", "var/cache/apt/archives/partial", "var/lib/apt/lists/partial"):
        (tree / place).mkdir(parents=True, exist_ok=True)
    for pattern in _UNWANTED_UNITS:
        for unit in tree.glob(pattern):
            unit.unlink()
    with (tree / "etc/systemd/journald.conf").open("a", encoding="utf-8") as conf:
        conf.write("ReadKMsg=no\n")  # the machine's messages are not the node's
    for name in ("etc/hostname", "etc/resolv.conf", "etc/machine-id"):  # the engine's and kind's
        (tree / name).unlink(missing_ok=True)


def programs(tree: Path, paths: Iterable[str], *, libraries_of: Sequence[str] = ()) -> LayerFiles:
    """Programs of the tree with every shared library that they, or more files, are linked to."""
    wanted = list(paths)
    found = LayerFiles(links={"lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin", "bin": "usr/bin"})
    for path in [*wanted, *libraries_of, *_libraries(tree, [*wanted, *libraries_of])]:
        name = path.lstrip("/")
        if name.startswith("lib"):
            name = f"usr/{name}"  # Debian's /lib is a link
        source = tree / name
        if source.is_symlink() and path in libraries_of:
            found.links[name] = str(source.readlink())
        else:
            found.files[name] = _followed(tree, source)
    return found


def _libraries(tree: Path, paths: Sequence[str]) -> list[str]:
    said = subprocess.run(["chroot", str(tree), "ldd", *paths], capture_output=True, text=True, check=False).stdout
    return sorted(set(re.findall(r"(/lib\S+) \(0x", said)))


def _followed(tree: Path, path: Path) -> Path:
    """What a path of the tree leads to, with absolute links taken as the tree's."""
    while path.is_symlink():
        target = path.readlink()
        path = tree / target.relative_to("/") if target.is_absolute() else path.parent / target
    return path
