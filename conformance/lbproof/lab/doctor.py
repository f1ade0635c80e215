"""What this machine has and lacks for a lab, and exactly what to run about it.

Kernel features are tried and not looked up: whether a container may make a bridge is not written anywhere. Components
are looked for and never fetched, so an examination takes well under a second.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab import probe_kernel
from lbproof.lab.base import LabError
from lbproof.lab.components import ComponentOptions, catalogue, find, source_of
from lbproof.lab.components.build import lacking
from lbproof.lab.kind import images
from lbproof.lab.kind.engine import REMEDY, Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lbproof.lab.components import Component

PACKAGES = {
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mount": "mount",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
}
"""Program → the Debian package that holds it."""
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where system programs are, which the PATH of a user who became root may lack."""
_ROOM = 5e9
_ROOM_CACHED = 5e8
_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc")


class State(StrEnum):
    """How a thing stands."""

    OK = "ok"
    MISSING = "missing"
    UNKNOWN = "unknown"
    """It could not be tried; what stands in the way is a finding of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a lab needs, as it stands on this machine."""

    what: str
    state: State
    detail: str
    remedy: str = ""
    """Exactly what to run, or a clause that says what to do; empty when nothing needs to be done."""


def examine(options: ComponentOptions | None = None, python_modules: Mapping[str, str] | None = None) -> list[Finding]:
    """Everything that a lab needs, in the order in which a person would put it right.

    `python_modules` are the Python modules of an implementation, each with what pip is told to install.

    Raises `ComponentError` when the folder of components that was named cannot be one.
    """
    options = options or ComponentOptions()
    root = _root()
    programs = [_program(name) for name in PACKAGES]
    kernel = _kernel([root, *programs])
    return [
        _python(),
        *_python_modules(python_modules or {}),
        root,
        *programs,
        *kernel,
        *_components(options),
        _disk(options),
    ]


def usable(findings: Iterable[Finding]) -> bool:
    """Whether nothing is known to be missing."""
    return all(finding.state is not State.MISSING for finding in findings)


def require(python_modules: Mapping[str, str]) -> None:
    """Raise `LabError` that names everything that is missing, save components, which `components.ensure` brings.

    `python_modules` are the Python modules of the implementation, each with what pip is told to install.
    """
    root = _root()
    programs = [_program(name) for name in PACKAGES]
    found = (*_python_modules(python_modules), root, *programs, *_kernel([root, *programs]))
    missing = [finding for finding in found if finding.state is State.MISSING]
    if missing:
        remedies = dict.fromkeys(finding.remedy for finding in missing if finding.remedy)
        what = "; ".join(f"{finding.what}: {finding.detail}" for finding in missing)
        raise LabError(f"no lab can be had here: {what}. To do: {'; '.join(remedies)}")


_FOR_KIND = ("ip", "nsenter", "nft")
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_ENOUGH = 512
"""What kind's own list of known trouble advises: below it nodes fail with "too many open files"."""


def examine_kind(options: ComponentOptions | None = None) -> list[Finding]:
    """Everything that a kind lab needs, in the order in which a person would put it right."""
    options = options or ComponentOptions()
    programs = [_program(name) for name in _FOR_KIND]
    return [_python(), _root(), *programs, *_engine(), _pytest_kind(), _inotify(), _kind(options)]


def require_kind(warn: Callable[[str], None]) -> None:
    """Raise `LabError` that names what is missing for a kind lab, save what `components.ensure` brings.

    Says what may stand in the way of a boot, so that one that fails has been warned of.
    """
    findings = examine_kind()
    for finding in findings:
        if finding.what == "inotify" and finding.remedy:
            warn(f"{finding.detail}; more: {finding.remedy}")
    missing = [finding for finding in findings if finding.state is State.MISSING]
    if missing:
        remedies = dict.fromkeys(finding.remedy for finding in missing if finding.remedy)
        what = "; ".join(f"{finding.what}: {finding.detail}" for finding in missing)
        raise LabError(f"no kind lab can be had here: {what}. To do: {'; '.join(remedies)}")


def _engine() -> list[Finding]:
    """The Docker engine of a kind lab, and whether it has an image for the nodes."""
    try:
        engine = Engine.find()
    except LabError as error:
        return [Finding(what="Docker engine", state=State.MISSING, detail=str(error), remedy=REMEDY)]
    version = engine.run("version", "--format", "{{.Server.Version}}")
    found = Finding(what="Docker engine", state=State.OK, detail=f"{version} at {engine.host}")
    here = [image for image in (images.PUBLISHED, images.BUILT) if engine.has_image(image)]
    if here:
        return [found, Finding(what="node image", state=State.OK, detail=here[0])]
    detail = f"{images.PUBLISHED} is pulled when it is first needed"
    remedy = "where it cannot be pulled, in a checkout of lbproof: make kind-image"
    return [found, Finding(what="node image", state=State.UNKNOWN, detail=detail, remedy=remedy)]


