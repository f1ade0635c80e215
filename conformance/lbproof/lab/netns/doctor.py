"""Examination of this machine for a netns lab.

Kernel features are tried, not looked up: nothing says beforehand whether a container may create a bridge.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from lbproof.lab import doctor
from lbproof.lab.common import environment
from lbproof.lab.components import ComponentOptions, catalogue, find
from lbproof.lab.components.build import lacking
from lbproof.lab.doctor import Finding, State
from lbproof.lab.netns import kernel_features
from lbproof.lab.netns.processes import UNSHARE
from lbproof.spec.families import Family

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from lbproof.lab.components import Component

PACKAGES = {
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "iptables": "iptables",
    "ip6tables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
}
"""Program → its Debian package."""
_ROOM = 5e9
"""Bytes of disk to build components."""
_ROOM_CACHED = 5e8
"""Bytes of disk with all components in the cache."""


def examine(
    options: ComponentOptions | None = None,
    python_modules: Mapping[str, str] | None = None,
    families: Collection[Family] = tuple(Family),
) -> list[Finding]:
    """Check everything that a lab of some families needs, in the order of repair.

    `python_modules` are those of the implementation: module → pip requirement. Raises `ComponentError` when the given
    folder of components contains none.
    """
    options = options or ComponentOptions()
    return [doctor.python(), *_machine(python_modules or {}, families), *_components(options), _disk(options)]


def require(python_modules: Mapping[str, str], families: Collection[Family] = tuple(Family)) -> None:
    """Raise `LabError` that names everything missing, except components, which `components.ensure` brings.

    `python_modules` are those of the implementation: module → pip requirement.
    """
    doctor.require(_machine(python_modules, families))


def _machine(python_modules: Mapping[str, str], families: Collection[Family]) -> list[Finding]:
    root = doctor.root()
    programs = [doctor.program(name, package) for name, package in PACKAGES.items()]
    kernel = _kernel([root, *programs])
    if Family.IPV6 not in families:
        kernel = [finding for finding in kernel if finding.what != kernel_features.IPV6]
    return [*doctor.python_modules(python_modules), root, *programs, *kernel]


def _kernel(before: Sequence[Finding]) -> list[Finding]:
    """Try the features of the kernel; they are unknown without root or the programs for it."""
    missing = {finding.what for finding in before if finding.state is State.MISSING}
    names = ("network, mount and PID namespaces", *kernel_features.FEATURES)
    if missing & {"root", "unshare"}:
        return [Finding(what=name, state=State.UNKNOWN, detail="could not be tried") for name in names]
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-I", "-S", kernel_features.__file__],
        capture_output=True,
        text=True,
        check=False,
        env=environment.closed(),
    )
    if done.returncode:
        detail = f"the kernel of this machine does not allow them: {done.stderr.strip()}"
        remedy = "run on a machine or in a container that may make namespaces (docker run --privileged)"
        return [Finding(what=names[0], state=State.MISSING, detail=detail, remedy=remedy)]
    found = [Finding(what=names[0], state=State.OK, detail="works")]
    for name, reason in json.loads(done.stdout).items():
        if not reason:
            found.append(Finding(what=name, state=State.OK, detail="works"))
        elif missing & set(kernel_features.programs(name)):
            found.append(Finding(what=name, state=State.UNKNOWN, detail=f"could not be tried: {reason}"))
        elif name == kernel_features.DUMMY:
            detail = f"the kernel of this machine lacks them, which implementations that create one need: {reason}"
            remedy = "for such an implementation, load the kernel module dummy, or use another machine"
            found.append(Finding(what=name, state=State.UNKNOWN, detail=detail, remedy=remedy))
        else:
            detail = f"the kernel of this machine lacks it or does not allow it: {reason}"
            without = "a lab with --families ipv4, " if name == kernel_features.IPV6 else ""
            remedy = f"load the kernel module that it names, or use {without}another machine"
            found.append(Finding(what=name, state=State.MISSING, detail=detail, remedy=remedy))
    return found


def _components(options: ComponentOptions) -> list[Finding]:
    known = catalogue(options.kubernetes)
    found = [doctor.component(name, options, known) for name in known]
    to_build = [known[one.what] for one in found if one.state is not State.OK and known[one.what].build]
    return [*_go(to_build), *found]


def _go(to_build: Sequence[Component]) -> list[Finding]:
    """Look for Go if a component would have to be built; one without a release cannot be had without it."""
    if not to_build:
        return []
    reason, remedy = lacking()
    if not reason:
        return [Finding(what="go", state=State.OK, detail="builds what cannot be downloaded")]
    state = State.UNKNOWN if all(component.release for component in to_build) else State.MISSING
    return [Finding(what="go", state=state, detail=reason, remedy=remedy)]


def _disk(options: ComponentOptions) -> Finding:
    place = next(path for path in (options.cache, *options.cache.parents) if path.exists())
    free = shutil.disk_usage(place).free
    complete = all(find(name, options) for name in catalogue(options.kubernetes))
    needed = _ROOM_CACHED if complete else _ROOM
    detail = f"{free / 1e9:.1f} GB free at {place}, {needed / 1e9:.1f} GB needed"
    if free >= needed:
        return Finding(what="disk", state=State.OK, detail=detail)
    remedy = "set LBPROOF_CACHE, GOCACHE and TMPDIR to folders on another disk"
    return Finding(what="disk", state=State.MISSING, detail=detail, remedy=remedy)
