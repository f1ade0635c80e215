"""Findings about this machine, and the checks that providers share.

Each provider examines this machine for what its labs need (`LabProvider.examine`). An examination fetches nothing, so
it takes well under a second.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError
from lbproof.lab.common import environment
from lbproof.lab.components import find, source_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lbproof.lab.components import Component, ComponentOptions


class State(StrEnum):
    """State of a finding."""

    OK = "ok"
    MISSING = "missing"
    UNKNOWN = "unknown"
    """Could not be tried; the obstacle is a finding of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """State of one requirement of a lab on this machine."""

    what: str
    state: State
    detail: str
    remedy: str = ""
    """Command to run, or a clause that says what to do; empty when nothing needs to be done."""


def usable(findings: Iterable[Finding]) -> bool:
    """Return whether nothing is known to be missing."""
    return all(finding.state is not State.MISSING for finding in findings)


def require(findings: Iterable[Finding], what: str = "lab") -> None:
    """Raise `LabError` that names everything missing and its remedies, if anything is."""
    missing = [finding for finding in findings if finding.state is State.MISSING]
    if missing:
        remedies = dict.fromkeys(finding.remedy for finding in missing if finding.remedy)
        reasons = "; ".join(f"{finding.what}: {finding.detail}" for finding in missing)
        raise LabError(f"no {what} can be had here: {reasons}. To do: {'; '.join(remedies)}")


def lines(findings: Sequence[Finding]) -> list[str]:
    """Format findings for a terminal, a line for each, with the remedy below."""
    width = max((len(finding.what) for finding in findings), default=0)
    made = []
    for finding in findings:
        made.append(f"{finding.state:8} {finding.what:{width}}  {finding.detail}")
        if finding.remedy:
            made.append(f"{'':8} {'':{width}}  → {finding.remedy}")
    return made


def python() -> Finding:
    """Report the Python interpreter."""
    return Finding(what="Python", state=State.OK, detail=f"{sys.version.split()[0]} ({sys.executable})")


def python_modules(modules: Mapping[str, str]) -> list[Finding]:
    """Look for Python modules of an implementation, whose programs run with this interpreter: module → requirement."""
    found = []
    for module, requirement in modules.items():
        if find_spec(module):
            found.append(Finding(what=module, state=State.OK, detail="installed"))
        else:
            detail = f"the implementation imports it, and it is not installed for {sys.executable}"
            remedy = f"{sys.executable} -m pip install '{requirement}'"
            found.append(Finding(what=module, state=State.MISSING, detail=detail, remedy=remedy))
    return found


def root() -> Finding:
    """Check for root."""
    if os.geteuid() == 0:
        return Finding(what="root", state=State.OK, detail="yes")
    detail = f"not root: user {os.geteuid()} may not make network namespaces"
    return Finding(what="root", state=State.MISSING, detail=detail, remedy="run the same command with sudo")


def program(name: str, package: str) -> Finding:
    """Look for a program of a Debian package."""
    found = shutil.which(name, path=environment.path())
    if found:
        return Finding(what=name, state=State.OK, detail=found)
    remedy = f"apt-get install --no-install-recommends {package}"
    return Finding(what=name, state=State.MISSING, detail="there is no such program", remedy=remedy)


def component(name: str, options: ComponentOptions, known: Mapping[str, Component]) -> Finding:
    """Look for a component of the catalogue `known`; a missing one is brought when it is first needed.

    Raises `ComponentError` for a folder of components that contains none.
    """
    found = find(name, options, known=known)
    if found:
        return Finding(what=name, state=State.OK, detail=str(found))
    detail = f"comes when it is first needed: {source_of(name, options, known=known)}"
    return Finding(what=name, state=State.UNKNOWN, detail=detail)
