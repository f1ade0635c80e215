"""Names, addresses and the configuration file of a kind lab. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network
from typing import TYPE_CHECKING, Any

import yaml

from lbproof.lab.base import LabError, Segment

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


def cluster_name(lab: str) -> str:
    """Return the name of a lab's cluster in kind and of its network, which is the prefix of its containers."""
    return f"lbproof-{lab}"


class Subnet:
    """IPv4 network (/24) of a lab: the engine gives .128 to .159 to nodes; the rest is as in the embedded lab."""

    def __init__(self, number: int) -> None:
        """`number` is the third byte of the addresses."""
        self.number = number
        self.lan = f"192.168.{number}."

    @classmethod
    def all(cls) -> Iterator[Subnet]:
        """Return the subnets to try, in order."""
        return (cls(number) for number in range(FIRST, FIRST + SUBNETS))

    @classmethod
    def of(cls, cidr: str) -> Subnet:
        """Return the subnet of an existing network."""
        return cls(int(cidr.split(".")[2]))

    @property
    def cidr(self) -> str:
        """Network of the segment."""
        return f"{self.lan}0/24"

    @property
    def nodes(self) -> str:
        """Range from which the engine chooses addresses of containers."""
        return f"{self.lan}128/27"

    @property
    def client(self) -> str:
        """Address of the outside client."""
        return f"{self.lan}50"

    @property
    def router(self) -> str:
        """Address of the router on the segment; .1 is the engine's bridge."""
        return f"{self.lan}20"

    @property
    def far(self) -> str:
        """Address of the client behind the router."""
        return f"10.99.{self.number}.10"

    @property
    def far_router(self) -> str:
        """Address of the router in the network behind it."""
        return f"10.99.{self.number}.1"

    @property
    def far_cidr(self) -> str:
        """Network behind the router."""
        return f"10.99.{self.number}.0/24"

    @property
    def ipv6(self) -> str:
        """IPv6 network of the segment, for topologies that have one (RFC 4193)."""
        return f"fd00:192:168:{self.number}::/64"

    def segment(self, family: str) -> Segment:
        """Return the segment; that of an IPv6-only cluster has no free addresses, as its Services get no IPv4."""
        free = () if family == "ipv6" else tuple(IPv4Address(f"{self.lan}{host}") for host in range(160, 240))
        return Segment(name="lan", subnets=(ip_network(self.cidr),), free=free)


def config(topology: Topology, *, api_port: int = 0, cgroup_v1: bool = False) -> dict[str, Any]:
    """Return kind's `Cluster` for a topology (https://kind.sigs.k8s.io/docs/user/configuration/).

    Raises `LabError` for an argument of kube-proxy that has no field in its configuration.
    """
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
    if networking:
        found["networking"] = networking
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
    networking = found.setdefault("networking", {})
    if api_port:
        networking["apiServerPort"] = api_port
    if family_of(found) == "ipv6":  # else kind publishes it at ::1
        networking.setdefault("apiServerAddress", "127.0.0.1")
    return _patched(found, [], cgroup_v1=cgroup_v1)


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
