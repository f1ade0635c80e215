"""Lab of a run: boot or attach, install the implementation, take down."""

from __future__ import annotations

import contextlib
import os
import platform
from typing import TYPE_CHECKING

from lbproof import __version__
from lbproof.context import RunContext, manifests
from lbproof.lab import provide, registry
from lbproof.lab.base import LabError
from lbproof.lab.provider import LabRequest
from lbproof.standing.witnesses import StandingWitnesses
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

    def __init__(
        self, options: Options, adapter: Adapter, claimed: frozenset[str], *, seed: int = 1, name: str = ""
    ) -> None:
        """Boot nothing yet.

        `claimed`: features that are judged; `seed`: of the run; `name`: that of a new lab, by default a free one.
        """
        self._name = name
        self.options, self.adapter, self.claimed = options, adapter, claimed
        self._lab: Lab | None = None
        self._reserved = contextlib.ExitStack()
        self._before = ""
        """Name and version of the implementation that was installed before."""
        self._context: RunContext | None = None
        self._seed = seed
        self.standing: StandingWitnesses | None = None
        """Standing witnesses, if they were started."""

    @property
    def context(self) -> RunContext:
        """Return the context shared by all cases. Raises `RuntimeError` before the implementation is installed."""
        if self._context is None:
            raise RuntimeError("no check runs outside the run")
        return self._context

    @property
    def stages(self) -> dict[str, str]:
        """Names of the stages for the terminal, where no lab is booted or removed."""
        given = {"boot": f"attaching to lab {self.options.lab}"} if self.options.lab else {}
        stays = {"teardown": "removing the objects of the run; the lab stays up"}
        return given | (stays if self._stays else {})

    @property
    def _stays(self) -> bool:
        return bool(self.options.lab) or self.options.keep

    def reserve(self) -> None:
        """Reserve the lab of `--lab` for this run.

        Raises `LabError` when it is not up, in use by another run, or has another implementation.
        """
        if not self.options.lab:
            return
        self._reserved.enter_context(registry.reserved(self.options.lab))
        self._before = registry.find(self.options.lab).installed
        if self._before and self._before.split()[0] != self.adapter.name:
            raise LabError(
                f"{self._before} is installed in lab {self.options.lab}, and {self.adapter.name} cannot be judged "
                "beside it: choose the installed one with --implementation, or boot another lab (lab up --name NAME)"
            )

    def remaining(self) -> list[str]:
        """Return the lines that say which lab is left, and how to use and to remove it."""
        if self._lab is None or not self._stays:
            return []
        name = self._lab.name
        return [f"  lab {name} stays up: export KUBECONFIG={self._lab.kubeconfig}; remove it: lbproof lab down {name}"]

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
        if self._stays:
            registry.note_installed(self._lab.name, f"{self.adapter.name} {self.adapter.version}")
        self._context = RunContext(
            lab=self._lab,
            cluster=cluster,
            adapter=self.adapter,
            claimed=self.claimed,
            journal=journal,
            waiter=Waiter(journal, budgets),
            programs=self._programs,
            seed=self._seed,
            stays=self._stays,
        )
        self._context.install(progress)
        if self._before:
            self._restart(self._context, progress)
        for start in begins:
            start(self._context)

    def watch(self, judged: Callable[[str], bool]) -> None:
        """Start the standing witnesses. `judged`: whether a requirement is judged in this run, by its ID."""
        self.standing = StandingWitnesses(self.context, judged)
        self.standing.start()

    @staticmethod
    def _restart(context: RunContext, progress: Callable[[str], None]) -> None:
        """Replace the pods of an implementation that was installed before, which may run an older program."""
        for workload in context.workloads.all:
            progress(f"{context.adapter.name}: starting {workload.kind} {workload.name} anew")
            context.workloads.replace(workload)

    def take_down(self, *, looks_again: bool = False) -> None:
        """Remove the run's objects from the lab, or the lab itself when the run booted it.

        `looks_again`: the run has come to its end, and the standing witnesses look again before.
        """
        try:
            if self.standing:
                self.standing.end(looks_again=looks_again)
            if self._context and self._stays:
                self._context.close()
        finally:
            if self._lab:
                (self._lab.detach if self._stays else self._lab.down)()
            self._reserved.close()

    def keep_logs(self, folder: Path) -> None:
        """Export the lab's logs to a folder before the lab is removed."""
        if self._lab:
            with contextlib.suppress(LabError, OSError):  # the error that stopped the run may stop this too
                self._lab.export_logs(folder)

    def _provide(self, progress: Callable[[str], None]) -> tuple[Lab, Mapping[str, Path]]:
        asked = self.options
        request = LabRequest(
            name=self._name,
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
            f"a run that was killed in lab {lab} left objects in it (namespaces {', '.join(live)}), which could change "
            f"verdicts: take it down and boot another: lbproof lab down {lab}; lbproof lab up --name {lab}"
        )
