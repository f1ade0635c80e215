"""Names, addresses and the configuration file of a kind lab. Pure."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any

import yaml

from lbproof.lab.base import LabError
from lbproof.lab.common.networks import Network
from lbproof.spec.families import Family

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lbproof.lab.base import Topology

FIRST = 172
"""Third byte of the first subnet to try, which is that of the article."""
SUBNETS = 40
"""Number of subnets to try: each lab takes one, and others may be networks of this machine."""
_FLAGS = {
    f"--{mode}-{flag}": (mode, field)
    for mode in ("iptables", "nftables", "ipvs")
    for flag, field in (("min-sync-period", "minSyncPeriod"), ("sync-period", "syncPeriod"))
}
"""Flag of kube-proxy → field of its configuration, because kind takes a configuration only."""
_USUAL_GRACE = 50
FAMILIES = {"ipv4": (Family.IPV4,), "ipv6": (Family.IPV6,), "dual": (Family.IPV4, Family.IPV6)}
"""Value of kind's `ipFamily` → families, the primary one first."""
CLIENT, ROUTER = 50, 20
"""Numbers of hosts on the segment; 1 is the engine's bridge."""
FAR_ROUTER, FAR = 1, 10
"""Numbers of the router and the client behind it in the network there."""


def cluster_name(lab: str) -> str:
    """Return the name of a lab's cluster in kind and of its network, which is the prefix of its containers."""
    return f"lbproof-{lab}"


class Subnet:
    """Networks of a lab: the engine gives .128 to .159 to nodes; the rest is as in the embedded lab."""

    def __init__(self, number: int) -> None:
        """`number` is the third byte of the IPv4 addresses."""
        self.number = number
        self.lan = Network(ipv4=IPv4Network(f"192.168.{number}.0/24"), ipv6=IPv6Network(f"fd00:192:168:{number}::/64"))
        """Network of the segment."""
        self.behind = Network(ipv4=IPv4Network(f"10.99.{number}.0/24"), ipv6=IPv6Network(f"fd00:10:99:{number}::/64"))
        """Network behind the router."""

    @classmethod
    def all(cls) -> Iterator[Subnet]:
        """Return the subnets to try, in order."""
        return (cls(number) for number in range(FIRST, FIRST + SUBNETS))

    @classmethod
    def of(cls, cidr: str) -> Subnet:
        """Return the subnet of an existing network, by its IPv4 network."""
        return cls(IPv4Network(cidr)[0].packed[2])

    @property
    def nodes(self) -> IPv4Network:
        """Range from which the engine chooses IPv4 addresses of containers; those of IPv6 it counts from `::2`."""
        return IPv4Network(f"192.168.{self.number}.128/27")


def config(topology: Topology, *, api_port: int = 0, cgroup_v1: bool = False) -> dict[str, Any]:
    """Return kind's `Cluster` for a topology (https://kind.sigs.k8s.io/docs/user/configuration/).

    Raises `LabError` for an argument of kube-proxy that has no field in its configuration, and for a second segment or
    subnet.
    """
    if topology.second_segment or topology.other_subnet:
        raise LabError("a kind lab has one segment with one subnet: take a netns lab for another")
    workers = [{"role": "worker"} for _ in range(topology.workers)]
    found: dict[str, Any] = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": "control-plane"}, *workers],
    }
    networking: dict[str, Any] = {}
    if topology.proxy_mode != "iptables":
        networking["kubeProxyMode"] = topology.proxy_mode
    if api_port:
        networking["apiServerPort"] = api_port
    family = next(name for name, families in FAMILIES.items() if families == topology.families)
    if family != "ipv4":
        networking["ipFamily"] = family
    if networking:
        found["networking"] = networking
    _published(found)
    patches = [*_proxy(topology), *_grace(topology)]
    return _patched(found, patches, cgroup_v1=cgroup_v1)


def of_file(path: Path, *, api_port: int = 0, cgroup_v1: bool = False) -> dict[str, Any]:
    """Read a topology file and add what this machine requires. Raises `LabError` when it cannot be read."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LabError(f"topology file {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LabError(f"topology file {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict) or found.get("kind") != "Cluster":
        raise LabError(f"topology file {path}: it is not a `kind: Cluster` of kind.x-k8s.io/v1alpha4")
    if api_port:
        found.setdefault("networking", {})["apiServerPort"] = api_port
    _published(found)
    return _patched(found, [], cgroup_v1=cgroup_v1)


def _published(found: dict[str, Any]) -> None:
    """Have the API server of an IPv6 cluster published at 127.0.0.1, as others are; kind would take ::1."""
    if family_of(found) == "ipv6":
        found["networking"].setdefault("apiServerAddress", "127.0.0.1")


def workers_of(config: Mapping[str, Any]) -> int:
    """Return the number of workers in a configuration of kind."""
    return sum(node.get("role") == "worker" for node in config.get("nodes", []))


def proxy_mode_of(config: Mapping[str, Any]) -> str:
    """Return the mode of kube-proxy in a configuration of kind."""
    return str(config.get("networking", {}).get("kubeProxyMode", "iptables"))


def family_of(config: Mapping[str, Any]) -> str:
    """Return `ipv4`, `ipv6` or `dual`."""
    return str(config.get("networking", {}).get("ipFamily", "ipv4"))


def _patched(found: dict[str, Any], patches: list[dict[str, Any]], *, cgroup_v1: bool) -> dict[str, Any]:
    written = "\n".join(found.get("kubeadmConfigPatches", []))
    if cgroup_v1 and "failCgroupV1" not in written:
        kubelet = {"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1"}
        patches = [*patches, {**kubelet, "failCgroupV1": False}]
    if patches:
        texts = [yaml.safe_dump(patch, sort_keys=False) for patch in patches]
        found = {**found, "kubeadmConfigPatches": [*found.get("kubeadmConfigPatches", []), *texts]}
    return found


def _proxy(topology: Topology) -> list[dict[str, Any]]:
    patch: dict[str, Any] = {"kind": "KubeProxyConfiguration", "apiVersion": "kubeproxy.config.k8s.io/v1alpha1"}
    for argument in topology.proxy_args:
        flag, _, value = argument.partition("=")
        if flag not in _FLAGS:
            raise LabError(f"kube-proxy argument {argument!r}: a kind lab takes {', '.join(_FLAGS)} alone")
        mode, field = _FLAGS[flag]
        patch.setdefault(mode, {})[field] = value
    return [patch] if topology.proxy_args else []


def _grace(topology: Topology) -> list[dict[str, Any]]:
    if topology.node_grace == _USUAL_GRACE:
        return []
    args = [{"name": "node-monitor-grace-period", "value": f"{topology.node_grace:g}s"}]
    head = {"kind": "ClusterConfiguration", "apiVersion": "kubeadm.k8s.io/v1beta4"}
    return [{**head, "controllerManager": {"extraArgs": args}}]
