"""`python -m fake_lab …` is `lbproof …` with a lab that boots at once and contains nothing: for tests of the command.

With FAKE_ROOT the labs of the installed providers are booted instead, and recorded below that folder.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbproof import checks
from lbproof.adapters.reference import Reference
from lbproof.context import RunContext
from lbproof.context.workloads import Workloads
from lbproof.lab import provide, registry
from lbproof.lab.base import LabError, Node, Role, Segment
from lbproof.run import cli
from lbproof.standing import witnesses
from lbproof.standing.finding import Finding
from lbproof.witnesses.kube import Kube
from lbproof.witnesses.wait import EventuallyFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CLAIMED = Reference.features - {"ipv6", "dual-stack", "ndp"}
"""What the reference claims here: the fake lab has IPv4 alone, unless a test asks for both."""
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
"""


class FakeLab:
    """Has nodes and a segment on paper, no API server, no vantage and no capability.

    With FAKE_LAB=stopped the run is stopped while its logs are kept, with FAKE_LAB=dual it has both families.
    """

    name, provider = "fake", "netns"
    nodes = (Node(name="m01", role=Role.CONTROL_PLANE, addresses=(IPv4Address("192.0.2.1"),), mac="02:00:00:00:00:01"),)
    segment = Segment(
        name="lan",
        subnets=(IPv4Network("192.0.2.0/24"),),
        free=(IPv4Address("192.0.2.170"), IPv4Address("192.0.2.171")),
    )
    segments = (segment,)

    def __init__(self) -> None:
        if os.environ["FAKE_LAB"] == "dual":
            self.segment = replace(self.segment, subnets=(*self.segment.subnets, IPv6Network("2001:db8::/64")))
        self.kubeconfig = Path(os.environ["FAKE_CHECKS"]) / "kubeconfig"
        self.kubeconfig.write_text(KUBECONFIG)
        self.gone = self.kubeconfig.with_name("lab-is-gone")

    def can(self, _ability: object) -> bool:
        return False

    def clocks(self) -> Mapping[str, Any]:
        return {}

    def describe(self) -> Mapping[str, str]:
        return {"kubernetes": "none"}

    def client(self) -> None:
        return None

    def export_logs(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "m01.agent.log").write_text("no module named fake\n")
        if os.environ.get("FAKE_LAB") == "stopped":
            os.kill(os.getpid(), signal.SIGTERM)

    def detach(self) -> None:
        self.gone.with_name("lab-is-detached").write_text("")

    def down(self) -> None:
        if os.environ.get("FAKE_LAB") == "crowded":
            raise EventuallyFailed("namespace lbproof is gone", "not within 30 s", [(0.0, "terminating")])
        self.gone.write_text("")


def boot(*_: Any, **__: Any) -> tuple[FakeLab, dict[str, Path]]:  # noqa: ANN401 - as `provide.boot`
    """A fake lab at once, or the failure that FAKE_LAB asks for."""
    if os.environ["FAKE_LAB"] == "broken":
        raise LabError("the kernel of this machine lacks veth: load it with modprobe veth")
    if os.environ["FAKE_LAB"] == "few-files":
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    if os.environ["FAKE_LAB"] == "bug":
        raise ZeroDivisionError
    return FakeLab(), {}


def install(*_: object) -> None:
    """Nothing at once, or the failure that FAKE_LAB asks for."""
    if os.environ.get("FAKE_LAB") == "uninstallable":
        raise EventuallyFailed("Deployment acme/agent is ready", "not within 30 s", [(0.0, "0 ready")])


class FakeWitness:
    """Standing witness of Services that finds what FAKE_STANDING asks for: `violation` or `broken`."""

    def __init__(self, *_: object) -> None:
        self.asked = os.environ.get("FAKE_STANDING", "")

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def judge(self) -> Iterator[Finding]:
        if self.asked == "broken":
            raise OSError(errno.ECONNREFUSED, "the API server does not answer")
        if self.asked == "violation":
            self.asked = ""
            now = time.monotonic()
            rows = [{"t": now, "service": f"ns/{name}", "type": "MODIFIED", "status": ["192.0.2.170"]} for name in "ab"]
            what = "192.0.2.170 was given to ns/b while ns/a had it"
            yield Finding(
                promise="one-holder",
                requirement="POOL-02",
                subject="ns/b",
                what=what,
                begin=now,
                end=now,
                observed=[row | {"version": "7", "changed": {}, "by": []} for row in rows],
            )

    finish = judge


def patch() -> None:
    """Put the fake in place of labs and of what is installed in them."""
    Reference.features = CLAIMED
    witnesses.ServiceWitness = FakeWitness  # type: ignore[assignment, attr-defined]
    if "FAKE_ROOT" in os.environ:
        registry.ROOT = Path(os.environ["FAKE_ROOT"])
        Kube.list = lambda *_, **__: []  # type: ignore[method-assign]
    else:
        provide.boot = boot  # type: ignore[assignment]
    RunContext.install = install  # type: ignore[assignment, method-assign]
    Workloads.replace = lambda *_: None  # type: ignore[method-assign]
    checks.__file__ = str(Path(os.environ["FAKE_CHECKS"]) / "__init__.py")


def main() -> None:
    """The command, on the fake."""
    patch()
    cli.main()


if __name__ == "__main__":
    main()
