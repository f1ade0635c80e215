"""The lab's wires: the segment is a bridge without an address, and every host is a namespace with a cable into it.

The bridge is in the supervisor's own namespace and only switches frames: with `bridge-nf-call-*`, on by default in a
new namespace, it would run the frames through the nodes' kind of packet filter. Pods hang on their node by a
point-to-point link, as with kindnet, so a node holds no bridge. What the segment does to frames as a fault is a table
of the bridge family here, one a fault: nothing of it is inside a node.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.common.bridge import await_forwarding
from lbproof.lab.common.commands import output
from lbproof.lab.common.netns import entered
from lbproof.lab.netns import plan
from lbproof.lab.netns.processes import NAMESPACES, namespace
from lbproof.spec.families import Family, family_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lbproof.lab.base import Topology
    from lbproof.lab.common.networks import Network
    from lbproof.lab.netns.plan import Place
    from lbproof.spec.families import IPAddress

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def ip(commands: Sequence[str], netns: str | None = None) -> None:
    """Carry out `ip` commands in one go, here or in a named namespace. `LabError` with what ip says."""
    output(["ip", *(["-n", netns] if netns else []), "-batch", "-"], text="\n".join(commands) + "\n")


def sysctl(values: Mapping[str, int], netns: str | None = None) -> None:
    """Set values below /proc/sys/net: that directory shows the namespace of the thread that opens it."""

    def write() -> None:
        for name, value in values.items():
            Path("/proc/sys", name).write_text(str(value), encoding="ascii")

    if netns is None:
        write()
        return
    with entered(namespace(netns)):
        write()


def link_up(name: str, up: bool) -> None:
    """Bring an interface of this thread's namespace up or down, by one system call: faults are timed by it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", name.encode(), 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request), 16)
        flags = flags | _IFF_UP if up else flags & ~_IFF_UP
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags))


def segment(topology: Topology) -> None:
    """The bridge, the outside client, the router and the far client behind it."""
    families = topology.families
    ip(["link set lo up", *_bridge("lan", plan.LAN)])
    sysctl({f"net/bridge/bridge-nf-call-{table}": 0 for table in ("iptables", "ip6tables", "arptables")})
    sysctl({"net/ipv6/conf/all/disable_ipv6": 1})  # the bridge and its ports are no hosts
    _host("router", plan.LAN, plan.ROUTER, families)
    _host("client", plan.LAN, plan.CLIENT, families, router=plan.ROUTER)
    if topology.second_segment:
        second_segment(families)
    ip(["netns add far"])
    ip([f"link add far type veth peer name eth0 address {_mac(plan.BEHIND, plan.FAR)} netns far"], "router")
    _quiet("far", families)
    ip([*_addresses("far", plan.BEHIND, plan.FAR_ROUTER, families), "link set far up"], "router")
    ip(
        [
            "link set lo up",
            *_addresses("eth0", plan.BEHIND, plan.FAR, families),
            "link set eth0 up",
            *_default(plan.BEHIND, plan.FAR_ROUTER, families),
        ],
        "far",
    )
    sysctl(_forwarding(families), "router")
    if topology.other_subnet:
        _route_between(plan.places(topology))


def second_segment(families: Sequence[Family]) -> None:
    """The bridge of a second segment, and the client there."""
    ip(_bridge("lan2", plan.SECOND))
    _host("client2", plan.SECOND, plan.CLIENT, families, bridge="lan2")


def forget_second_segment() -> None:
    """Remove it; the nodes' links to it are gone, or go with the nodes."""
    forget_host("client2")
    ip(["link del lan2"])


def _bridge(name: str, lan: Network) -> list[str]:
    """Return the commands for a bridge, whose hardware address would otherwise change with its ports."""
    mac = _mac(lan, plan.BRIDGE)
    return [
        f"link add {name} address {mac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        f"link set {name} up",
    ]


def _route_between(places: Sequence[Place]) -> None:
    """Have the router route between the subnets of the segment, and to all pods; it tells nobody of a shorter way."""
    pods = [
        f"route add {pods} via {place.node.address_for(family_of(pods))}"
        for place in places
        for pods in place.pod_ranges
    ]
    sysctl({f"net/ipv4/conf/{one}/send_redirects": 0 for one in ("all", "eth0")}, "router")
    ip([*_addresses("eth0", plan.OTHER, plan.ROUTER, places[0].node.families), *pods], "router")


