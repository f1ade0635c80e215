"""Faults of a kind lab: each takes effect before the call returns, and has its undo."""

from __future__ import annotations

import itertools
import os
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbproof.lab.base import LabError, Role
from lbproof.lab.common.commands import output
from lbproof.lab.common.conditions import is_node_usable, is_ready
from lbproof.lab.fault import Attachment, Fault
from lbproof.lab.kind.leftovers import table_prefix
from lbproof.lab.kind.machines import processes_of
from lbproof.witnesses.kube import ApiError, ApiUnreachable, Kube
from lbproof.witnesses.wait import EventuallyFailed, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lbproof.lab.common.probes import Probes
    from lbproof.lab.kind.engine import Engine
    from lbproof.lab.kind.machines import Machines
    from lbproof.lab.kind.plan import Subnet
    from lbproof.spec.families import IPAddress

_BACK = 180
"""Seconds that a node or an API server may take to come back."""
_SCALE = 10_000
_API_PORT = 6443
_MANIFEST = "etc/kubernetes/manifests/kube-apiserver.yaml"
_ASIDE = "etc/kubernetes/kube-apiserver.yaml.stopped"


class Faults:
    """Faults of one lab."""

    def __init__(
        self,
        *,
        engine: Engine,
        lab: str,
        machines: Machines,
        subnet: Subnet,
        cluster: Kube,
        image: str,
        probes: Probes,
    ) -> None:
        """Cause no fault yet. `image` is the nodes' image, of which a foreign host is made."""
        self._engine, self._lab, self._machines = engine, lab, machines
        self._subnet, self._cluster, self._image, self._probes = subnet, cluster, image, probes
        self._numbers = itertools.count(time.monotonic_ns())

    def node_crash(self, node: str) -> Fault:
        """Take the link of a node down, then send SIGKILL to its init, which ends all its processes."""
        machine = self._machines.get(node)
        port = self._machines.port(node)
        before = time.monotonic()
        self._machines.set_link(port, up=False)
        began = time.monotonic()
        _signal([machine.pid])
        self._engine.run("wait", node)
        self._machines.forget(node)
        return Fault(
            kind="power-cut",
            target=f"node {node}",
            before=before,
            began=began,
            undo_with=lambda: self._reboot(node),
        )

    def _reboot(self, node: str) -> None:
        since = datetime.now(UTC).replace(microsecond=0)
        self._machines.keep_addresses(node)
        self._engine.run("start", node)
        self._machines.restarted(node)
        self._machines.add_route(node, self._subnet)
        self._await(f"node {node} has booted", lambda: self._waits_for(node, since))

    def _waits_for(self, node: str, since: datetime) -> str:
        """Return what a restarted node still lacks: its lease, readiness or one of its own pods."""
        lease = self._cluster.get(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node}")
        if _time(lease["spec"]["renewTime"]) < since:
            return "its kubelet"
        seen = self._cluster.get(f"/api/v1/nodes/{node}")
        if not is_node_usable(seen):
            return "to be Ready"
        pods = self._cluster.list("/api/v1/pods", fieldSelector=f"spec.nodeName={node}")
        lagging = [pod["metadata"]["name"] for pod in pods if _own(pod) and not _runs_since(pod, since)]
        return ", ".join(lagging)

    def link_down(self, node: str) -> Fault:
        """Take a node's link down at the engine's bridge, so that the node loses its carrier."""
        port = self._machines.port(node)
        before = time.monotonic()
        self._machines.set_link(port, up=False)
        return Fault(
            kind="cable",
            target=f"node {node}",
            before=before,
            began=time.monotonic(),
            undo_with=lambda: self._machines.set_link(port, up=True),
        )

    def blackhole(self, node: str) -> Fault:
        """Drop all frames from and to a node's port at the bridge, which stays up."""
        port = self._machines.port(node)
        return self._forbid("silent-cut", f"node {node}", [f'{way} "{port}" drop' for way in ("iifname", "oifname")])

    def partition(self, one: str, other: str) -> Fault:
        """Drop all frames between two nodes at the bridge."""
        if one == other:
            raise LabError(f"a partition takes two nodes, not {one} twice")
        ports = [self._machines.port(name) for name in (one, other)]
        rules = [f'iifname "{a}" oifname "{b}" drop' for a, b in (ports, ports[::-1])]
        return self._forbid("partition", f"{one} | {other}", rules)

    def freeze(self, node: str) -> Fault:
        """Freeze the cgroup of a node; its network stack still works."""
        self._machines.get(node)
        before = time.monotonic()
        self._engine.run("pause", node)
        return Fault(
            kind="freeze",
            target=f"node {node}",
            before=before,
            began=time.monotonic(),
            undo_with=lambda: _ignore(self._engine.run("unpause", node)),
        )

    def freeze_pod(self, namespace: str, pod: str) -> Fault:
        """Send SIGSTOP to a pod's processes, except its sandbox."""
        seen = self.pod(namespace, pod)
        programs = self._programs(seen)
        before = time.monotonic()
        _signal(programs, signal.SIGSTOP)
        return Fault(
            kind="freeze-pod",
            target=_where(seen),
            before=before,
            began=time.monotonic(),
            # looked up again, because PIDs are reused
            undo_with=lambda: _signal(_programs(seen), signal.SIGCONT),
        )

    def kill(self, namespace: str, pod: str) -> Fault:
        """Send SIGKILL to a pod's processes, except its sandbox."""
        seen = self.pod(namespace, pod)
        programs = self._programs(seen)
        before = time.monotonic()
        _signal(programs)
        return Fault(kind="kill", target=_where(seen), before=before, began=time.monotonic(), undo_with=lambda: None)

    @staticmethod
    def _programs(seen: dict[str, Any]) -> list[int]:
        """Return the processes of a pod, except its sandbox. Raises `LabError` when there are none."""
        found = _programs(seen)
        if not found:
            meta = seen["metadata"]
            raise LabError(f"no process of pod {meta['namespace']}/{meta['name']} runs on this machine")
        return found

    def pod(self, namespace: str, name: str) -> dict[str, Any]:
        """Return the object of a running pod. Raises `LabError` when there is none."""
        try:
            seen = self._cluster.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        except ApiError as error:
            raise LabError(f"no pod {namespace}/{name} runs in this lab: {error}") from None
        if seen["status"].get("phase") != "Running":
            raise LabError(f"pod {namespace}/{name} does not run: it is {seen['status'].get('phase')}")
        return seen

    def stop_api(self) -> Fault:
        """Move the manifest of the API server out of the kubelet's folder, then send SIGKILL to the server."""
        control = self._machines.nodes()[0].name
        root = Path(f"/proc/{self._machines.get(control).pid}/root")
        if not (root / _MANIFEST).exists():
            raise LabError("the API server has been stopped already")
        servers = self._servers(control)
        if not servers:
            raise LabError("no process of the API server is found on this machine")
        (root / _MANIFEST).rename(root / _ASIDE)
        before = time.monotonic()
        _signal(servers)
        began = time.monotonic()

        def start() -> None:
            (root / _ASIDE).rename(root / _MANIFEST)
            self._await("the API server answers", self._unready)

        return Fault(kind="stop-api", target="kube-apiserver", before=before, began=began, undo_with=start)

    def _servers(self, node: str) -> list[int]:
        """Return the processes of a node's API server: the cgroup of a static pod contains the hash of its manifest."""
        pods = self._cluster.list("/api/v1/namespaces/kube-system/pods", labelSelector="component=kube-apiserver")
        uids = [
            pod["metadata"].get("annotations", {}).get("kubernetes.io/config.hash", pod["metadata"]["uid"])
            for pod in pods
            if pod["spec"].get("nodeName") == node
        ]
        return [pid for uid in uids for pid, name in processes_of(uid).items() if name != "pause"]

    def _unready(self) -> str:
        status, _ = self._cluster.request("GET", "/readyz")
        return "" if status == HTTPStatus.OK else f"it, which says {status}"

    def drop(self, node: str, share: float) -> Fault:
        """Drop a share of the frames to a node at the bridge."""
        rule = f'oifname "{self._machines.port(node)}" {share_of_packets(share)} drop'
        return self._forbid("drop", f"{share:.0%} towards node {node}", [rule] if share else [])

    def api_cut(self, node: str) -> Fault:
        """Drop all frames between a worker and the API server's port at the bridge."""
        if node in {one.name for one in self._machines.nodes() if one.role is Role.CONTROL_PLANE}:
            raise LabError(f"the API server runs on {node}, whose traffic with it crosses no segment")
        port = self._machines.port(node)
        rules = [f'iifname "{port}" tcp dport {_API_PORT} drop', f'oifname "{port}" tcp sport {_API_PORT} drop']
        return self._forbid("api-cut", f"node {node}", rules)

    def one_way_loss(self, source: str, target: str, share: float) -> Fault:
        """Drop a share of the frames from one node to another at the bridge."""
        if source == target:
            raise LabError(f"loss from one node to another takes two nodes, not {source} twice")
        one, other = (self._machines.port(name) for name in (source, target))
        rule = f'iifname "{one}" oifname "{other}" {share_of_packets(share)} drop'
        return self._forbid("one-way-loss", f"{share:.0%} from {source} to {target}", [rule] if share else [])

    def second_nic(self, node: str) -> Attachment:
        """Add a link between a node and the engine's bridge; the engine knows nothing of it."""
        machine = self._machines.get(node)
        before = time.monotonic()
        vantage, port = self._machines.add_nic(machine, self._subnet, self._probes)
        remove = self._engine.inside(
            ["sh", "-c", f"ip link del {port} 2>/dev/null || ! ip link show {port} 2>/dev/null"]
        )
        return Attachment(
            kind="second-nic",
            target=f"{vantage.interface} of node {node}",
            before=before,
            began=time.monotonic(),
            undo_with=lambda: _ignore(output(remove)),
            vantage=vantage,
        )

    def foreign_host(self, address: IPAddress) -> Attachment:
        """Start a container on the segment that has an address and is no node."""
        before = time.monotonic()
        vantage = self._machines.start_foreign(self._image, address, self._probes)
        return Attachment(
            kind="foreign-host",
            target=f"{vantage.name} at {address}",
            before=before,
            began=time.monotonic(),
            undo_with=lambda: _ignore(self._engine.run("rm", "--force", "--volumes", vantage.name)),
            vantage=vantage,
        )

    def _forbid(self, kind: str, target: str, rules: Sequence[str]) -> Fault:
        table = f"{table_prefix(self._lab)}{next(self._numbers)}"
        chain = "type filter hook forward priority 0; policy accept;"
        text = f"table bridge {table} {{\nchain forward {{\n{chain}\n" + "\n".join(rules) + "\n}\n}\n"
        undo = self._engine.inside(["nft", "delete", "table", "bridge", table])
        load = self._engine.inside(["nft", "-f", "-"])
        before = time.monotonic()
        output(load, text=text)
        began = time.monotonic()
        return Fault(kind=kind, target=target, before=before, began=began, undo_with=lambda: _ignore(output(undo)))

    def _await(self, what: str, lacks: Callable[[], str]) -> None:
        try:
            eventually(
                lacks,
                lambda lacking: not lacking,
                what=what,
                within=_BACK,
                every=0.1,
                ignore=(ApiError, ApiUnreachable),
                show=lambda lacking: f"waiting for {lacking}",
            )
        except EventuallyFailed as error:
            raise LabError(str(error)) from error


