"""The containers of a kind lab: which is which, their processes and links, and the parts around the cluster."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbproof.lab.base import LabError, Node, Role
from lbproof.lab.common.commands import output
from lbproof.lab.common.vantage import NamespaceVantage
from lbproof.lab.kind.engine import CLUSTER_LABEL, LABEL
from lbproof.lab.kind.plan import cluster_name

if TYPE_CHECKING:
    from lbproof.lab.kind.engine import Engine
    from lbproof.lab.kind.plan import Subnet

_NUMBER = re.compile(r"(\d*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A running container as a place of the lab's segment."""

    name: str
    pid: int
    """Its process 1 as this machine numbers it."""
    address: str
    mac: str
    role: str = ""
    """kind's: `control-plane` or `worker`; empty for what is no node."""

    @property
    def netns(self) -> str:
        """Its network namespace."""
        return f"/proc/{self.pid}/ns/net"

    def vantage(self, name: str) -> NamespaceVantage:
        """As a place to send from and watch at."""
        return NamespaceVantage(
            name=name, address=self.address, mac=self.mac, netns=self.netns, pidns=f"/proc/{self.pid}/ns/pid"
        )

    def node(self) -> Node:
        """As a node of the cluster."""
        role = Role.CONTROL_PLANE if self.role == "control-plane" else Role.WORKER
        return Node(name=self.name, role=role, address=self.address, mac=self.mac)


class Machines:
    """The containers of one lab, looked up once and again after a fault."""

    def __init__(self, engine: Engine, lab: str) -> None:
        """Nothing is looked up yet."""
        self._engine, self._lab = engine, lab
        self._network = cluster_name(lab)
        self._known: dict[str, Machine] = {}
        self._nodes: tuple[Node, ...] = ()

    def get(self, name: str) -> Machine:
        """A running container. `LabError` when it does not run."""
        if name not in self._known:
            row = self._engine.inspect(name)[0]
            if not row["State"]["Pid"]:
                raise LabError(f"{name} has no power")
            self._known[name] = self._machine(row)
        return self._known[name]

    def forget(self, name: str) -> None:
        """What is known of a container no longer holds: it has lost its power."""
        self._known.pop(name, None)

    def nodes(self) -> tuple[Node, ...]:
        """Kind's nodes, control plane first, then workers in order; one without power as it was before."""
        if not self._nodes:
            names = self._engine.containers(f"{CLUSTER_LABEL}={self._network}")
            rows = self._engine.inspect(*names) if names else []
            found = sorted((self._machine(row) for row in rows), key=_order)
            self._known |= {machine.name: machine for machine in found if machine.pid}
            self._nodes = tuple(machine.node() for machine in found if machine.role in {"control-plane", "worker"})
        return self._nodes

    def powered(self, name: str) -> None:
        """A node has power again: its process is another, and with some engines its hardware address."""
        self.forget(name)
        again = self.get(name).node()
        before = next(node for node in self.nodes() if node.name == name)
        if again.address != before.address:
            raise LabError(f"{name} came back with the address {again.address}; it had {before.address}")
        self._nodes = tuple(again if node.name == name else node for node in self._nodes)

    def _machine(self, row: dict[str, Any]) -> Machine:
        link = row["NetworkSettings"]["Networks"].get(self._network, {})
        return Machine(
            name=row["Name"].lstrip("/"),
            pid=row["State"]["Pid"],
            address=link.get("IPAddress", ""),
            mac=link.get("MacAddress", ""),
            role=row["Config"]["Labels"].get("io.x-k8s.kind.role", ""),
        )

    # --- around the cluster

    def start_around(self, image: str, subnet: Subnet) -> None:
        """Start the client, the router and the far client: containers that only sleep, for their namespaces."""
        for part, address in (("client", subnet.client), ("router", subnet.router), ("far", "")):
            network = ["--network", self._network, "--ip", address] if address else ["--network", "none"]
            forwards = ["--sysctl", "net.ipv4.ip_forward=1"] if part == "router" else []
            self._engine.run(
                *(
                    "run",
                    "--detach",
                    "--name",
                    self.around(part),
                    "--hostname",
                    part,
                    "--label",
                    f"{LABEL}={self._lab}",
                ),
                *(*network, *forwards, "--entrypoint", "sleep", image, "infinity"),
            )
        router, far = self.get(self.around("router")), self.get(self.around("far"))
        output(f"ip link add far type veth peer name eth0 netns {far.pid}".split(), netns=router.netns)
        output(["ip", "addr", "add", f"{subnet.far_router}/24", "dev", "far"], netns=router.netns)
        output(["ip", "link", "set", "far", "up"], netns=router.netns)
        for line in (
            f"addr add {subnet.far}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {subnet.far_router}",
        ):
            output(["ip", *line.split()], netns=far.netns)

    def around(self, part: str) -> str:
        """The container's name of `client`, `router` or `far`."""
        return f"{self._network}-{part}"

    def far(self, subnet: Subnet) -> NamespaceVantage:
        """The client behind the router."""
        machine = self.get(self.around("far"))
        mac = link_of(machine.netns)["address"]
        return NamespaceVantage(
            name="far", address=subnet.far, mac=mac, netns=machine.netns, pidns=f"/proc/{machine.pid}/ns/pid"
        )

    def lead_home(self, node: str, subnet: Subnet) -> None:
        """Tell a node the way to the network behind the router; it forgets it with its power."""
        output(["ip", "route", "replace", subnet.far_cidr, "via", subnet.router], netns=self.get(node).netns)

    def port(self, node: str) -> str:
        """The engine's end of a node's cable."""
        index = link_of(self.get(node).netns)["link_index"]
        links = json.loads(output(self._engine.inside(["ip", "-j", "link", "show"])))
        return next(str(link["ifname"]) for link in links if link["ifindex"] == index)

    def cable(self, port: str, *, up: bool) -> None:
        """Plug a node in or out, at the engine's end."""
        output(self._engine.inside(["ip", "link", "set", port, "up" if up else "down"]))


def link_of(netns: str) -> dict[str, Any]:
    """The interface eth0 of a namespace as `ip` tells it."""
    rows: list[dict[str, Any]] = json.loads(output(["ip", "-j", "link", "show", "eth0"], netns=netns))
    return rows[0]


def processes_of(uid: str) -> dict[int, str]:
    """The processes of a pod, as this machine numbers them, and their names; its cgroup holds the pod's UID."""
    spellings = (f"pod{uid}", f"pod{uid.replace('-', '_')}")
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            groups = (process / "cgroup").read_text(encoding="ascii")
            if any(spelling in groups for spelling in spellings):
                found[int(process.name)] = (process / "comm").read_text(encoding="utf-8").strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _order(machine: Machine) -> tuple[bool, int]:
    number = _NUMBER.search(machine.name)
    return machine.role != "control-plane", int(number.group(1) or 1) if number else 1
