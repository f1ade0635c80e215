"""What a kubelet says of its node and its pods, from plain state. Pure; times are RFC 3339 text."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lbproof.lab.base import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lbproof.lab.netns.plan import Place
    from lbproof.spec.families import IPAddress

_EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def now() -> str:
    """The time as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def node_object(place: Place, *, excluded: bool) -> dict[str, Any]:
    """A Node as kubeadm leaves it: the control plane is tainted and, if `excluded`, no load balancers' traffic's."""
    name = place.node.name
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": _architecture()}
    ranges = [str(pods) for pods in place.pod_ranges]
    spec: dict[str, Any] = {"podCIDR": ranges[0], "podCIDRs": ranges}
    if place.node.role is Role.CONTROL_PLANE:
        labels |= {_CONTROL_PLANE: ""} | ({_EXCLUDED: ""} if excluded else {})
        spec["taints"] = [{"key": _CONTROL_PLANE, "effect": "NoSchedule"}]
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec}


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def node_status(place: Place, version: str, at: str) -> dict[str, Any]:
    """A healthy node's status, as the body of a strategic merge patch."""
    reasons = {
        "MemoryPressure": "KubeletHasSufficientMemory",
        "DiskPressure": "KubeletHasNoDiskPressure",
        "PIDPressure": "KubeletHasSufficientPID",
        "Ready": "KubeletReady",
    }
    room = {"cpu": "8", "memory": "16Gi", "pods": "250", "ephemeral-storage": "50Gi"}
    name = place.node.name
    return {
        "status": {
            "addresses": [
                *({"type": "InternalIP", "address": str(address)} for address in place.node.addresses),
                {"type": "Hostname", "address": name},
                {"$patch": "replace"},  # else merged by `type`, of which there are two, as in a kubelet's patch
            ],
            "capacity": room,
            "allocatable": room,
            "conditions": [
                {
                    "type": kind,
                    "status": "True" if kind == "Ready" else "False",
                    "reason": reason,
                    "message": "lbproof's stand-in for the kubelet",
                    "lastHeartbeatTime": at,
                    "lastTransitionTime": at,
                }
                for kind, reason in reasons.items()
            ],
            "nodeInfo": {
                "kubeletVersion": version,
                "kubeProxyVersion": "",
                "osImage": "lbproof netns lab",
                "kernelVersion": os.uname().release,
                "operatingSystem": "linux",
                "architecture": _architecture(),
                "containerRuntimeVersion": "lbproof://1",
                "machineID": name,
                "systemUUID": name,
                "bootID": name,
            },
        }
    }


@dataclass(slots=True, kw_only=True)
class Container:
    """What is known of one container of a pod."""

    name: str
    image: str
    waiting: tuple[str, str] | None = ("ContainerCreating", "")
    """Reason and message while it does not run and is to."""
    pid: int = 0
    started: str = ""
    exited: Mapping[str, Any] | None = None
    """The `terminated` state of its last run, when it has ended and not run again."""
    last: Mapping[str, Any] | None = None
    """The `terminated` state of the run before this one."""
    ready: bool = False
    restarts: int = 0

    @property
    def running(self) -> bool:
        """Whether its program runs."""
        return self.waiting is None and self.exited is None

    def runs(self, pid: int, at: str) -> None:
        """Its program has been started, for the first time or again."""
        if self.pid:
            self.restarts += 1
        self.last, self.exited = self.exited or self.last, None
        self.waiting, self.pid, self.started = None, pid, at

    def backs_off(self, seconds: float) -> None:
        """It has ended more than once, and will be started again only after some time."""
        self.last, self.exited = self.exited, None
        self.waiting = ("CrashLoopBackOff", f"back-off {seconds:.1f}s restarting failed container={self.name}")

    def as_status(self) -> dict[str, Any]:
        """A ContainerStatus."""
        state: dict[str, Any]
        if self.waiting:
            state = {"waiting": {"reason": self.waiting[0], "message": self.waiting[1]}}
        elif self.exited:
            state = {"terminated": dict(self.exited)}
        else:
            state = {"running": {"startedAt": self.started}}
        return {
            "name": self.name,
            "image": self.image,
            "imageID": f"lbproof://{self.image}" if self.pid else "",
            "containerID": f"lbproof://{self.pid}" if self.pid else "",
            "ready": self.ready,
            "started": self.running,
            "restartCount": self.restarts,
            "state": state,
            "lastState": {"terminated": dict(self.last)} if self.last else {},
        }


