"""What a kind lab is called, where its addresses lie, and the file that kind is given. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from lbproof.lab.base import LabError, Segment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lbproof.lab.base import Topology

FIRST = 172
"""Third number of the first subnet to try; with it the article's addresses are what they are in the article."""
SUBNETS = 40
"""How many are tried: two labs side by side take two, and one may be a network of this machine."""
_FLAGS = {
    f"--{mode}-{flag}": (mode, field)
    for mode in ("iptables", "nftables", "ipvs")
    for flag, field in (("min-sync-period", "minSyncPeriod"), ("sync-period", "syncPeriod"))
}
"""kube-proxy's flags as fields of its configuration, which is all that kind takes."""
_USUAL_GRACE = 50


def cluster_name(lab: str) -> str:
    """Kind's name of a lab's cluster, which is its network's name as well and begins its containers'."""
    return f"lbproof-{lab}"


class Subnet:
    """A lab's /24: the engine numbers nodes within .128 to .159; the rest is as in the embedded lab."""

    def __init__(self, number: int) -> None:
        """`number` is the third of the four."""
        self.number = number
        self.lan = f"192.168.{number}."

    @classmethod
    def all(cls) -> Iterator[Subnet]:
        """Those to try, in order."""
        return (cls(number) for number in range(FIRST, FIRST + SUBNETS))

    @classmethod
    def of(cls, cidr: str) -> Subnet:
        """That of a network that is there."""
        return cls(int(cidr.split(".")[2]))

    @property
    def cidr(self) -> str:
        """All of it."""
        return f"{self.lan}0/24"

    @property
    def nodes(self) -> str:
        """What the engine gives to containers by itself."""
        return f"{self.lan}128/27"

    @property
    def client(self) -> str:
        """The outside client."""
        return f"{self.lan}50"

    @property
    def router(self) -> str:
        """The router's leg on the segment; .1 is the engine's own bridge."""
        return f"{self.lan}20"

    @property
    def far(self) -> str:
        """The client behind the router."""
        return f"10.99.{self.number}.10"

    @property
    def far_router(self) -> str:
        """The router's other leg."""
        return f"10.99.{self.number}.1"

    @property
    def far_cidr(self) -> str:
        """The network behind the router."""
        return f"10.99.{self.number}.0/24"

    @property
    def ipv6(self) -> str:
        """The segment's IPv6 network, for topologies that have one (RFC 4193)."""
        return f"fd00:192:168:{self.number}::/64"

    def segment(self, family: str) -> Segment:
        """As the suite sees it. Nothing of it is free for a cluster of `ipv6` alone: no Service of it takes IPv4."""
        if family == "ipv6":
            return Segment(subnet=self.cidr, free=())
        return Segment(
            subnet=self.cidr,
            free=tuple(f"{self.lan}{host}" for host in range(170, 240)),
            reserved=tuple(f"{self.lan}{host}" for host in range(160, 170)),
        )


def config(topology: Topology, *, api_port: int = 0, cgroup_v1: bool = False) -> dict[str, Any]:
    """Kind's `Cluster` for a topology (https://kind.sigs.k8s.io/docs/user/configuration/).

    `LabError` for an argument of kube-proxy that kind has no way to take.
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
    """A topology file as kind takes it, and what this machine needs besides. `LabError` when it cannot be read."""
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
    """Worker nodes of a kind configuration."""
    return sum(node.get("role") == "worker" for node in config.get("nodes", []))


def proxy_mode_of(config: Mapping[str, Any]) -> str:
    """kube-proxy's mode in a kind configuration."""
    return str(config.get("networking", {}).get("kubeProxyMode", "iptables"))


def family_of(config: Mapping[str, Any]) -> str:
    """`ipv4`, `ipv6` or `dual`."""
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
