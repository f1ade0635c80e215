"""Examination of this machine for a kind lab."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab import doctor
from lbproof.lab.base import LabError
from lbproof.lab.components import ComponentOptions
from lbproof.lab.doctor import Finding, State
from lbproof.lab.kind import images
from lbproof.lab.kind.components import complete
from lbproof.lab.kind.engine import REMEDY, Engine

if TYPE_CHECKING:
    from collections.abc import Callable

_PACKAGES = {"ip": "iproute2", "nsenter": "util-linux", "nft": "nftables"}
"""Program → its Debian package."""
_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
_INOTIFY_ENOUGH = 512
"""Advice of kind's list of known issues: below it nodes fail with "too many open files"."""


def examine(options: ComponentOptions | None = None) -> list[Finding]:
    """Check everything that a kind lab needs, in the order of repair."""
    options = options or ComponentOptions()
    programs = [doctor.program(name, package) for name, package in _PACKAGES.items()]
    kind = doctor.component("kind", options, complete(options.kubernetes))
    return [doctor.python(), doctor.root(), *programs, *_engine(), _pytest_kind(), _inotify(), kind]


def require(warn: Callable[[str], None]) -> None:
    """Raise `LabError` that names everything missing, except kind itself, which `components.ensure` brings.

    Call `warn` with a line about limits of this machine that can make a boot fail.
    """
    findings = examine()
    for finding in findings:
        if finding.what == "inotify" and finding.remedy:
            warn(f"{finding.detail}; more: {finding.remedy}")
    doctor.require(findings, "kind lab")


def _engine() -> list[Finding]:
    """Look for the Docker engine and for an image of the nodes in it."""
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
    """Check the number of inotify instances that this machine allows; two clusters need more than Debian's default."""
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