def _host(
    name: str, lan: Network, number: int, families: Sequence[Family], *, router: int | None = None, bridge: str = "lan"
) -> None:
    ip(
        [
            f"netns add {name}",
            f"link add v-{name} type veth peer name eth0 address {_mac(lan, number)} netns {name}",
            f"link set v-{name} master {bridge} up",
        ]
    )
    _quiet(name, families)
    commands = ["link set lo up", *_addresses("eth0", lan, number, families), "link set eth0 up"]
    ip([*commands, *(_default(lan, router, families) if router else [])], name)


def _mac(network: Network, number: int) -> str:
    return plan.mac_of(network.ipv4_host(number))


def _addresses(
    interface: str, network: Network, number: int, families: Sequence[Family], *, do: str = "add"
) -> list[str]:
    pairs = zip(network.hosts(number, families), network.ranges(families), strict=True)
    return [f"addr {do} {address}/{subnet.prefixlen} dev {interface}" for address, subnet in pairs]


def _default(network: Network, router: int, families: Sequence[Family]) -> list[str]:
    return [f"route add default via {address}" for address in network.hosts(router, families)]


def _quiet(netns: str, families: Sequence[Family]) -> None:
    """Keep a host's kernel from talking by itself where the lab has no use for it; eth0 exists and is down.

    Duplicate address detection would make an address usable only a second after its interface, and router
    solicitations would be asked of a router that answers none. What stays is what IPv6 cannot do without: a link-local
    address, from which implementations send NDP, and the MLD reports of an interface that comes up.
    """
    if Family.IPV6 not in families:
        sysctl({"net/ipv6/conf/all/disable_ipv6": 1}, netns)
        return
    settings = ("accept_dad", "accept_ra")
    sysctl({f"net/ipv6/conf/{one}/{name}": 0 for one in ("default", "eth0") for name in settings}, netns)


def _forwarding(families: Sequence[Family]) -> dict[str, int]:
    names = {Family.IPV4: "net/ipv4/ip_forward", Family.IPV6: "net/ipv6/conf/all/forwarding"}
    return {names[family]: 1 for family in families}


def node(place: Place, others: Iterable[Place]) -> None:
    """A node's namespace, its cable, its routes to the other nodes' pods and their masquerade."""
    name, families = place.node.name, place.node.families
    _host(name, place.lan, place.host, families, router=plan.ROUTER)
    if place.second:
        second_link(place, "eth1", plan.SECOND)
    sysctl(
        {
            **_forwarding(families),
            "net/ipv4/conf/all/rp_filter": 0,
            "net/ipv4/conf/default/rp_filter": 0,
            "net/netfilter/nf_conntrack_tcp_be_liberal": 1,
        },
        name,
    )
    if place.index == 0:
        ip(
            [
                f"link add mgmt type veth peer name mgmt netns {name}",
                f"addr add {plan.SUPERVISOR_SIDE}/30 dev mgmt",
                "link set mgmt up",
            ]
        )
        ip([f"addr add {plan.API_SIDE}/30 dev mgmt", "link set mgmt up"], name)
    routes = [
        f"route add {pods} via {_next_hop(place, other, family_of(pods))}"
        for other in others
        if other != place
        for pods in other.pod_ranges
    ]
    if routes:
        ip(routes, name)
    # pods reach the outside with their node's address, as with any CNI
    for pods, everywhere in zip(place.pod_ranges, plan.PODS.ranges(families), strict=True):
        program = "iptables" if family_of(pods) is Family.IPV4 else "ip6tables"
        rule = f"-s {pods} ! -d {everywhere} -m comment --comment lbproof-masquerade -j MASQUERADE"
        output([program, "-w", "-t", "nat", "-A", "POSTROUTING", *rule.split()], netns=namespace(name))


def _next_hop(place: Place, other: Place, family: Family) -> IPAddress:
    """Return where a node sends what is for another's pods: to that node, or to the router of its own subnet."""
    return other.node.address_for(family) if other.lan == place.lan else place.lan.host(plan.ROUTER, family)


def _nic(netns: str, interface: str, port: str, *, bridge: str, mac: str, addresses: Sequence[str]) -> None:
    ip(
        [
            f"link add {port} type veth peer name {interface} address {mac} netns {netns}",
            f"link set {port} master {bridge} up",
        ]
    )
    ip([*addresses, f"link set {interface} up"], netns)


def second_link(place: Place, interface: str, subnet: Network | None) -> None:
    """Add an interface to a node on the second segment, with addresses of a subnet; None: link-local ones alone."""
    families, mac = place.node.families, _mac(plan.SECOND, place.host)
    if subnet:
        addresses = _addresses(interface, subnet, place.host, families)
    else:  # the kernel adds that of IPv6
        addresses = [f"addr add {plan.LINK_LOCAL + place.host}/16 dev {interface}"] * (Family.IPV4 in families)
    _nic(place.node.name, interface, place.second_port, bridge="lan2", mac=mac, addresses=addresses)


