"""keepalived as the control: what moves an address on the same segment, by the same timers, and is no LoadBalancer.

It speaks VRRP version 3 (RFC 9568) between the workers and puts the address on the interface of the one that won, so
that its kernel answers. It knows nothing of Services: the address is written into its configuration and stands in the
Service as an external IP, which kube-proxy serves on whichever node has it. A power cut, a reboot and an orderly stop
meet it as they meet any implementation, since it is the pods of a DaemonSet.

How long an announcer may be silent is 3 advertisements and the skew, (256 - priority) / 256 of one (RFC 9568, 6.1).
The priorities lie near the top, so that the skew adds little, and far enough apart that two never take over at once.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.adapters.base import Adapter, Workload, WorkloadRole
from lbproof.lab.base import SYSTEM, Image, LabError, Role
from lbproof.lab.common import environment
from lbproof.lab.common.commands import WITHIN
from lbproof.lab.components import debian
from lbproof.witnesses.kube import load_manifests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from lbproof.adapters.base import Object, Site
    from lbproof.context import CheckContext
    from lbproof.lab.base import Node
    from lbproof.spec.families import IPAddress

_MANIFEST = Path(__file__).with_name("keepalived.yaml")
_HIGHEST, _STEP, _LOWEST = 250, 10, 1
ROUTER = 51
"""The virtual router's number on the segment (1 to 255)."""


def configuration(
    addresses: Sequence[str], nodes: Sequence[str], *, interface: str, advertisement: float, real_time: int = 0
) -> str:
    """The text of keepalived.conf, the same on every node: each takes the lines that bear its name.

    `advertisement`: seconds between two, a multiple of 0.01 from 0.01 to 40.95 (RFC 9568, 5.2.7). `real_time`: priority
    of SCHED_RR, 0 for none. Whoever has the addresses keeps them when a node of a higher priority comes (`nopreempt`);
    all else is keepalived's default. Raises ValueError for another advertisement and for more nodes than priorities.
    """
    hundredths = round(advertisement * 100)
    if not 1 <= hundredths <= 4095 or abs(hundredths - advertisement * 100) > 1e-6:  # noqa: PLR2004 - of the RFC
        raise ValueError(f"an advertisement every {advertisement:g} s: it is hundredths of a second, 0.01 to 40.95")
    step = min(_STEP, (_HIGHEST - _LOWEST) // max(1, len(nodes) - 1))
    if step < 1:
        raise ValueError(f"{len(nodes)} nodes: there are {_HIGHEST - _LOWEST + 1} priorities")
    lines = [
        "global_defs {",
        "    vrrp_version 3",
        *([f"    vrrp_rt_priority {real_time}"] if real_time else []),
        "}",
        "vrrp_instance control {",
        "    state BACKUP",
        "    nopreempt",
        f"    interface {interface}",
        f"    virtual_router_id {ROUTER}",
        f"    advert_int {hundredths / 100:g}",
        *(f"    @{node} priority {_HIGHEST - at * step}" for at, node in enumerate(nodes)),
        "    virtual_ipaddress {",
        *(f"        {address}/32" for address in addresses),
        "    }",
        "}",
    ]
    return "\n".join(lines) + "\n"


class Keepalived(Adapter):
    """keepalived in one configuration: it claims the minimum, and `expose` does what a controller would do."""

    version = "of this machine"
    features = frozenset({"core"})
    components = ("keepalived",)
    workloads = (
        Workload(
            kind="DaemonSet",
            namespace="keepalived",
            name="keepalived",
            selector={"app": "keepalived"},
            roles={WorkloadRole.ANNOUNCER},
        ),
    )

    def __init__(self, name: str = "keepalived", *, advertisement: float = 1.0, real_time: int = 0) -> None:
        """`advertisement` and `real_time` as in `configuration`; as they are here, they are keepalived's defaults."""
        self.name = name
        self._advertisement, self._real_time = advertisement, real_time
        self._addresses: list[str] = []

    def images(self, site: Site) -> list[Image]:
        """The program and the libraries of this machine, and its own where it is not installed."""
        program = site.paths["keepalived"]
        self.version = version_of(program)
        tree = debian.tree_of(program)
        binds = (*SYSTEM, str(tree)) if tree else SYSTEM
        return [
            Image(
                pattern="lbproof/keepalived",
                program=str(program),
                binds=tuple(path for path in binds if Path(path).exists()),
                env=debian.environment(program),
            )
        ]

    def manifests(self, site: Site) -> list[Object]:  # noqa: ARG002 - they are a file of ours
        """A namespace, a configuration without an address, a DaemonSet on the workers."""
        return load_manifests(_MANIFEST.read_text(encoding="utf-8"))

    def expose(
        self, check: CheckContext, name: str, *, selector: Mapping[str, str], ports: Sequence[Mapping[str, Any]]
    ) -> IPAddress:
        """Take a free address of the segment, and make a Service in the suite's namespace that has it; gives it.

        One node announces it when this returns. The address stays until the lab goes.
        """
        (address,) = check.run.addresses(1)
        self._addresses.append(str(address))
        workers = [node for node in check.lab.nodes if node.role is Role.WORKER]
        for manifest in self.configured(check.run.site, workers):
            check.cluster.apply(manifest)
        check.run.workloads.rolled_out()
        check.service(name, serving=True, type="ClusterIP", externalIPs=[str(address)], selector=selector, ports=ports)
        check.used.append(address)
        check.announcer(address, budget="one_answerer")
        return address

    def configured(self, site: Site, workers: Sequence[Node]) -> list[Object]:
        """The manifests with what is announced now: the DaemonSet bears the configuration's hash, as a chart's does."""
        interfaces = {node.interface for node in workers}
        if len(interfaces) != 1:
            raise LabError(f"workers with the interfaces {sorted(interfaces)}: keepalived is given one name for all")
        text = configuration(
            self._addresses,
            [node.name for node in workers],
            interface=interfaces.pop(),
            advertisement=self._advertisement,
            real_time=self._real_time,
        )
        made = self.manifests(site)
        for manifest in made:
            if manifest["kind"] == "ConfigMap":
                manifest["data"] = {"keepalived.conf": text}
            elif manifest["kind"] == "DaemonSet":
                digest = hashlib.sha256(text.encode()).hexdigest()
                manifest["spec"]["template"]["metadata"]["annotations"] = {"checksum/configuration": digest}
        return made


def version_of(program: Path) -> str:
    """`v2.2.7`, as the program says it. `LabError` when it cannot be run."""
    try:
        done = subprocess.run(
            [str(program), "--version"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=environment.closed() | debian.environment(program),
            timeout=WITHIN,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{program} --version: no end within {WITHIN:g} s") from None
    name, _, rest = done.stdout.partition(" ")
    if done.returncode or name != "Keepalived":
        raise LabError(f"{program} --version: exit code {done.returncode}: {done.stdout.strip()}")
    return rest.split()[0]