def _pytest_kind() -> Finding:
    if find_spec("pytest_kind"):
        return Finding(what="pytest-kind", state=State.OK, detail="installed")
    return Finding(
        what="pytest-kind", state=State.MISSING, detail="not installed", remedy="pip install 'lbproof[kind]'"
    )


def _inotify() -> Finding:
    """How many clusters' worth of watchers the machine allows: the best known trouble of kind."""
    limit = int(_INOTIFY.read_text(encoding="ascii"))
    detail = f"fs.inotify.max_user_instances is {limit}"
    if limit >= _INOTIFY_ENOUGH:
        return Finding(what="inotify", state=State.OK, detail=detail)
    return Finding(
        what="inotify",
        state=State.UNKNOWN,
        detail=f"{detail}: enough for one cluster, not for two",
        remedy=f"sysctl -w fs.inotify.max_user_instances={_INOTIFY_ENOUGH}",
    )


def _kind(options: ComponentOptions) -> Finding:
    path = find("kind", options)
    if path:
        return Finding(what="kind", state=State.OK, detail=str(path))
    detail = f"comes when it is first needed: {source_of('kind', options)}"
    return Finding(what="kind", state=State.UNKNOWN, detail=detail)


def lines(findings: Sequence[Finding]) -> list[str]:
    """The findings for a terminal, one line each, with what to run below what is missing."""
    width = max((len(finding.what) for finding in findings), default=0)
    said = []
    for finding in findings:
        said.append(f"{finding.state:8} {finding.what:{width}}  {finding.detail}")
        if finding.remedy:
            said.append(f"{'':8} {'':{width}}  → {finding.remedy}")
    return said


def _python() -> Finding:
    return Finding(what="Python", state=State.OK, detail=f"{sys.version.split()[0]} ({sys.executable})")


def _python_modules(python_modules: Mapping[str, str]) -> list[Finding]:
    """The Python modules that an implementation's programs import: they run with this interpreter."""
    found = []
    for module, requirement in python_modules.items():
        if find_spec(module):
            found.append(Finding(what=module, state=State.OK, detail="installed"))
        else:
            detail = f"the implementation imports it, and it is not installed for {sys.executable}"
            remedy = f"{sys.executable} -m pip install '{requirement}'"
            found.append(Finding(what=module, state=State.MISSING, detail=detail, remedy=remedy))
    return found


def _root() -> Finding:
    if os.geteuid() == 0:
        return Finding(what="root", state=State.OK, detail="yes")
    detail = f"not root: user {os.geteuid()} may not make network namespaces"
    return Finding(what="root", state=State.MISSING, detail=detail, remedy="run the same command with sudo")


def _program(name: str) -> Finding:
    path = shutil.which(name, path=_path())
    if path:
        return Finding(what=name, state=State.OK, detail=path)
    remedy = f"apt-get install --no-install-recommends {PACKAGES[name]}"
    return Finding(what=name, state=State.MISSING, detail="there is no such program", remedy=remedy)


def _path() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *SBIN))


def _kernel(before: Sequence[Finding]) -> list[Finding]:
    """What the kernel can do; unknown where root or a program is missing."""
    missing = {finding.what for finding in before if finding.state is State.MISSING}
    names = ("network, mount and PID namespaces", *probe_kernel.FEATURES)
    if missing & {"root", "unshare"}:
        return [Finding(what=name, state=State.UNKNOWN, detail="could not be tried") for name in names]
    done = subprocess.run(
        [*_UNSHARE, sys.executable, "-I", "-S", probe_kernel.__file__],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": _path()},
    )
    if done.returncode:
        detail = f"the kernel of this machine does not allow them: {done.stderr.strip()}"
        remedy = "run on a machine or in a container that may make namespaces (docker run --privileged)"
        return [Finding(what=names[0], state=State.MISSING, detail=detail, remedy=remedy)]
    found = [Finding(what=names[0], state=State.OK, detail="works")]
    for name, reason in json.loads(done.stdout).items():
        if not reason:
            found.append(Finding(what=name, state=State.OK, detail="works"))
        elif missing & set(probe_kernel.programs(name)):
            found.append(Finding(what=name, state=State.UNKNOWN, detail=f"could not be tried: {reason}"))
        else:
            detail = f"the kernel of this machine lacks it or does not allow it: {reason}"
            remedy = "load the kernel module that it names, or use another machine"
            found.append(Finding(what=name, state=State.MISSING, detail=detail, remedy=remedy))
    return found


def _components(options: ComponentOptions) -> list[Finding]:
    found = []
    to_build = []
    for name, component in catalogue(options.kubernetes).items():
        path = find(name, options)
        if path:
            found.append(Finding(what=name, state=State.OK, detail=str(path)))
            continue
        detail = f"comes when it is first needed: {source_of(name, options)}"
        found.append(Finding(what=name, state=State.UNKNOWN, detail=detail))
        if component.build:
            to_build.append(component)
    return [*_go(to_build), *found]


def _go(to_build: Sequence[Component]) -> list[Finding]:
    """Whether Go is here, if anything would have to be built; only what has no release cannot do without it."""
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