def second_nic(place: Place, interface: str, port: str, number: int) -> None:
    """Add an interface to a node on the first segment."""
    addresses = _addresses(interface, plan.LAN, number, place.node.families)
    _nic(place.node.name, interface, port, bridge="lan", mac=_mac(plan.LAN, number), addresses=addresses)
    await_forwarding(port, output)


def second_subnet(places: Iterable[Place], families: Sequence[Family]) -> None:
    """Give nodes addresses of the second subnet of the first segment, and add a client that has one alone.

    Those of IPv6 are deprecated, so that no node chooses one for packets to pods on others (RFC 6724 section 5, rule
    3), which have no way back to it. For IPv4 it is the first address of an interface that is chosen.
    """
    _host(plan.CLIENT_BESIDE, plan.ADDED, plan.CLIENT, families)
    for place in places:
        for family in families:
            deprecated = " preferred_lft 0" if family is Family.IPV6 else ""
            added = _addresses("eth0", plan.ADDED, place.host, [family])
            ip([f"{line}{deprecated}" for line in added], place.node.name)
    await_forwarding(f"v-{plan.CLIENT_BESIDE}", output)


def leave_second_subnet(place: Place) -> None:
    """Take a node's addresses of that subnet away."""
    ip(_addresses("eth0", plan.ADDED, place.host, place.node.families, do="del"), place.node.name)


def foreign_host(name: str, number: int, address: IPAddress) -> None:
    """Add a host to the segment that has one address."""
    family = family_of(address)
    _host(name, plan.LAN, number, [])
    if family is Family.IPV6:
        sysctl({f"net/ipv6/conf/{one}/disable_ipv6": 0 for one in ("all", "eth0")}, name)
        sysctl({"net/ipv6/conf/eth0/accept_dad": 0}, name)
    ip([f"addr add {address}/{plan.LAN.range(family).prefixlen} dev eth0"], name)
    await_forwarding(f"v-{name}", output)


def forget_host(name: str) -> None:
    """Remove a host of the segment that is no node."""
    ip([f"link del v-{name}", f"netns del {name}"])


def forget_node(place: Place, ports: Iterable[str], pods: Iterable[str]) -> None:
    """A node's and its pods' namespaces go; links first, since a namespace frees its links some time after its name.

    A pod that was ending when its node crashed may remove its namespace at the same time.
    """
    links = [*ports, "mgmt"] if place.index == 0 else [*ports]
    ip([f"link del {link}" for link in links])
    gone = 'for name; do ip netns del "$name" || [ ! -e "$0/$name" ] || exit 1; done'
    output(["sh", "-c", gone, NAMESPACES, place.node.name, *pods])


def pod(place: Place, netns: str, number: int) -> None:
    """A pod's namespace and its link to the node."""
    port = f"v{netns}"
    addresses, gateways = place.pod_addresses(number), place.gateways
    ip([f"netns add {netns}"])
    ip(
        [
            f"link add {port} type veth peer name eth0 address {place.pod_mac(number)} netns {netns}",
            *(f"addr add {ip_network(gateway)} dev {port}" for gateway in gateways),
            f"link set {port} up",
            *(f"route add {ip_network(address)} dev {port}" for address in addresses),
        ],
        place.node.name,
    )
    _quiet(netns, place.node.families)
    ip(
        [
            "link set lo up",
            *(f"addr add {ip_network(address)} dev eth0" for address in addresses),
            "link set eth0 up",
            *(f"route add {gateway} dev eth0" for gateway in gateways),
            *(f"route add default via {gateway}" for gateway in gateways),
        ],
        netns,
    )


def forget_pod(place: Place, netns: str) -> None:
    """A pod's link and namespace go; both may be gone with the node already."""
    if Path(namespace(place.node.name)).exists():
        output(["sh", "-c", f"ip -n {place.node.name} link del v{netns} 2>&1; ip netns del {netns} 2>&1; true"])


def forbid(table: str, rules: Sequence[str]) -> None:
    """Load a table of rules for frames that the segment forwards."""
    chain = "type filter hook forward priority 0; policy accept;"
    body = "\n".join(rules)
    output(["nft", "-f", "-"], text=f"table bridge {table} {{\nchain forward {{\n{chain}\n{body}\n}}\n}}\n")


def allow(table: str) -> None:
    """Remove such a table."""
    output(["nft", "delete", "table", "bridge", table])
