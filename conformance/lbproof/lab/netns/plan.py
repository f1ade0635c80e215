"""Names, addresses and pod networks of the nodes: the article's cluster, for any number of workers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError, Node, Role, Segment

if TYPE_CHECKING:
    from lbproof.lab.base import Topology
    from lbproof.spec.families import IPAddress

LAN = "192.168.172."
ROUTER, CLIENT, CONTROL_PLANE = LAN + "1", LAN + "50", LAN + "141"
FAR, FAR_ROUTER = "10.99.0.10", "10.99.0.1"
KEEPER_SIDE, API_SIDE = "10.254.0.1", "10.254.0.2"
"""The management link between the supervisor and the control plane's node; no node's traffic uses it."""
POD_CIDR, SERVICE_CIDR, API_SERVICE = "10.244.0.0/16", "10.96.0.0/12", "10.96.0.1"
AUDIT_LOG = "audit.log"
"""The API server's audit log, among the lab's logs."""

SEGMENT = Segment(
    name="lan",
    subnets=(ip_network(LAN + "0/24"),),
    free=tuple(IPv4Address(f"{LAN}{host}") for host in range(160, 240)),
)

_WORKER_HOSTS = (*range(151, 160), *range(2, 50), *range(51, 141), *range(142, 151), *range(240, 255))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Node with its place in this lab."""

    node: Node
    index: int
    """Index in the list of nodes; 0 is the control plane."""

    @property
    def port(self) -> str:
        """Interface of its link at the bridge."""
        return f"v-{self.node.name}"

    @property
    def pod_cidr(self) -> str:
        """Network of the pods on this node."""
        return f"10.244.{self.index}.0/24"

    @property
    def gateway(self) -> str:
        """Address of the node in the network of its pods."""
        return self.pod_address(1)

    def pod_address(self, host: int) -> str:
        """Return the address of a pod by its number on the node (2 to 254)."""
        return f"10.244.{self.index}.{host}"


def mac_of(address: IPAddress | str) -> str:
    """Return the hardware address for an IPv4 address: it contains the four bytes, so a frame shows its sender."""
    return "02:00:" + ":".join(f"{int(part):02x}" for part in str(address).split("."))


def places(topology: Topology) -> tuple[Place, ...]:
    """Return the nodes of a topology, control plane first. Raises `LabError` for more than the segment has room for."""
    if not 0 <= topology.workers <= len(_WORKER_HOSTS):
        raise LabError(f"{topology.workers} workers: the netns lab has room for 0 to {len(_WORKER_HOSTS)}")
    hosts = [CONTROL_PLANE, *(f"{LAN}{host}" for host in _WORKER_HOSTS[: topology.workers])]
    return tuple(
        Place(
            index=index,
            node=Node(
                name=f"w{index:02}" if index else "m01",
                role=Role.WORKER if index else Role.CONTROL_PLANE,
                addresses=(ip_address(address),),
                mac=mac_of(address),
            ),
        )
        for index, address in enumerate(hosts)
    )