def share_of_packets(share: float) -> str:
    """Match for nft of a share of all packets. Raises `LabError` for one that is not from 0 to 1."""
    if not 0 <= share <= 1:
        raise LabError(f"a share of {share:g}: it is from 0 to 1")
    part = round(share * _SCALE)
    return f"numgen random mod {_SCALE} < {part}" if part < _SCALE else ""  # nft refuses what is always true


def _ignore(_: str) -> None:
    """Discard the output of a command, because an undo has no result."""


def _signal(pids: Sequence[int], number: signal.Signals = signal.SIGKILL) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _programs(pod: dict[str, Any]) -> list[int]:
    return [pid for pid, name in processes_of(pod["metadata"]["uid"]).items() if name != "pause"]


def _where(pod: dict[str, Any]) -> str:
    return f"{pod['metadata']['name']} on {pod['spec']['nodeName']}"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _own(pod: dict[str, Any]) -> bool:
    """Return whether a pod is bound to its node: one of a DaemonSet, or a static one."""
    owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences", [])}
    return bool(owners & {"DaemonSet", "Node"}) and "deletionTimestamp" not in pod["metadata"]


def _runs_since(pod: dict[str, Any], since: datetime) -> bool:
    started = [
        state.get("state", {}).get("running", {}).get("startedAt")
        for state in pod["status"].get("containerStatuses", [])
    ]
    return is_ready(pod) and bool(started) and all(at and _time(at) >= since for at in started)
