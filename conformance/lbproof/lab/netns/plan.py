"""Names, addresses and pod networks of the nodes: the article's cluster, for any number of workers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError, Node, Role
from lbproof.lab.common.networks import Network

if TYPE_CHECKING:
    from lbproof.lab.base import Topology
    from lbproof.spec.families import IPAddress, IPNetwork


LAN = Network(ipv4=IPv4Network("192.168.172.0/24"), ipv6=IPv6Network("fd00:192:168:172::/64"))
ROUTER, CLIENT, CONTROL_PLANE = 1, 50, 141
"""Numbers of hosts on the segment."""
BRIDGE = 254
"""Number of the segment's bridge, which has no address: what is sent from there is sent from this one."""
SECOND = Network(ipv4=IPv4Network("192.168.173.0/24"), ipv6=IPv6Network("fd00:192:168:173::/64"))
"""Second segment, if the topology has one; a host has the same number there."""
OTHER = Network(ipv4=IPv4Network("192.168.174.0/24"), ipv6=IPv6Network("fd00:192:168:174::/64"))
"""Other subnet of the first segment, if the topology has one."""
ADDED = Network(ipv4=IPv4Network("192.168.175.0/24"), ipv6=IPv6Network("fd00:192:168:175::/64"))
"""Second subnet of the first segment, which some nodes are given while the lab runs; a host has the same number there.
"""
CLIENT_BESIDE = "client3"
"""Name of the client there."""
LINK_LOCAL = IPv4Address("169.254.173.0")
"""Address before those of hosts with a link-local address alone (RFC 3927); IPv6 has its own on each interface."""
SPARE = tuple(number for number in range(253, 239, -1))
"""Numbers of interfaces that are added while the lab runs, if no node has them."""
BEHIND = Network(ipv4=IPv4Network("10.99.0.0/24"), ipv6=IPv6Network("fd00:10:99::/64"))
"""Network behind the router."""
FAR_ROUTER, FAR = 1, 10
"""Numbers of the router and the client there."""
PODS = Network(ipv4=IPv4Network("10.244.0.0/16"), ipv6=IPv6Network("fd00:10:244::/48"))
SERVICES = Network(ipv4=IPv4Network("10.96.0.0/12"), ipv6=IPv6Network("fd00:10:96::/112"))
API_SERVICE = 1
"""Number of the Service `kubernetes`, which the API server takes by itself."""
SUPERVISOR_SIDE, API_SIDE = IPv4Address("10.254.0.1"), IPv4Address("10.254.0.2")
"""The management link between the supervisor and the control plane's node; no node's traffic uses it."""
AUDIT_LOG = "audit.log"
"""The API server's audit log, among the lab's logs."""

_WORKER_HOSTS = (*range(151, 160), *range(2, 50), *range(51, 141), *range(142, 151), *range(240, 254))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Node with its place in this lab."""

    node: Node
    index: int
    """Index in the list of nodes; 0 is the control plane."""
    host: int
    """Number on the segment."""
    lan: Network = LAN
    """Its subnet of the segment."""
    second: bool = False
    """Whether it has an interface on a second segment."""

    @property
    def port(self) -> str:
        """Interface of its link at the bridge."""
        return f"v-{self.node.name}"

    @property
    def second_port(self) -> str:
        """Interface of its link at the second segment's bridge."""
        return f"s-{self.node.name}"

    @property
    def ports(self) -> tuple[str, ...]:
        """Interfaces of all its links at the bridges."""
        return (self.port, self.second_port) if self.second else (self.port,)

    @property
    def pods(self) -> Network:
        """Network of the pods on this node; the node itself is its host 1, and pods are 2 to 254."""
        ipv6 = IPv6Address(int(PODS.ipv6[0]) + (int(str(self.index), 16) << 64))
        return Network(ipv4=IPv4Network(f"10.244.{self.index}.0/24"), ipv6=IPv6Network((ipv6, 64)))

    @property
    def pod_ranges(self) -> tuple[IPNetwork, ...]:
        """Ranges of the pods on this node, of the lab's families."""
        return self.pods.ranges(self.node.families)

    @property
    def gateways(self) -> tuple[IPAddress, ...]:
        """Addresses of the node in the network of its pods."""
        return self.pod_addresses(1)

    def pod_addresses(self, number: int) -> tuple[IPAddress, ...]:
        """Return the addresses of a pod by its number on the node."""
        return self.pods.hosts(number, self.node.families)

    def pod_mac(self, number: int) -> str:
        """Return the hardware address of a pod."""
        return mac_of(self.pods.ipv4_host(number))


def ports(topology: Topology) -> dict[str, str]:
    """Return the ports of the first segment's bridge that nodes have or may be given, each with its node."""
    nodes = places(topology)
    added = {added_port(place.node.name, number): place.node.name for place in nodes for number in SPARE}
    return added | {place.port: place.node.name for place in nodes}


def added_port(node: str, number: int) -> str:
    """Return the port of an interface that is added to a node, by the number of the interface."""
    return f"n{number}-{node}"


def mac_of(address: IPv4Address) -> str:
    """Return the hardware address for an IPv4 address: it contains the four bytes, so a frame shows its sender.

    A host without IPv4 has that of the address that it would have.
    """
    return f"02:00:{address.packed.hex(':')}"


def places(topology: Topology) -> tuple[Place, ...]:
    """Return the nodes of a topology, control plane first. Raises `LabError` for more than the segment has room for."""
    if topology.other_subnet and not topology.workers:
        raise LabError("a lab without workers has none for another subnet")
    if not 0 <= topology.workers <= len(_WORKER_HOSTS):
        raise LabError(f"{topology.workers} workers: the netns lab has room for 0 to {len(_WORKER_HOSTS)}")
    lans = [LAN] * topology.workers + [OTHER if topology.other_subnet else LAN]
    return tuple(
        Place(
            index=index,
            host=host,
            lan=lans[index],
            second=topology.second_segment,
            node=Node(
                name=f"w{index:02}" if index else "m01",
                role=Role.WORKER if index else Role.CONTROL_PLANE,
                addresses=lans[index].hosts(host, topology.families),
                mac=mac_of(lans[index].ipv4_host(host)),
            ),
        )
        for index, host in enumerate([CONTROL_PLANE, *_WORKER_HOSTS[: topology.workers]])
    )
