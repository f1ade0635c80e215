"""The Lab protocol: a cluster with vantages and faults, whoever provides it.

A check never asks which provider it is on, only what the lab can do (`Lab.can`): what it cannot is `untestable`, never
a silent pass. Every fault returns its undo, and undoing twice is harmless.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from lbproof.witnesses.vantage import Vantage


class LabError(RuntimeError):
    """The lab broke or cannot be had here; the message says what, where, and what to do about it."""


_NOT_FOR_A_LAB = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY", "PYTHONWARNINGS"})


def environment() -> dict[str, str]:
    """The environment of a process of a lab: this process's, without what is meant for the user's own programs.

    A proxy stands outside the lab and cannot lead into it.
    """
    return {name: value for name, value in os.environ.items() if name.upper() not in _NOT_FOR_A_LAB}


class Capability(StrEnum):
    """Something that a lab may or may not be able to do."""

    ROUTED_CLIENT = "far-client"
    NODE_VANTAGE = "node-vantage"
    POD_VANTAGE = "pod-vantage"
    CAPTURE = "capture"
    NODE_CRASH = "power-cut"
    LINK_DOWN = "cable"
    BLACKHOLE = "silent-cut"
    PARTITION = "partition"
    FREEZE = "freeze"
    FREEZE_POD = "freeze-pod"
    KILL = "kill"
    STOP_API = "stop-api"
    DROP = "drop"


class Role(StrEnum):
    """What a node is for."""

    CONTROL_PLANE = "control-plane"
    WORKER = "worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the cluster as its segment sees it."""

    name: str
    role: Role
    address: str
    """IPv4 on the segment."""
    mac: str
    """Hardware address of the interface on the segment, lower case with colons: an ARP answer names its node by it."""
    interface: str = "eth0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The layer 2 segment that the nodes and the outside client share."""

    subnet: str
    """CIDR of the nodes (`192.168.172.0/24`)."""
    free: tuple[str, ...]
    """Addresses of it that belong to nobody and that pools may be made of, in order."""
    reserved: tuple[str, ...] = ()
    """Free addresses that are kept for the article's pool."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """Something done to the lab, from the moment that it took effect until it is undone."""

    kind: str
    """`power-cut`, `cable`, `silent-cut`, `partition`, `freeze`, `freeze-pod`, `kill`, `stop-api`, `drop`."""
    target: str
    """What it was done to, for a reader: `node w02`, `w01 | w03`, `speaker-x7k2p on w02`."""
    began: float
    """`time.monotonic()` of this machine once it had taken effect; all vantages of a lab share that clock."""
    undo_with: Callable[[], None]
    ended: float | None = None
    before: float | None = None
    """The same clock just before it was done: it took effect between then and `began`. None where one moment alone was
    read."""

    @property
    def earliest(self) -> float:
        """The first moment at which it can have taken effect."""
        return self.began if self.before is None else self.before

    def undo(self) -> None:
        """Put things back as they were; the second call does nothing."""
        if self.ended is None:
            self.undo_with()
            self.ended = _now()


def _now() -> float:
    import time  # noqa: PLC0415 - the only use, and a seam for tests

    return time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """What to boot. The default is the article's cluster."""

    workers: int = 3
    proxy_mode: str = "iptables"
    """kube-proxy: `iptables`, `nftables` or `none`."""
    proxy_args: tuple[str, ...] = ()
    """More flags for kube-proxy (`--iptables-min-sync-period=10ms`)."""
    node_grace: float = 50
    """Seconds without a lease until the node controller calls a node NotReady (kube-controller-manager's flag)."""
    api_port: int = 0
    """Port of this machine's loopback that leads to the API server; 0 takes a free one."""
    audit: bool = False
    """Whether the API server writes a line of its audit log for each request of a ServiceAccount (netns alone)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a container image stands for in a lab that runs programs instead of images."""

    pattern: str
    """Image name without registry, tag and digest, as `fnmatch` (`nginx`, `metallb/speaker`, `lbproof/reference`)."""
    program: str
    """The absolute path of the program on this machine."""
    args: tuple[str, ...] = ()
    """What the image's entrypoint passes before the container's own `args`."""
    default_args: tuple[str, ...] = ()
    """What runs when the container gives neither `command` nor `args` (an image's CMD)."""
    binds: tuple[str, ...] = ()
    """Paths of this machine that it needs to see, read-only, at the same place. Empty for a static binary."""
    path: str = ""
    """Where the program appears in the container (`/agnhost`); its own path when empty."""
    env: Mapping[str, str] = field(default_factory=dict)


class Lab(Protocol):
    """A running cluster."""

    name: str
    provider: str
    """`netns`, `kind` or `existing`."""
    kubeconfig: Path
    """Works from this machine, with kubectl or any client."""
    segment: Segment
    topology: Topology

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Control plane first, then workers in order; a node without power too."""
        ...

    def can(self, capability: Capability) -> bool:
        """Whether the lab can do this."""
        ...

    def describe(self) -> Mapping[str, str]:
        """What a report says of the environment: Kubernetes version, kube-proxy mode, kernel, …; all of it text."""
        ...

    # vantages
    def client(self) -> Vantage:
        """The outside client on the segment."""
        ...

    def routed_client(self) -> Vantage:
        """The client behind a router."""
        ...

    def node(self, name: str) -> Vantage:
        """A node itself. `KeyError` for an unknown name."""
        ...

    def pod(self, namespace: str, name: str) -> Vantage:
        """A running pod. `LabError` when it does not run."""
        ...

    # faults: each takes effect before the call returns
    def node_crash(self, node: str) -> Fault:
        """Every process of the node dies and its link goes down, at once. Undo: the node boots again."""
        ...

    def link_down(self, node: str) -> Fault:
        """The node's link to the segment goes down; it notices (no carrier). Undo: plugged in again."""
        ...

    def blackhole(self, node: str) -> Fault:
        """The segment carries nothing to and from the node, which keeps its carrier and cannot notice."""
        ...

    def partition(self, one: str, other: str) -> Fault:
        """Two nodes stop hearing each other; everybody else hears both, and both keep carrier."""
        ...

    def freeze(self, node: str) -> Fault:
        """Every process of the node stops (SIGSTOP); its kernel goes on forwarding. Undo: they go on."""
        ...

    def freeze_pod(self, namespace: str, pod: str) -> Fault:
        """Every process of one pod stops (SIGSTOP); its node goes on. Undo: they go on."""
        ...

    def kill(self, namespace: str, pod: str) -> Fault:
        """SIGKILL to a pod's processes; its node restarts them as a kubelet would. There is nothing to undo."""
        ...

    def stop_api(self) -> Fault:
        """The API server stops. Undo: it starts again and is waited for."""
        ...

    def drop(self, node: str, share: float) -> Fault:
        """A share (0 to 1) of the packets that reach the node from the segment is dropped."""
        ...

    # what the suite needs besides
    def bring_images(
        self,
        references: Iterable[str],
        stands_for: Callable[[], Iterable[Image]],
        progress: Callable[[str], None],
    ) -> None:
        """Have the images that manifests name at hand before they are applied.

        A lab with real images loads or pulls `references`; one that runs programs asks what they stand for.
        `LabError` when one can be had in no way.
        """
        ...

    def run(self, node: str, argv: Sequence[str]) -> str:
        """The output of a program run on a node. `LabError` when it fails."""
        ...

    def export_logs(self, directory: Path) -> None:
        """Copy every log of the lab below a directory, bounded in size."""
        ...

    def down(self) -> None:
        """Remove everything that the lab made."""
        ...
