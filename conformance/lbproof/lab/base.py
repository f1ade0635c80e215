"""The Lab protocol: a cluster with vantages and faults, independent of its provider.

A check never asks for the provider, only for the capabilities of the lab (`Lab.can`): without one, its verdict is
`untestable`, never `passed`. Each fault returns its undo, and a second undo has no effect.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the fields of `Image` are read while it runs, to validate them
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, Self

from lbproof.spec.families import Family, family_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from lbproof.lab.fault import Attachment, Fault, NewSegment, NewSubnet
    from lbproof.spec.families import IPAddress, IPNetwork
    from lbproof.witnesses.clock import Clock
    from lbproof.witnesses.vantage import Vantage


class LabError(RuntimeError):
    """The lab failed or is not available here; the message says what, where, and what to do about it."""


def silent(_: str) -> None:
    """Ignore a line of progress."""


class Capability(StrEnum):
    """Ability that a lab may lack."""

    ROUTED_CLIENT = "far-client"
    NODE_VANTAGE = "node-vantage"
    POD_VANTAGE = "pod-vantage"
    CAPTURE = "capture"
    PORTS = "ports"
    NODE_CRASH = "power-cut"
    LINK_DOWN = "cable"
    BLACKHOLE = "silent-cut"
    PARTITION = "partition"
    FREEZE = "freeze"
    FREEZE_POD = "freeze-pod"
    KILL = "kill"
    STOP_API = "stop-api"
    DROP = "drop"
    POD_PROCESSES = "pod-processes"
    AUDIT_LOG = "audit-log"
    API_CUT = "api-cut"
    ONE_WAY_LOSS = "one-way-loss"
    SECOND_NIC = "second-nic"
    FOREIGN_HOST = "foreign-host"
    CLOCK_BEHIND = "clock-behind"
    SILENT_KUBELET = "silent-kubelet"
    NEW_SEGMENT = "new-segment"
    SECOND_SUBNET = "second-subnet"
    SECOND_SEGMENT = "second-segment"
    OTHER_SUBNET = "other-subnet"


class Role(StrEnum):
    """Role of a node in its cluster."""

    CONTROL_PLANE = "control-plane"
    WORKER = "worker"


class Host:
    """Host with a name and one address of each family that it has: base class of nodes and vantages."""

    __slots__ = ()

    name: str
    addresses: tuple[IPAddress, ...]

    @property
    def address(self) -> IPAddress:
        """Address of the lab's primary family."""
        return self.addresses[0]

    @property
    def families(self) -> tuple[Family, ...]:
        """Families of its addresses, in order."""
        return tuple(family_of(address) for address in self.addresses)

    def address_for(self, family: Family) -> IPAddress:
        """Return its address of a family. Raises `LabError` when it has none."""
        for address in self.addresses:
            if family_of(address) is family:
                return address
        raise LabError(f"{self.name} has no {family.label} address: it has {', '.join(map(str, self.addresses))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Host):
    """Node of the cluster, as seen on its segment."""

    name: str
    role: Role
    addresses: tuple[IPAddress, ...]
    """Addresses on the segment, that of the lab's primary family first."""
    mac: str
    """Hardware address of the interface on the segment, in lower case with colons; ARP and NDP replies carry it."""
    interface: str = "eth0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Layer 2 segment."""

    name: str
    subnets: tuple[IPNetwork, ...]
    """A subnet of each family, that of the lab's primary family first."""
    free: tuple[IPAddress, ...]
    """Unused addresses for pools, of all families; those of one family in order."""
    same_solicited_node: tuple[IPAddress, ...] = ()
    """Further unused IPv6 addresses, which have the last 24 bits, and so the solicited-node group, in common."""

    def free_for(self, family: Family) -> tuple[IPAddress, ...]:
        """Return the unused addresses of a family, in order; none when the segment has no subnet of it."""
        return tuple(address for address in self.free if family_of(address) is family)

    def subnet_for(self, family: Family) -> IPNetwork:
        """Return the subnet of a family. Raises `LabError` when there is none."""
        for subnet in self.subnets:
            if family_of(subnet) is family:
                return subnet
        raise LabError(f"segment {self.name} has no {family.label} subnet: it has {', '.join(map(str, self.subnets))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Shape of a cluster, as checks and reports read it. The default is the article's cluster.

    A provider that needs more to boot one derives a class of its own.
    """

    workers: int = 3
    proxy_mode: str = "iptables"
    """Mode of kube-proxy: `iptables`, `nftables`, `ipvs`, or `none` without kube-proxy."""
    proxy_args: tuple[str, ...] = ()
    """Additional flags of kube-proxy (`--iptables-min-sync-period=10ms`)."""
    node_grace: float = 50
    """Seconds without a lease until the node controller sets a node NotReady (flag of kube-controller-manager)."""
    families: tuple[Family, ...] = (Family.IPV4, Family.IPV6)
    """Address families of nodes, pods and Services, the primary one first."""
    exclude_control_plane: bool = True
    """Whether the control plane has the label `node.kubernetes.io/exclude-from-external-load-balancers`, as kubeadm
    sets it."""
    second_segment: bool = False
    """Whether there is a second segment, on which each node has a second interface, and a client (`client_on`)."""
    other_subnet: bool = False
    """Whether the last worker is in another subnet of the first segment, and reached by the router there."""
    audit: bool = False
    """Whether the API server logs each request of a ServiceAccount (`Lab.audit_log`), where the lab can have that."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Create a topology from its JSON, ignoring unknown keys."""
        known = {one.name: row[one.name] for one in fields(cls) if one.name in row}
        if "proxy_args" in known:
            known["proxy_args"] = tuple(known["proxy_args"])
        if "families" in known:
            known["families"] = tuple(map(Family, known["families"]))
        return cls(**known)


SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/nsswitch.conf")
"""What a program that is not static needs of a Debian-like machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Program that replaces a container image in a lab without images."""

    pattern: str
    """Image name without registry, tag and digest, as `fnmatch` (`nginx`, `metallb/speaker`, `lbproof/reference`)."""
    program: str
    """Absolute path of the program on this machine."""
    args: tuple[str, ...] = ()
    """Arguments of the image's entrypoint, before the container's own `args`."""
    default_args: tuple[str, ...] = ()
    """Arguments when the container has neither `command` nor `args` (CMD of an image)."""
    binds: tuple[str, ...] = ()
    """Paths of this machine that it needs, mounted read-only at the same place. Empty for a static binary."""
    path: str = ""
    """Path of the program in the container (`/agnhost`); `program` when empty."""
    env: Mapping[str, str] = field(default_factory=dict)
    user: int = 0
    """User ID of the image (`USER` in a Dockerfile), for a container that declares no `runAsUser`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Switch of the first segment, where the frames of each host enter at a port of its own."""

    vantage: Vantage
    """Place of the ports. Its interface reaches all hosts; its addresses belong to no other host."""
    nodes: Mapping[str, str]
    """Port → node, also those of NICs that may be added."""
    own: tuple[str, ...]
    """Interfaces there that much of the suite's own traffic enters, and no node's."""


class Lab(Protocol):
    """Running cluster."""

    name: str
    provider: str
    """Name of its provider."""
    kubeconfig: Path
    """Kubeconfig for clients on this machine."""
    segments: tuple[Segment, ...]

    @property
    def segment(self) -> Segment:
        """First segment: that of the nodes and the outside client."""
        ...

    @property
    def topology(self) -> Topology:
        """Shape of the cluster."""
        ...

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Nodes: control plane first, then workers in order, including crashed ones."""
        ...

    def can(self, capability: Capability) -> bool:
        """Return whether the lab has a capability."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Return facts for the report, as text: Kubernetes version, kube-proxy mode, kernel, …."""
        ...

    # vantages
    def client(self) -> Vantage:
        """Return the outside client on the segment."""
        ...

    def client_on(self, segment: Segment) -> Vantage:
        """Return the outside client on one of the lab's segments."""
        ...

    def node_on(self, segment: Segment, name: str) -> Vantage:
        """Return a node by its interface on one of the lab's segments. Raises `KeyError` for an unknown name."""
        ...

    def routed_client(self) -> Vantage:
        """Return the client behind a router."""
        ...

    def router(self) -> Vantage:
        """Return the router before the routed client, by its interface on the first segment."""
        ...

    def node(self, name: str) -> Vantage:
        """Return a node. Raises `KeyError` for an unknown name."""
        ...

    def pod(self, namespace: str, name: str) -> Vantage:
        """Return a running pod. Raises `LabError` when it does not run."""
        ...

    def ports(self) -> Ports:
        """Return the ports of the first segment's switch, where the lab has them (`Capability.PORTS`)."""
        ...

    def clocks(self) -> Mapping[str, Clock]:
        """Return the clock of each vantage at which a probe was started so far, by the vantage's name."""
        ...

    def exec_argv(self, where: str, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs a program at a place: a node, `client`, `far`, or `NAMESPACE/POD`.

        Raises `LabError` for an unknown place.
        """
        ...

    # what benchmarks and measured requirements read
    def pod_processes(self, namespace: str, name: str) -> list[Path]:
        """Return the folder in a /proc of the first process of each container of a running pod.

        Raises `LabError` when no such pod runs.
        """
        ...

    @property
    def audit_log(self) -> Path:
        """Audit log of the API server (`audit.k8s.io/v1`, one event a line)."""
        ...

    # faults: each takes effect before the call returns
    def node_crash(self, node: str) -> Fault:
        """Kill all processes of a node and take its link down, at once. Undo: the node boots again."""
        ...

    def link_down(self, node: str) -> Fault:
        """Take a node's link to the segment down; the node loses its carrier. Undo: the link goes up."""
        ...

    def blackhole(self, node: str) -> Fault:
        """Drop all frames between the segment and a node, which keeps its carrier."""
        ...

    def partition(self, one: str, other: str) -> Fault:
        """Drop all frames between two nodes; both keep their carrier and all other connections."""
        ...

    def freeze(self, node: str) -> Fault:
        """Stop all processes of a node (SIGSTOP); its kernel still forwards packets. Undo: they continue."""
        ...

    def freeze_pod(self, namespace: str, pod: str) -> Fault:
        """Stop all processes of a pod (SIGSTOP). Undo: they continue."""
        ...

    def kill(self, namespace: str, pod: str) -> Fault:
        """Send SIGKILL to a pod's processes; its kubelet restarts them. The undo has no effect."""
        ...

    def stop_api(self) -> Fault:
        """Stop the API server. Undo: start it and wait until it serves."""
        ...

    def drop(self, node: str, share: float) -> Fault:
        """Drop a share (0 to 1) of the packets that arrive at a node from the segment."""
        ...

    def api_cut(self, node: str) -> Fault:
        """Drop all frames between a worker and the API server's port; everything else passes."""
        ...

    def one_way_loss(self, source: str, target: str, share: float) -> Fault:
        """Drop a share (0 to 1) of the frames from one node to another; those of the other way pass."""
        ...

    def clock_behind(self, node: str, seconds: float) -> Fault:
        """Put the wall clock that the pods of a node see back."""
        ...

    def silent_kubelet(self, node: str) -> Fault:
        """Have a node's kubelet say nothing more of the node; the node and its pods go on. Undo: it reports again."""
        ...

    def second_nic(self, node: str) -> Attachment:
        """Add an interface to a node on the first segment, with addresses of its own."""
        ...

    def new_segment(self, link_local: Collection[str] = (), other_subnet: Collection[str] = ()) -> NewSegment:
        """Join every node that runs to a second segment, with a client in its subnet.

        Some by a link-local address alone, and some by an address of another subnet alone.
        """
        ...

    def second_subnet(self, nodes: Collection[str]) -> NewSubnet:
        """Give some nodes a second subnet on the first segment, with a client in it; no router leads there."""
        ...

    def foreign_host(self, address: IPAddress) -> Attachment:
        """Add a host to the first segment, which is no part of the cluster and holds an address: its kernel answers.

        What it claims beyond that is sent from its vantage (`witnesses.neighbour.announce`).
        """
        ...

    # images, programs, logs, removal
    def bring_images(
        self,
        references: Iterable[str],
        stands_for: Callable[[], Iterable[Image]],
        progress: Callable[[str], None],
    ) -> None:
        """Make the images that manifests name available before the manifests are applied.

        A lab with real images loads or pulls `references`; a lab without images calls `stands_for` for the programs
        that replace them. Raises `LabError` when an image is unavailable.
        """
        ...

    def run(self, node: str, argv: Sequence[str]) -> str:
        """Run a program on a node and return its output. Raises `LabError` when it fails."""
        ...

    def export_logs(self, directory: Path) -> None:
        """Copy all logs of the lab into a directory, which may exist, each limited in size."""
        ...

    def detach(self) -> None:
        """End what this process has started in the lab, which stays up."""
        ...

    def down(self) -> None:
        """Remove everything that the lab created."""
        ...
