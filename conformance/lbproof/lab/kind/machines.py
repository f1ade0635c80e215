"""Containers of a kind lab: nodes, client and router, with their processes and links."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbproof.lab.base import LabError, Node, Role
from lbproof.lab.common.bridge import await_forwarding
from lbproof.lab.common.commands import output
from lbproof.lab.common.vantage import NamespaceVantage
from lbproof.lab.kind.engine import CLUSTER_LABEL, LABEL
from lbproof.lab.kind.plan import CLIENT, FAR, FAR_ROUTER, ROUTER, cluster_name
from lbproof.spec.families import Family, family_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.lab.common.probes import Probes
    from lbproof.lab.kind.engine import Engine
    from lbproof.lab.kind.plan import Subnet
    from lbproof.spec.families import IPAddress

_FIELD = {Family.IPV4: "IPAddress", Family.IPV6: "GlobalIPv6Address"}
"""Family → field of the engine's description of a container in a network."""
_FLAG = {Family.IPV4: "--ip", Family.IPV6: "--ip6"}
_FORWARDING = {Family.IPV4: "net.ipv4.ip_forward", Family.IPV6: "net.ipv6.conf.all.forwarding"}
_NUMBER = re.compile(r"(\d*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Container on the segment of a lab."""

    name: str
    pid: int
    """Its init in the PID namespace of this machine."""
    addresses: tuple[IPAddress, ...]
    """Those of the lab's families; none while it does not run."""
    mac: str
    role: str = ""
    """Role in kind: `control-plane` or `worker`; empty for a container that is not a node."""

    @property
    def netns(self) -> str:
        """Path of its network namespace."""
        return f"/proc/{self.pid}/ns/net"

    def vantage(self, name: str, probes: Probes) -> NamespaceVantage:
        """Return it as a vantage whose probe is one of `probes`."""
        return NamespaceVantage(
            name=name,
            addresses=self.addresses,
            mac=self.mac,
            netns=self.netns,
            pidns=f"/proc/{self.pid}/ns/pid",
            probes=probes,
        )

    def node(self) -> Node:
        """Return it as a node of the cluster."""
        role = Role.CONTROL_PLANE if self.role == "control-plane" else Role.WORKER
        return Node(name=self.name, role=role, addresses=self.addresses, mac=self.mac)


class Machines:
    """Containers of one lab, looked up at first use and again after a fault."""

    def __init__(self, engine: Engine, lab: str, families: Sequence[Family]) -> None:
        """Look up nothing yet."""
        self._engine, self._lab, self._families = engine, lab, families
        self._network = cluster_name(lab)
        self._known: dict[str, Machine] = {}
        self._nodes: tuple[Node, ...] = ()

    def get(self, name: str) -> Machine:
        """Return a running container. Raises `LabError` when it does not run."""
        if name not in self._known:
            row = self._engine.inspect(name)[0]
            if not row["State"]["Pid"]:
                raise LabError(f"{name} has crashed")
            self._known[name] = self._machine(row)
        return self._known[name]

    def forget(self, name: str) -> None:
        """Discard what is known of a container, because it has crashed."""
        self._known.pop(name, None)

    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes, control plane first, then workers in order; a crashed one as it was before."""
        if not self._nodes:
            names = self._engine.containers(f"{CLUSTER_LABEL}={self._network}")
            rows = self._engine.inspect(*names) if names else []
            found = sorted((self._machine(row) for row in rows), key=_order)
            self._known |= {machine.name: machine for machine in found if machine.pid}
            self._nodes = tuple(machine.node() for machine in found if machine.role in {"control-plane", "worker"})
        return self._nodes

    def keep_addresses(self, name: str) -> None:
        """Have a node that crashed start with its addresses: an engine gives the lowest ones that are free."""
        before = next(node for node in self.nodes() if node.name == name)
        flags = (word for address in before.addresses for word in (_FLAG[family_of(address)], str(address)))
        self._engine.run("network", "disconnect", self._network, name)
        self._engine.run("network", "connect", *flags, self._network, name)

    def restarted(self, name: str) -> None:
        """Look up a restarted node: its process has changed, and with some engines its hardware address."""
        self.forget(name)
        again = self.get(name).node()
        before = next(node for node in self.nodes() if node.name == name)
        if again.addresses != before.addresses:
            shown = [", ".join(map(str, node.addresses)) for node in (again, before)]
            raise LabError(f"{name} came back with the addresses {shown[0]}; it had {shown[1]}")
        self._nodes = tuple(again if node.name == name else node for node in self._nodes)

    def _machine(self, row: dict[str, Any]) -> Machine:
        link = row["NetworkSettings"]["Networks"].get(self._network, {})
        return Machine(
            name=row["Name"].lstrip("/"),
            pid=row["State"]["Pid"],
            addresses=tuple(ip_address(text) for family in self._families if (text := link.get(_FIELD[family]))),
            mac=link.get("MacAddress", ""),
            role=row["Config"]["Labels"].get("io.x-k8s.kind.role", ""),
        )

    # --- around the cluster

    def start_around(self, image: str, subnet: Subnet) -> None:
        """Start client, router and routed client: containers that only sleep and provide their namespaces."""
        for part, number in (("client", CLIENT), ("router", ROUTER), ("far", 0)):
            flags = [(_FLAG[family], str(subnet.lan.host(number, family))) for family in self._families]
            fixed = ["--network", self._network, *(word for flag in flags for word in flag)]
            network = fixed if number else ["--network", "none"]
            forwarding = [f"{_FORWARDING[family]}=1" for family in self._families] if part == "router" else []
            forwards = [word for setting in forwarding for word in ("--sysctl", setting)]
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
        if Family.IPV6 in self._families:  # the engine disables it on interfaces that are not its own
            for machine in (router, far):
                output(["sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6"], netns=machine.netns)
        for machine, interface, number in ((router, "far", FAR_ROUTER), (far, "eth0", FAR)):
            for family in self._families:
                address = f"{subnet.behind.host(number, family)}/{subnet.behind.range(family).prefixlen}"
                nodad = ["nodad"] if family is Family.IPV6 else []
                output(["ip", "addr", "add", address, "dev", interface, *nodad], netns=machine.netns)
            output(["ip", "link", "set", interface, "up"], netns=machine.netns)
        for family in self._families:
            router_address = str(subnet.behind.host(FAR_ROUTER, family))
            output(["ip", "route", "add", "default", "via", router_address], netns=far.netns)

    def start_foreign(self, image: str, address: IPAddress, probes: Probes) -> NamespaceVantage:
        """Start a container on the segment with an address of one family; return it as a vantage."""
        name = f"{self.around('foreign')}-{f'{int(address):x}'[-4:]}"
        label = ("--label", f"{LABEL}={self._lab}")
        network = ("--network", self._network, _FLAG[family_of(address)], str(address))
        self._engine.run(
            "run", "--detach", "--name", name, *label, *network, "--entrypoint", "sleep", image, "infinity"
        )
        await_forwarding(self.port(name), self._in_engine)
        return replace(self.get(name).vantage(name, probes), addresses=(address,))

    def add_nic(self, machine: Machine, subnet: Subnet, probes: Probes) -> tuple[NamespaceVantage, str]:
        """Add an interface to a container by a link to the engine's bridge; return it, and the link's other end."""
        links = json.loads(self._in_engine(["ip", "-j", "link", "show"]))
        ports = {number: f"lbp{subnet.number}n{number}" for number in range(253, 239, -1)}
        number, port = next(
            (number, port) for number, port in ports.items() if port not in {link["ifname"] for link in links}
        )
        bridge = f"br-{self._engine.run('network', 'inspect', '--format', '{{.Id}}', self._network)[:12]}"
        mac = f"02:00:{subnet.lan.ipv4_host(number).packed.hex(':')}"
        peer = ["peer", "name", "eth1", "address", mac, "netns", str(machine.pid)]
        self._in_engine(["ip", "link", "add", port, "type", "veth", *peer])
        addresses = subnet.lan.hosts(number, self._families)
        for address in addresses:
            nodad = ["nodad"] if family_of(address) is Family.IPV6 else []
            prefix = subnet.lan.range(family_of(address)).prefixlen
            output(["ip", "addr", "add", f"{address}/{prefix}", "dev", "eth1", *nodad], netns=machine.netns)
        output(["ip", "link", "set", "eth1", "up"], netns=machine.netns)
        self._in_engine(["ip", "link", "set", port, "master", bridge, "up"])
        await_forwarding(port, self._in_engine)
        made = machine.vantage(f"{machine.name} eth1", probes)
        return replace(made, addresses=addresses, mac=mac, interface="eth1"), port

    def around(self, part: str) -> str:
        """Return the name of the container for `client`, `router` or `far`."""
        return f"{self._network}-{part}"

    def far(self, subnet: Subnet, probes: Probes) -> NamespaceVantage:
        """Return the client behind the router."""
        machine = self.get(self.around("far"))
        mac = link_of(machine.netns)["address"]
        return NamespaceVantage(
            name="far",
            addresses=subnet.behind.hosts(FAR, self._families),
            mac=mac,
            netns=machine.netns,
            pidns=f"/proc/{machine.pid}/ns/pid",
            probes=probes,
        )

    def add_route(self, node: str, subnet: Subnet) -> None:
        """Add a node's routes to the network behind the router, which a crash removes."""
        for family in self._families:
            route = [str(subnet.behind.range(family)), "via", str(subnet.lan.host(ROUTER, family))]
            output(["ip", "route", "replace", *route], netns=self.get(node).netns)

    def port(self, node: str) -> str:
        """Return the interface of a node's link at the engine's bridge."""
        index = link_of(self.get(node).netns)["link_index"]
        links = json.loads(self._in_engine(["ip", "-j", "link", "show"]))
        return next(str(link["ifname"]) for link in links if link["ifindex"] == index)

    def set_link(self, port: str, *, up: bool) -> None:
        """Set a node's link up or down, at the engine's bridge."""
        self._in_engine(["ip", "link", "set", port, "up" if up else "down"])

    def _in_engine(self, argv: list[str]) -> str:
        """Run a program in the engine's network and return its output."""
        return output(self._engine.inside(argv))


def link_of(netns: str) -> dict[str, Any]:
    """Return the interface eth0 of a namespace, as `ip -j link` prints it."""
    rows: list[dict[str, Any]] = json.loads(output(["ip", "-j", "link", "show", "eth0"], netns=netns))
    return rows[0]


def processes_of(uid: str) -> dict[int, str]:
    """Return the processes of a pod, whose cgroup contains the pod's UID: PID on this machine → name."""
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
