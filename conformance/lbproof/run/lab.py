"""Lab of a run: boot or attach, install the implementation, take down."""

from __future__ import annotations

import contextlib
import os
import platform
from typing import TYPE_CHECKING

from lbproof import __version__
from lbproof.context import RunContext, manifests
from lbproof.lab import provide
from lbproof.lab.base import LabError
from lbproof.lab.provider import LabRequest
from lbproof.witnesses.kube import Kube
from lbproof.witnesses.wait import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from lbproof.adapters.base import Adapter
    from lbproof.lab.base import Lab
    from lbproof.run.options import Options
    from lbproof.witnesses.journal import Journal


class RunLab:
    """Lab in which a run, or one of its workers, executes checks."""

    def __init__(self, options: Options, adapter: Adapter, claimed: frozenset[str]) -> None:
        """Boot nothing yet. `claimed`: features that are judged."""
        self.options, self.adapter, self.claimed = options, adapter, claimed
        self._lab: Lab | None = None
        self._context: RunContext | None = None

    @property
    def context(self) -> RunContext:
        """Return the context shared by all cases. Raises `RuntimeError` before the implementation is installed."""
        if self._context is None:
            raise RuntimeError("no check runs outside the run")
        return self._context

    def boot(self, progress: Callable[[str], None]) -> dict[str, str]:
        """Boot a lab, or attach to the given one; return its description for the report."""
        self._lab, self._programs = self._provide(progress)
        return self._facts(self._lab)

    def install(
        self,
        journal: Journal,
        budgets: Mapping[str, float],
        begins: Iterable[Callable[[RunContext], None]],
        progress: Callable[[str], None],
    ) -> None:
        """Install the implementation and start the background activities of check modules."""
        if self._lab is None:
            raise RuntimeError("a lab is booted before anything is installed in it")
        cluster = Kube(self._lab.kubeconfig)
        if self.options.lab:
            _refuse_leftovers(self.options.lab, cluster)
        self._context = RunContext(
            lab=self._lab,
            cluster=cluster,
            adapter=self.adapter,
            claimed=self.claimed,
            journal=journal,
            waiter=Waiter(journal, budgets),
            programs=self._programs,
        )
        self._context.install(progress)
        for start in begins:
            start(self._context)

    def take_down(self) -> None:
        """Remove the run's objects from the lab, or the lab itself when the run booted it."""
        try:
            if self._context and (self.options.keep or self.options.lab):
                self._context.close()
        finally:
            if self._lab and not (self.options.keep or self.options.lab):
                self._lab.down()

    def keep_logs(self, folder: Path) -> None:
        """Export the lab's logs to a folder before the lab is removed."""
        if self._lab:
            with contextlib.suppress(LabError, OSError):  # the error that stopped the run may stop this too
                self._lab.export_logs(folder)

    def _provide(self, progress: Callable[[str], None]) -> tuple[Lab, Mapping[str, Path]]:
        asked = self.options
        request = LabRequest(
            options=asked.lab_options(proxy_mode=self.adapter.proxy_mode),
            programs=self.adapter.components,
            files=self.adapter.files,
            python_modules=self.adapter.python_modules,
            components=asked.components,
        )
        if asked.lab:
            return provide.attach(asked.lab, request, progress)
        return provide.boot(asked.lab_provider, request, progress, lifeline=not asked.keep)

    def _facts(self, lab: Lab) -> dict[str, str]:
        return {
            "implementation": f"{self.adapter.name} {self.adapter.version}",
            "lab": lab.provider,
            "nodes": ", ".join(f"{node.name} ({node.role}, {node.address})" for node in lab.nodes),
            **lab.describe(),
            "kernel": platform.release(),
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
            "python": platform.python_version(),
            "lbproof": __version__,
        }


def _refuse_leftovers(lab: str, cluster: Kube) -> None:
    """Raise `LabError` when a given lab holds objects of another run, which could change verdicts."""
    selector = ",".join(f"{key}={value}" for key, value in manifests.OURS.items())
    found = [one["metadata"] for one in cluster.list("/api/v1/namespaces", labelSelector=selector)]
    live = [meta["name"] for meta in found if "deletionTimestamp" not in meta]
    if live:
        raise LabError(
            f"lab {lab} is used by another run, or one that was killed left objects in it (namespaces "
            f"{', '.join(live)}): wait for that run, or take the lab down and boot another"
        )
