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
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.common.commands import output
from lbproof.lab.common.netns import entered
from lbproof.lab.netns import plan
from lbproof.lab.netns.processes import namespace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lbproof.lab.netns.plan import Place

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


def segment() -> None:
    """The bridge, the outside client, the router and the far client behind it."""
    ip(["link set lo up", "link add lan type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set lan up"])
    sysctl({f"net/bridge/bridge-nf-call-{table}": 0 for table in ("iptables", "ip6tables", "arptables")})
    sysctl({"net/ipv6/conf/all/disable_ipv6": 1})
    _host("router", plan.ROUTER, gateway=None)
    _host("client", plan.CLIENT, gateway=plan.ROUTER)
    ip(["netns add far"])
    ip(
        [
            "link add far type veth peer name eth0 netns far",
            f"addr add {plan.FAR_ROUTER}/24 dev far",
            "link set far up",
        ],
        "router",
    )
    ip(
        [
            "link set lo up",
            f"link set eth0 address {plan.mac_of(plan.FAR)}",
            f"addr add {plan.FAR}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {plan.FAR_ROUTER}",
        ],
        "far",
    )
    sysctl({"net/ipv4/ip_forward": 1}, "router")


def _host(name: str, address: str, gateway: str | None) -> None:
    mac = plan.mac_of(address)
    ip(
        [
            f"netns add {name}",
            f"link add v-{name} type veth peer name eth0 address {mac} netns {name}",
            f"link set v-{name} master lan up",
        ]
    )
    sysctl({"net/ipv6/conf/all/disable_ipv6": 1}, name)  # else its kernel talks on the segment by itself
    commands = ["link set lo up", f"addr add {address}/24 dev eth0", "link set eth0 up"]
    ip([*commands, f"route add default via {gateway}"] if gateway else commands, name)


def node(place: Place, others: Iterable[Place]) -> None:
    """A node's namespace, its cable, its routes to the other nodes' pods and their masquerade."""
    name = place.node.name
    _host(name, str(place.node.address), plan.ROUTER)
    sysctl(
        {
            "net/ipv4/ip_forward": 1,
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
                f"addr add {plan.KEEPER_SIDE}/30 dev mgmt",
                "link set mgmt up",
            ]
        )
        ip([f"addr add {plan.API_SIDE}/30 dev mgmt", "link set mgmt up"], name)
    routes = [f"route add {other.pod_cidr} via {other.node.address}" for other in others if other != place]
    if routes:
        ip(routes, name)
    # pods reach the outside with their node's address, as with any CNI
    rule = f"-s {place.pod_cidr} ! -d {plan.POD_CIDR} -m comment --comment lbproof-masquerade -j MASQUERADE"
    output(["iptables", "-w", "-t", "nat", "-A", "POSTROUTING", *rule.split()], netns=namespace(name))


def forget_node(place: Place, pods: Iterable[str]) -> None:
    """A node's and its pods' namespaces go; links first, since a namespace frees its links some time after its name."""
    links = [place.port, "mgmt"] if place.index == 0 else [place.port]
    named = [netns for netns in (place.node.name, *pods) if Path(namespace(netns)).exists()]
    ip([*(f"link del {link}" for link in links), *(f"netns del {netns}" for netns in named)])


def pod(place: Place, netns: str, address: str) -> None:
    """A pod's namespace and its link to the node."""
    port = f"v{netns}"
    ip([f"netns add {netns}"])
    ip(
        [
            f"link add {port} type veth peer name eth0 address {plan.mac_of(address)} netns {netns}",
            f"addr add {place.gateway}/32 dev {port}",
            f"link set {port} up",
            f"route add {address}/32 dev {port}",
        ],
        place.node.name,
    )
    ip(
        [
            "link set lo up",
            f"addr add {address}/32 dev eth0",
            "link set eth0 up",
            f"route add {place.gateway} dev eth0",
            f"route add default via {place.gateway}",
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