def terminated(code: int, started: str, at: str, pid: int) -> dict[str, Any]:
    """The `terminated` state for an exit code as `Popen` gives it: negative is the signal that ended it."""
    state: dict[str, Any] = {
        "exitCode": code if code >= 0 else 128 - code,
        "reason": "Completed" if code == 0 else "Error",
        "startedAt": started,
        "finishedAt": at,
        "containerID": f"lbproof://{pid}",
    }
    if code < 0:
        state["signal"] = -code
    return state


def phase(containers: Iterable[Container], restart: str) -> str:
    """A pod's phase, once its containers have been started, by its restart policy."""
    states = list(containers)
    if any(container.exited is None and container.waiting and not container.pid for container in states):
        return "Pending"
    if all(container.exited for container in states) and restart != "Always":
        failed = any(container.exited and container.exited["exitCode"] for container in states)
        return "Running" if failed and restart == "OnFailure" else "Failed" if failed else "Succeeded"
    return "Running"


def conditions(
    *, networked: bool, initialized: bool, containers: Sequence[Container], before: Mapping[str, Any], at: str
) -> list[dict[str, Any]]:
    """A pod's conditions; one that did not change since the status `before` keeps its time."""
    ready = bool(containers) and all(container.ready for container in containers)
    unready = [container.name for container in containers if not container.ready]
    truth = {
        "PodReadyToStartContainers": networked,
        "Initialized": initialized,
        "ContainersReady": ready,
        "Ready": ready,
    }
    old = {condition["type"]: condition for condition in before.get("conditions", [])}
    rows = []
    for kind, holds in truth.items():
        word = "True" if holds else "False"
        same = old.get(kind, {}).get("status") == word
        since = old[kind]["lastTransitionTime"] if same else at
        row = {"type": kind, "status": word, "lastTransitionTime": since, "reason": None, "message": None}
        if not holds and kind in {"Ready", "ContainersReady"}:
            row |= {"reason": "ContainersNotReady", "message": f"containers with unready status: {unready}"}
        rows.append(row)
    return rows


def pod_status(
    *,
    node: Sequence[IPAddress],
    addresses: Sequence[IPAddress],
    started: str,
    init: Sequence[Container],
    containers: Sequence[Container],
    restart: str,
    before: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a PodStatus; `before` is the one that the API has, from which unchanged conditions take their times."""
    done = all(container.exited and container.exited["exitCode"] == 0 for container in init)
    said: dict[str, Any] = {
        "phase": phase(containers, restart),
        "hostIP": str(node[0]),
        "hostIPs": [{"ip": str(address)} for address in node],
        "podIP": str(addresses[0]) if addresses else "",
        "podIPs": [{"ip": str(address)} for address in addresses],
        "startTime": started,
        "conditions": conditions(
            networked=bool(addresses), initialized=done, containers=containers, before=before, at=now()
        ),
        "containerStatuses": [container.as_status() for container in containers],
    }
    if init:
        said["initContainerStatuses"] = [container.as_status() for container in init]
    return said


_KEYS = ("type", "ip", "name")
"""Fields by which the API merges lists of a PodStatus."""


def shows(seen: Any, said: Any) -> bool:  # noqa: ANN401 - any JSON
    """Return whether a status of the API contains what was said.

    Fields and list elements of others are allowed; absent, null and empty are the same, as the API omits them.
    """
    if isinstance(said, dict):
        seen = seen or {}
        return all(shows(seen.get(key), value) for key, value in said.items())
    if isinstance(said, list):
        key = next(key for key in _KEYS if all(key in row for row in said))
        rows = {row.get(key): row for row in seen or []}
        return all(shows(rows.get(row[key]), row) for row in said)
    return bool((seen or None) == (said or None))
