"""The netns lab as the suite holds it: starts a supervisor, or finds one, and asks it over its socket."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from lbproof.lab import registry
from lbproof.lab.base import Capability, Fault, LabError, Node, Topology, environment
from lbproof.lab.common import api_proxy
from lbproof.lab.common.commands import output, tail
from lbproof.lab.common.vantage import NamespaceVantage, Places
from lbproof.lab.netns import plan, processes, rpc

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from lbproof.lab.base import Image

_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc")
_LOG_BYTES = 256 * 1024
"""How much of each log's end is exported."""


def _silent(_: str) -> None:
    """Nobody wants to hear of the progress."""


class NetnsLab(Places):
    """A running netns lab."""

    provider = "netns"

    def __init__(self, name: str, topology: Topology) -> None:
        """Use `up` or `attach`."""
        self.name, self.topology = name, topology
        self.state = registry.directory(name)
        self.kubeconfig = self.state / "kubeconfig"
        self._nodes: tuple[Node, ...] = tuple(place.node for place in plan.places(topology))
        self.segment = plan.SEGMENT
        self._lifeline: int | None = None
        self._starting: subprocess.Popen[bytes] | None = None

    # life
    @classmethod
    def up(
        cls,
        name: str,
        topology: Topology,
        *,
        programs: Mapping[str, Path],
        images: Iterable[Image] = (),
        progress: Callable[[str], None] = _silent,
        lifeline: bool = True,
    ) -> Self:
        """Boot a lab until all nodes are Ready. `LabError` when the name or the port is taken, or it does not boot.

        `programs` are paths by component name (etcd, kube-apiserver, kube-controller-manager, kube-scheduler,
        kube-proxy, agnhost, nginx, …). With a lifeline the lab goes when this process does, by whatever cause;
        without, it stays until it is taken down. Progress is a line a stage.
        """
        lab = cls(name, topology)
        with api_proxy.listening(topology.api_port) as listener:
            request = {
                "topology": asdict(topology),
                "programs": {component: str(path) for component, path in programs.items()},
                "images": [asdict(image) for image in images],
                "port": listener.getsockname()[1],
            }
            reports, own_end = lab._spawn(request, listener)
        try:
            with os.fdopen(reports, encoding="utf-8") as lines:
                lab._boot(lines, progress)
        except BaseException as error:
            os.close(own_end)  # the supervisor sees the end of its lifeline, should it still be there
            lab._reap()
            if not isinstance(error, LabError):  # then its logs, which the message points at, stay
                shutil.rmtree(lab.state, ignore_errors=True)
            raise
        if lifeline:
            lab._lifeline = own_end
        else:
            os.write(own_end, b"+")
            os.close(own_end)
        return lab

    def _spawn(self, request: Mapping[str, Any], listener: socket.socket) -> tuple[int, int]:
        """Start the supervisor; gives where its reports arrive and our end of its lifeline."""
        with registry.claim(self.name) as state:
            reports, to_us = os.pipe()
            lifeline, own_end = os.pipe()
            given = [listener.fileno(), to_us, lifeline]
            (state / "log").mkdir()
            (state / "work").mkdir()
            (state / "request.json").write_text(json.dumps(request), encoding="utf-8")
            with (state / "log" / "supervisor.log").open("wb") as log:
                self._starting = subprocess.Popen(
                    [
                        *_UNSHARE,
                        *("--propagation", "private", sys.executable, "-P", "-m", "lbproof.lab.netns.supervisor"),
                        *(str(state), *(str(descriptor) for descriptor in given)),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=given,
                    env=environment(),
                    start_new_session=True,
                )
            registry.record(self.name, self._starting.pid, self.topology)
        os.close(to_us)
        os.close(lifeline)
        return reports, own_end

    def _boot(self, lines: IO[str], progress: Callable[[str], None]) -> None:
        for line in lines:
            report = json.loads(line)
            if "error" in report:
                raise LabError(f"lab {self.name} did not boot: {report['error']}")
            if "ready" in report:
                return
            progress(f"lab {self.name}: {report['stage']} ({report['seconds']:.1f} s)")
        log = self.state / "log" / "supervisor.log"
        raise LabError(f"lab {self.name}: its supervisor ended while booting; the end of {log}:\n{tail(log)}")

    @classmethod
    def attach(cls, name: str) -> Self:
        """A lab that runs already. `LabError` when there is none of that name."""
        info = registry.find(name)
        return cls(name, info.topology)

    def down(self) -> None:
        """Remove everything that the lab made."""
        registry.remove(self.name)
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        self._reap()

    def _reap(self) -> None:
        """The supervisor's `unshare` was our child, if we started it."""
        if self._starting:
            self._starting.wait()

    # what it is
    @property
    def nodes(self) -> tuple[Node, ...]:
        """Control plane first, then workers in order."""
        return self._nodes

    def can(self, capability: Capability) -> bool:
        """It can do everything."""
        return capability in Capability

    def describe(self) -> Mapping[str, str]:
        """The environment, for a report."""
        return {
            "provider": self.provider,
            "kubernetes": str(rpc.call(self._socket, "status")["version"]),
            "kube-proxy": self.topology.proxy_mode,
            "kube-proxy arguments": " ".join(self.topology.proxy_args) or "none",
            "node grace": f"{self.topology.node_grace:g} s",
            "nodes": f"1 control plane, {self.topology.workers} workers, as network namespaces",
            "kubelet": "lbproof's stand-in",
            "kernel": os.uname().release,
            "processors": str(os.cpu_count()),
        }

    # vantages
    def client(self) -> NamespaceVantage:
        """The outside client on the segment."""
        return self._vantage("client", "client", plan.CLIENT)

    def routed_client(self) -> NamespaceVantage:
        """The client behind the router."""
        return self._vantage("far", "far", plan.FAR)

    def node(self, name: str) -> NamespaceVantage:
        """A node. `KeyError` for an unknown name."""
        node = {node.name: node for node in self.nodes}[name]
        return self._vantage(f"node {name}", name, node.address)

    def pod(self, namespace: str, name: str) -> NamespaceVantage:
        """A running pod. `LabError` when it does not run."""
        found = rpc.call(self._socket, "pod", namespace=namespace, name=name)
        return self._vantage(f"pod {name}", found["netns"], found["address"], found["mac"])

    def pod_processes(self, namespace: str, name: str) -> list[Path]:
        """For each container of a running pod, its first process's folder in the lab's /proc.

        `LabError` when no such pod runs.
        """
        found = rpc.call(self._socket, "pod", namespace=namespace, name=name)
        root = registry.find(self.name).process
        return [Path(f"{root}/root/proc/{pid}") for pid in found["pids"]]

    @property
    def audit_log(self) -> Path:
        """Where the API server's audit log is, when the topology has one."""
        return self.state / "log" / plan.AUDIT_LOG

    def _vantage(self, name: str, netns: str, address: str, mac: str | None = None) -> NamespaceVantage:
        root = registry.find(self.name).process
        return NamespaceVantage(
            name=name,
            address=address,
            mac=mac or plan.mac_of(address),
            netns=f"{root}/root{processes.namespace(netns)}",
            pidns=f"{root}/ns/pid",
        )

    # faults
    def node_crash(self, node: str) -> Fault:
        """Every process of the node dies and its link goes down, at once."""
        return self._fault("power-cut", "node_crash", node=node)

    def link_down(self, node: str) -> Fault:
        """The node's link to the segment goes down."""
        return self._fault("cable", "link_down", node=node)

    def blackhole(self, node: str) -> Fault:
        """The segment carries nothing to and from the node."""
        return self._fault("silent-cut", "blackhole", node=node)

    def partition(self, one: str, other: str) -> Fault:
        """Two nodes stop hearing each other."""
        return self._fault("partition", "partition", one=one, other=other)

    def freeze(self, node: str) -> Fault:
        """Every process of the node stops."""
        return self._fault("freeze", "freeze", node=node)

    def freeze_pod(self, namespace: str, pod: str) -> Fault:
        """Every process of one pod stops."""
        return self._fault("freeze-pod", "freeze_pod", namespace=namespace, pod=pod)

    def kill(self, namespace: str, pod: str) -> Fault:
        """SIGKILL to a pod's processes."""
        return self._fault("kill", "kill", namespace=namespace, pod=pod)

    def stop_api(self) -> Fault:
        """The API server stops."""
        return self._fault("stop-api", "stop_api")

    def drop(self, node: str, share: float) -> Fault:
        """A share of the packets that reach the node from the segment is dropped."""
        return self._fault("drop", "drop", node=node, share=share)

    def _fault(self, kind: str, command: str, **arguments: Any) -> Fault:  # noqa: ANN401 - it is JSON
        done = rpc.call(self._socket, command, **arguments)
        return Fault(
            kind=kind,
            target=done["target"],
            began=done["began"],
            before=done.get("before"),
            undo_with=lambda: rpc.call(self._socket, "undo", number=done["number"]),
        )

    # the rest
    def bring_images(
        self,
        references: Iterable[str],  # noqa: ARG002 - a program stands for each
        stands_for: Callable[[], Iterable[Image]],
        progress: Callable[[str], None] = _silent,  # noqa: ARG002 - it takes no time
    ) -> None:
        """What images stand for from now on; the last that matches counts."""
        rpc.call(self._socket, "map_images", images=[asdict(image) for image in stands_for()])

    def run(self, node: str, argv: Sequence[str]) -> str:
        """The output of a program run on a node. `LabError` when it fails."""
        return output(self.exec_argv(node, argv), shown=f"{' '.join(argv)}` on `{node}")

    def export_logs(self, directory: Path) -> None:
        """Copy the end of every log of the lab, components and containers, below a directory."""
        directory.mkdir(parents=True, exist_ok=True)
        for log in sorted((self.state / "log").iterdir()):
            with log.open("rb") as source, (directory / log.name).open("wb") as copy:
                source.seek(max(0, log.stat().st_size - _LOG_BYTES))
                shutil.copyfileobj(source, copy)

    @property
    def _socket(self) -> Path:
        return self.state / "ctl.sock"
