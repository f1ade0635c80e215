"""The netns lab, as used by the suite: starts a supervisor, or finds one, and sends requests to its socket."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lbproof.lab import registry
from lbproof.lab.base import Capability, LabError, Node, Ports, Topology, silent
from lbproof.lab.common import api_proxy
from lbproof.lab.common.commands import output
from lbproof.lab.common.image_names import matches
from lbproof.lab.common.logs import export
from lbproof.lab.common.probes import Probes
from lbproof.lab.common.vantage import NamespaceVantage, Places
from lbproof.lab.fault import Attachment, Fault, NewSegment, NewSubnet
from lbproof.lab.netns import leftovers, plan, processes, rpc, start
from lbproof.lab.netns.faults import FAULTS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from lbproof.lab.base import Image, Segment
    from lbproof.lab.common.networks import Network
    from lbproof.lab.registry import LabInfo
    from lbproof.spec.families import IPAddress

_CAPABILITIES = FAULTS.keys() | {
    Capability.ROUTED_CLIENT,
    Capability.NODE_VANTAGE,
    Capability.POD_VANTAGE,
    Capability.CAPTURE,
    Capability.PORTS,
    Capability.POD_PROCESSES,
}


class NetnsLab(Places):
    """Running netns lab."""

    provider = "netns"

    def __init__(self, name: str, topology: Topology) -> None:
        """Use `up`, `of` or `attach`."""
        self.name = name
        self.topology = topology
        self.state = registry.directory(name)
        self.kubeconfig = self.state / "kubeconfig"
        self.probes = Probes()
        self._nodes: tuple[Node, ...] = tuple(place.node for place in plan.places(topology))
        lans = {"lan": plan.LAN} | ({"lan2": plan.SECOND} if topology.second_segment else {})
        self.segments: tuple[Segment, ...] = tuple(lan.segment(one, topology.families) for one, lan in lans.items())
        self._lifeline: int | None = None
        self._starting: subprocess.Popen[bytes] | None = None

    # life
    @classmethod
    def up(
        cls,
        name: str,
        topology: Topology,
        *,
        programs: Mapping[str, Path],
        images: Iterable[Image] = (),
        api_port: int = 0,
        progress: Callable[[str], None] = silent,
        lifeline: bool = True,
    ) -> Self:
        """Boot a lab until all nodes are Ready. Raises `LabError` when the name or the port is taken, or it fails.

        `programs` are paths by component name (etcd, kube-apiserver, kube-controller-manager, kube-scheduler,
        kube-proxy, agnhost, nginx, …). `api_port` is the port of this machine's loopback for the API server; 0 takes a
        free one. With a lifeline the lab ends with this process, however that ends; without, it runs until it is taken
        down. Progress is a line for each stage.
        """
        lab = cls(name, topology)
        with api_proxy.listening(api_port) as listener:
            request = {
                "topology": asdict(lab.topology),
                "programs": {component: str(path) for component, path in programs.items()},
                "images": [asdict(image) for image in images],
                "port": listener.getsockname()[1],
            }
            with registry.claim(name) as state:
                lab._starting, reports, own_end = start.supervisor(state, request, listener)
                registry.record(name, lab._starting.pid, topology, provider=cls.provider)
        try:
            with os.fdopen(reports, encoding="utf-8") as lines:
                start.booted(name, lab.state, lines, progress)
        except BaseException as error:
            os.close(own_end)  # ends the supervisor, if it still runs
            lab._reap()
            if not isinstance(error, LabError):  # whose message names the logs
                shutil.rmtree(lab.state, ignore_errors=True)
            raise
        if lifeline:
            lab._lifeline = own_end
        else:
            os.write(own_end, b"+")
            os.close(own_end)
        return lab

    @classmethod
    def attach(cls, name: str) -> Self:
        """Return the running lab of a name. Raises `LabError` when there is none."""
        return cls.of(registry.find(name))

    @classmethod
    def of(cls, info: LabInfo) -> Self:
        """Return a running lab by its record."""
        return cls(info.name, Topology.of(info.record["topology"]))

    def detach(self) -> None:
        """End what this process has started in the lab, which stays up."""
        self.probes.close()

    def down(self) -> None:
        """Remove everything that the lab created."""
        self.detach()
        registry.remove(self.name, leftovers.remove)
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        self._reap()

    def _reap(self) -> None:
        """Wait for the supervisor's `unshare`, if this process started it."""
        if self._starting:
            self._starting.wait()

    # what it is
    @property
    def nodes(self) -> tuple[Node, ...]:
        """Nodes: control plane first, then workers in order."""
        return self._nodes

    def can(self, capability: Capability) -> bool:
        """Return whether the lab has a capability."""
        of_topology = {
            Capability.AUDIT_LOG: self.topology.audit,
            Capability.SECOND_SEGMENT: self.topology.second_segment,
            Capability.OTHER_SUBNET: self.topology.other_subnet,
        }
        of_topology[Capability.NEW_SEGMENT] = not self.topology.second_segment  # which is there from the boot on
        return of_topology.get(capability, capability in _CAPABILITIES)

    def describe(self) -> Mapping[str, str]:
        """Return facts for the report."""
        return {
            "provider": self.provider,
            "kubernetes": str(rpc.call(self._socket, "status")["version"]),
            "address families": " and ".join(family.label for family in self.topology.families),
            "kube-proxy": self.topology.proxy_mode,
            "kube-proxy arguments": " ".join(self.topology.proxy_args) or "none",
            "node grace": f"{self.topology.node_grace:g} s",
            "nodes": f"1 control plane, {self.topology.workers} workers, as network namespaces",
            "kubelet": "lbproof's stand-in",
            "kernel": os.uname().release,
            "processors": str(os.cpu_count()),
        }

    # vantages
    def client(self) -> NamespaceVantage:
        """Return the outside client on the segment."""
        mac = plan.mac_of(plan.LAN.ipv4_host(plan.CLIENT))
        return self._vantage("client", "client", plan.LAN.hosts(plan.CLIENT, self.topology.families), mac)

    def client_on(self, segment: Segment) -> NamespaceVantage:
        """Return the outside client on a segment."""
        if segment == self.segment:
            return self.client()
        mac = plan.mac_of(plan.SECOND.ipv4_host(plan.CLIENT))
        return self._vantage("client2", "client2", plan.SECOND.hosts(plan.CLIENT, self.topology.families), mac)

    def node_on(self, segment: Segment, name: str) -> NamespaceVantage:
        """Return a node by its interface on a segment. Raises `KeyError` for an unknown name."""
        first = self.node(name)
        if segment == self.segment:
            return first
        host = {place.node.name: place.host for place in plan.places(self.topology)}[name]
        addresses = plan.SECOND.hosts(host, self.topology.families)
        mac = plan.mac_of(plan.SECOND.ipv4_host(host))
        return replace(first, name=f"node {name}, eth1", addresses=addresses, mac=mac, interface="eth1")

    def routed_client(self) -> NamespaceVantage:
        """Return the client behind the router."""
        mac = plan.mac_of(plan.BEHIND.ipv4_host(plan.FAR))
        return self._vantage("far", "far", plan.BEHIND.hosts(plan.FAR, self.topology.families), mac)

    def router(self) -> NamespaceVantage:
        """Return the router, by its interface on the first segment."""
        mac = plan.mac_of(plan.LAN.ipv4_host(plan.ROUTER))
        return self._vantage("router", "router", plan.LAN.hosts(plan.ROUTER, self.topology.families), mac)

    def node(self, name: str) -> NamespaceVantage:
        """Return a node. Raises `KeyError` for an unknown name."""
        node = {node.name: node for node in self.nodes}[name]
        return self._vantage(f"node {name}", name, node.addresses, node.mac)

    def ports(self) -> Ports:
        """Return the ports of the bridge, which is in the supervisor's own namespace."""
        root = self._process
        vantage = NamespaceVantage(
            name="ports of the segment",
            addresses=plan.LAN.hosts(plan.BRIDGE, self.topology.families),
            mac=plan.mac_of(plan.LAN.ipv4_host(plan.BRIDGE)),
            netns=f"{root}/ns/net",
            pidns=f"{root}/ns/pid",
            interface="lan",
            probes=self.probes,
        )
        own = ("lan", "lan2", "lo", "mgmt", "v-client", "v-client2", f"v-{plan.CLIENT_BESIDE}", "v-router")
        return Ports(vantage=vantage, nodes=plan.ports(self.topology), own=own)

    def pod(self, namespace: str, name: str) -> NamespaceVantage:
        """Return a running pod. Raises `LabError` when it does not run."""
        found = rpc.call(self._socket, "pod", namespace=namespace, name=name)
        addresses = tuple(map(ip_address, found["addresses"]))
        return self._vantage(f"pod {namespace}/{name}", found["netns"], addresses, found["mac"])

    def pod_processes(self, namespace: str, name: str) -> list[Path]:
        """Return the folder in the lab's /proc of the first process of each container of a running pod.

        Raises `LabError` when no such pod runs.
        """
        found = rpc.call(self._socket, "pod", namespace=namespace, name=name)
        return [Path(f"{self._process}/root/proc/{pid}") for pid in found["pids"]]

    @property
    def audit_log(self) -> Path:
        """Audit log of the API server, if the topology has one."""
        return self.state / "log" / plan.AUDIT_LOG

    @property
    def _process(self) -> str:
        """Directory of the lab's init in /proc. Raises `LabError` when the lab has ended."""
        return f"/proc/{leftovers.init_of(registry.find(self.name))}"

    def _vantage(self, name: str, netns: str, addresses: tuple[IPAddress, ...], mac: str) -> NamespaceVantage:
        root = self._process
        return NamespaceVantage(
            name=name,
            addresses=addresses,
            mac=mac,
            netns=f"{root}/root{processes.namespace(netns)}",
            pidns=f"{root}/ns/pid",
            probes=self.probes,
        )

    # faults
    def node_crash(self, node: str) -> Fault:
        """Kill all processes of a node and take its link down, at once."""
        return self._fault(Capability.NODE_CRASH, node=node)

    def link_down(self, node: str) -> Fault:
        """Take a node's link to the segment down."""
        return self._fault(Capability.LINK_DOWN, node=node)

    def blackhole(self, node: str) -> Fault:
        """Drop all frames between the segment and a node."""
        return self._fault(Capability.BLACKHOLE, node=node)

    def partition(self, one: str, other: str) -> Fault:
        """Drop all frames between two nodes."""
        return self._fault(Capability.PARTITION, one=one, other=other)

    def freeze(self, node: str) -> Fault:
        """Stop all processes of a node."""
        return self._fault(Capability.FREEZE, node=node)

    def freeze_pod(self, namespace: str, pod: str) -> Fault:
        """Stop all processes of a pod."""
        return self._fault(Capability.FREEZE_POD, namespace=namespace, pod=pod)

    def kill(self, namespace: str, pod: str) -> Fault:
        """Send SIGKILL to a pod's processes."""
        return self._fault(Capability.KILL, namespace=namespace, pod=pod)

    def stop_api(self) -> Fault:
        """Stop the API server."""
        return self._fault(Capability.STOP_API)

    def drop(self, node: str, share: float) -> Fault:
        """Drop a share of the packets that arrive at a node from the segment."""
        return self._fault(Capability.DROP, node=node, share=share)

    def api_cut(self, node: str) -> Fault:
        """Drop all frames between a worker and the API server's port."""
        return self._fault(Capability.API_CUT, node=node)

    def one_way_loss(self, source: str, target: str, share: float) -> Fault:
        """Drop a share of the frames from one node to another."""
        return self._fault(Capability.ONE_WAY_LOSS, source=source, target=target, share=share)

    def clock_behind(self, node: str, seconds: float) -> Fault:
        """Raise `LabError`: all nodes share the wall clock of this machine."""
        raise LabError(f"the clock of {node} cannot be {seconds:g} s behind: all namespaces share one wall clock")

    def silent_kubelet(self, node: str) -> Fault:
        """Have a node's kubelet say nothing more of the node."""
        return self._fault(Capability.SILENT_KUBELET, node=node)

    def second_nic(self, node: str) -> Attachment:
        """Add an interface to a node on the first segment."""
        return self._attachment(Capability.SECOND_NIC, node=node)

    def new_segment(self, link_local: Collection[str] = (), other_subnet: Collection[str] = ()) -> NewSegment:
        """Join every node that runs to a second segment."""
        apart = {"link_local": list(link_local), "other_subnet": list(other_subnet)}
        done = rpc.call(self._socket, Capability.NEW_SEGMENT.value, **apart)
        joined = self._joined(Capability.NEW_SEGMENT, done, plan.SECOND)
        return NewSegment(**joined, interfaces=done["interfaces"])

    def second_subnet(self, nodes: Collection[str]) -> NewSubnet:
        """Give some nodes addresses of a second subnet on the first segment."""
        done = rpc.call(self._socket, Capability.SECOND_SUBNET.value, nodes=list(nodes))
        return NewSubnet(**self._joined(Capability.SECOND_SUBNET, done, plan.ADDED))

    def _joined(self, kind: Capability, done: Mapping[str, Any], lan: Network) -> dict[str, Any]:
        """Return the fields of a new subnet from the supervisor's answer."""
        addresses = tuple(map(ip_address, done["addresses"]))
        return {
            **self._bracket(kind, done),
            "vantage": self._vantage(done["netns"], done["netns"], addresses, done["mac"]),
            "free": lan.segment(done["target"], self.topology.families).free,
            "macs": done["macs"],
        }

    def foreign_host(self, address: IPAddress) -> Attachment:
        """Add a host to the first segment that holds an address."""
        return self._attachment(Capability.FOREIGN_HOST, address=str(address))

    def _fault(self, kind: Capability, **arguments: Any) -> Fault:  # noqa: ANN401 - it is JSON
        return Fault(**self._bracket(kind, rpc.call(self._socket, kind.value, **arguments)))

    def _attachment(self, kind: Capability, **arguments: Any) -> Attachment:  # noqa: ANN401 - it is JSON
        done = rpc.call(self._socket, kind.value, **arguments)
        made = self._vantage(done["target"], done["netns"], tuple(map(ip_address, done["addresses"])), done["mac"])
        return Attachment(**self._bracket(kind, done), vantage=replace(made, interface=done["interface"]))

    def _bracket(self, kind: Capability, done: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a fault from the supervisor's answer."""
        return {
            "kind": kind.value,
            "target": done["target"],
            "began": done["began"],
            "before": done.get("before"),
            "undo_with": lambda: rpc.call(self._socket, "undo", number=done["number"]),
        }

    # images, programs, logs
    def bring_images(
        self,
        references: Iterable[str],
        stands_for: Callable[[], Iterable[Image]],
        progress: Callable[[str], None] = silent,  # noqa: ARG002 - it takes no time
    ) -> None:
        """Map images to programs from now on; the last match wins. Raises `LabError` for an image without a program."""
        known = rpc.call(self._socket, "map_images", images=[asdict(image) for image in stands_for()])
        without = [one for one in references if not any(matches(pattern, one) for pattern in known)]
        if without:
            raise LabError(
                f"this lab runs programs, not images, and has none for {', '.join(without)}; it knows "
                f"{', '.join(known)}: name its program in the adapter's images(), or use --provider kind"
            )

    def run(self, node: str, argv: Sequence[str]) -> str:
        """Run a program on a node and return its output. Raises `LabError` when it fails."""
        return output(self.exec_argv(node, argv), shown=f"{' '.join(argv)}` on `{node}")

    def export_logs(self, directory: Path) -> None:
        """Copy the end of each log, of components and containers, into a directory."""
        directory.mkdir(parents=True, exist_ok=True)
        for log in sorted((self.state / "log").iterdir()):
            export(log, directory / log.name)

    @property
    def _socket(self) -> Path:
        return self.state / "ctl.sock"
