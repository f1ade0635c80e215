"""Lab provider as a third party writes it: one class in a module of another distribution."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from fake_lab import KUBECONFIG, FakeLab  # type: ignore[import-not-found]

from lbproof.lab import registry
from lbproof.lab.base import Topology
from lbproof.lab.common.options import WORKERS
from lbproof.lab.common.processes import end
from lbproof.lab.doctor import Finding, State
from lbproof.lab.option import Option

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from lbproof.lab.provider import LabRequest
    from lbproof.lab.registry import LabInfo
    from lbproof.spec.families import Family

COLOR = Option(
    name="fake-color", metavar="COLOR", default="red", choices=("red", "blue"), help="color of the lab", doctor=True
)
SIZE = Option(name="fake-size", metavar="N", type=int, default=1, least=1, most=3, help="size of the lab")
DARK = Option(name="fake-dark", type=bool, help="boot in the dark")


class FakeProviderLab(FakeLab):  # type: ignore[misc]
    """Fake lab that knows its color."""

    name, provider = "fake", "fake"

    def __init__(self, info: LabInfo) -> None:
        self.info, self.name, self.kubeconfig = info, info.name, info.kubeconfig
        self.gone = info.directory.with_name("lab-is-gone")

    def describe(self) -> Mapping[str, str]:
        return {"kubernetes": "none", **{key: str(self.info.record[key]) for key in ("color", "size", "dark")}}

    def exec_argv(self, where: str, argv: list[str]) -> list[str]:
        return ["echo", where, str(self.info.record["color"]), *argv]

    def down(self) -> None:
        registry.remove(self.name, FakeProvider().remove)
        super().down()


class FakeProvider:
    """Labs without a cluster: a directory, a kubeconfig and a process that sleeps."""

    name = "fake"
    description = "Labs without a cluster"
    options: tuple[Option, ...] = (WORKERS, COLOR, SIZE, DARK)
    budgets: Mapping[str, float] = {"restarted": 55.0}
    parallel = False

    def capacity(self) -> int:
        return 1

    def examine(self, request: LabRequest) -> list[Finding]:
        return [Finding(what="color", state=State.OK, detail=request.options[COLOR.key])]

    def families(self, options: Mapping[str, Any]) -> tuple[Family, ...]:  # noqa: ARG002
        return Topology().families

    def boot(
        self, request: LabRequest, progress: Callable[[str], None], *, lifeline: bool
    ) -> tuple[FakeProviderLab, dict[str, Path]]:
        progress(f"painting {request.name}, lifeline: {lifeline}")
        given = request.options
        topology = Topology(workers=given[WORKERS.key])
        with registry.claim(request.name) as state:
            process = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            (state / "kubeconfig").write_text(KUBECONFIG)
            details = {"color": given[COLOR.key], "size": given[SIZE.key], "dark": given[DARK.key]}
            registry.record(request.name, process.pid, topology, provider=self.name, **details)
        return self.attach(registry.find(request.name)), {}

    def bring(self, request: LabRequest, progress: Callable[[str], None]) -> dict[str, Path]:  # noqa: ARG002
        return {}

    def attach(self, info: LabInfo) -> FakeProviderLab:
        return FakeProviderLab(info)

    def remove(self, info: LabInfo) -> str:
        if info.alive:
            end(info.pid)
        return f"{info.record['color']} paint"

    def remove_orphans(self, known: Collection[str]) -> Iterator[str]:
        if "orphaned" not in known:
            yield "lab orphaned, of which no directory is left: paint"


class Greedy(FakeProvider):
    """Declares an option that another provider has with another meaning."""

    name = "greedy"
    options = (Option(name="workers", metavar="N", help="another meaning"),)


class Reserved(FakeProvider):
    """Declares an option of a run."""

    name = "reserved"
    options = (Option(name="profile", help="another meaning"),)


class Lacking:
    """Lacks most members."""

    name = "lacking"
    options = ()
