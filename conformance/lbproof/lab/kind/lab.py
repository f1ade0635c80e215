"""The kind lab, as used by the suite."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml

from lbproof.lab import registry
from lbproof.lab.base import Capability, Image, LabError, Node, Ports, Role, Topology, silent
from lbproof.lab.common import api_proxy
from lbproof.lab.common.commands import killed_with_parent, output
from lbproof.lab.common.conditions import is_ready
from lbproof.lab.common.logs import export, tail
from lbproof.lab.common.probes import Probes
from lbproof.lab.common.vantage import NamespaceVantage, Places
from lbproof.lab.components import VERSIONS
from lbproof.lab.kind import boot, leftovers, plan, supervisor
from lbproof.lab.kind.engine import Engine
from lbproof.lab.kind.faults import Faults
from lbproof.lab.kind.images import bring
from lbproof.lab.kind.injection import Injection
from lbproof.lab.kind.machines import Machines, link_of, processes_of
from lbproof.witnesses.kube import ApiError, ApiUnreachable, Kube
from lbproof.witnesses.wait import EventuallyFailed, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pytest_kind import KindCluster

    from lbproof.lab.base import Segment
    from lbproof.lab.registry import LabInfo

_READY_WITHIN = 180
_JOURNAL_LINES = "3000"
_OWN_PIDS = ("unshare", "--pid", "--fork", "--kill-child=KILL", "--")
_CAPABILITIES = frozenset(
    {
        Capability.ROUTED_CLIENT,
        Capability.NODE_VANTAGE,
        Capability.POD_VANTAGE,
        Capability.CAPTURE,
        Capability.NODE_CRASH,
        Capability.LINK_DOWN,
        Capability.BLACKHOLE,
        Capability.PARTITION,
        Capability.FREEZE,
        Capability.FREEZE_POD,
        Capability.KILL,
        Capability.STOP_API,
        Capability.DROP,
        Capability.API_CUT,
        Capability.ONE_WAY_LOSS,
        Capability.SECOND_NIC,
        Capability.FOREIGN_HOST,
    }
)


class KindLab(Injection, Places):
    """Running kind lab."""

    provider = "kind"

    def __init__(self, name: str, topology: Topology, *, engine: Engine, subnet: plan.Subnet, image: str) -> None:
        """Use `up`, `of` or `attach`."""
        self.name, self.topology = name, topology
        self.state = registry.directory(name)
        self.kubeconfig = self.state / "kubeconfig"
        self.segments: tuple[Segment, ...] = (subnet.lan.segment("lan", topology.families),)
        self._engine, self._subnet, self._image = engine, subnet, image
        self.probes = Probes()
        self._machines = Machines(engine, name, topology.families)
        self._lifeline: int | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._cluster: Kube | None = None

    # life
    @classmethod
    def up(
        cls,
        name: str,
        topology: Topology,
        *,
        kind: Path,
        image: str,
        config: Path | None = None,
        api_port: int = 0,
        progress: Callable[[str], None] = silent,
        lifeline: bool = True,
    ) -> Self:
        """Boot a lab until all nodes are Ready. Raises `LabError` when the name is taken, or it does not boot.

        `kind` is the program, `image` the nodes' image in the engine; `config` is a topology file that replaces
        `topology`. `api_port` is the port of this machine's loopback for the API server; 0 takes a free one. With a
        lifeline the lab ends with this process.
        """
        engine = Engine.find()
        v1 = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
        port = 0 if engine.apart else api_port
        written = (
            plan.of_file(config, api_port=port, cgroup_v1=v1)
            if config
            else plan.config(topology, api_port=port, cgroup_v1=v1)
        )
        if config:
            mode = plan.proxy_mode_of(written)
            families = plan.FAMILIES[plan.family_of(written)]
            topology = replace(topology, workers=plan.workers_of(written), proxy_mode=mode, families=families)
        if topology.proxy_mode == "ipvs":
            boot.require_ipvs()
        listener = api_proxy.listening(api_port) if engine.apart else None
        process, own_end = boot.claim(name, topology, engine, listener)
        try:
            subnet = boot.network(engine, name, topology.families)
            lab = cls(name, topology, engine=engine, subnet=subnet, image=image)
            lab._supervisor = process
            lab._record(subnet)
            lab._create(kind, written, progress, listener.getsockname()[1] if listener else 0)
            lab._wait(progress)
            if not topology.exclude_control_plane:
                lab._include_control_plane()
        except BaseException as error:
            boot.undo(engine, name, process, own_end, keep=isinstance(error, LabError))
            raise
        finally:
            if listener:
                listener.close()
        if lifeline:
            lab._lifeline = own_end
        else:
            os.write(own_end, b"+")
            os.close(own_end)
        return lab

    def _record(self, subnet: plan.Subnet) -> None:
        row = {"subnet": str(subnet.lan.ipv4), "image": self._image}
        (self.state / "kind.json").write_text(json.dumps(row), encoding="utf-8")

    def _create(self, kind: Path, config: Mapping[str, Any], progress: Callable[[str], None], port: int) -> None:
        """Create the cluster by pytest-kind, a kubeconfig for this machine, and the containers around the cluster."""
        file = self.state / "cluster.yaml"
        file.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
        self._lead_kind(kind)
        cluster = self._kind()
        with boot.told(self._kind_log, lambda line: progress(f"lab {self.name}: kind: {line}")):
            try:
                cluster.create(str(file))
            except subprocess.CalledProcessError:
                raise LabError(
                    f"lab {self.name} did not boot: kind create cluster failed; the end of {self._kind_log}:\n"
                    f"{tail(self._kind_log, 12)}"
                ) from None
        self.kubeconfig.chmod(0o600)
        if port:
            host, _, there = boot.server(self.kubeconfig).rpartition(":")
            boot.serve_at(self.kubeconfig, f"127.0.0.1:{port}")
            (self.state / "api-target.part").write_text(f"{host} {there}", encoding="utf-8")
            (self.state / "api-target.part").rename(self.state / supervisor.API_TARGET)
        # kind lets the engine restart a node once, which would undo a node crash
        self._engine.run("update", "--restart=no", *(node.name for node in self.nodes))
        progress(f"lab {self.name}: client, router and far client")
        self._machines.start_around(self._image, self._subnet)
        for node in self.nodes:
            self._machines.add_route(node.name, self._subnet)

    @property
    def _kind_log(self) -> Path:
        return self.state / "log" / "kind.log"

    def _lead_kind(self, program: Path) -> None:
        """Write the command by which pytest-kind runs `kind`: with this lab's engine and network, and a log.

        Its processes, including each `docker` that it starts, end with this process, however that ends: otherwise they
        could create containers after a removal.
        """
        wrapper = self.state / "kind"
        network = f"KIND_EXPERIMENTAL_DOCKER_NETWORK={plan.cluster_name(self.name)}"
        words = killed_with_parent([*_OWN_PIDS, *self._engine.inside([network, str(program)])])
        line = " ".join(f"'{word}'" for word in words)
        wrapper.write_text(f"#!/bin/sh\nexec {line} \"$@\" 2>>'{self._kind_log}'\n", encoding="utf-8")
        wrapper.chmod(0o700)

    def _kind(self) -> KindCluster:
        """Return pytest-kind's cluster object; the cluster may not exist yet."""
        try:
            from pytest_kind import KindCluster  # noqa: PLC0415 - an extra: `lbproof[kind]`
        except ImportError:
            raise LabError("pytest-kind is not installed: pip install 'lbproof[kind]'") from None
        with contextlib.chdir(self.state):  # it creates a folder in the current directory
            return KindCluster(
                plan.cluster_name(self.name),
                kubeconfig=self.kubeconfig,
                image=self._image,
                kind_path=self.state / "kind",
            )

    def _wait(self, progress: Callable[[str], None]) -> None:
        """Wait until all nodes and all pods of kube-system are Ready, which kind does not."""
        try:
            eventually(
                self._unready,
                lambda lacking: not lacking,
                what=f"lab {self.name} is Ready",
                within=_READY_WITHIN,
                every=0.2,
                ignore=(ApiError, ApiUnreachable),
                show=lambda lacking: f"waiting for {lacking}",
            )
        except EventuallyFailed as error:
            raise LabError(f"{error.what}: {error.how}; at last: {error.observed[-1][1]}") from error
        progress(f"lab {self.name}: nodes Ready")

    def _include_control_plane(self) -> None:
        """Remove the label that kubeadm sets."""
        labels = {"node.kubernetes.io/exclude-from-external-load-balancers": None}
        for node in self.nodes:
            if node.role is Role.CONTROL_PLANE:
                self.cluster.patch(f"/api/v1/nodes/{node.name}", {"metadata": {"labels": labels}})

    def _unready(self) -> str:
        nodes = self.cluster.list("/api/v1/nodes")
        lacking = [node["metadata"]["name"] for node in nodes if not is_ready(node)]
        if self.topology.proxy_mode != "none":
            pods = self.cluster.list("/api/v1/namespaces/kube-system/pods")
            lacking += [pod["metadata"]["name"] for pod in pods if not is_ready(pod)]
        return ", ".join(lacking) or ("" if len(nodes) >= len(self.nodes) else "all nodes to join")

    @classmethod
    def attach(cls, name: str) -> Self:
        """Return the running lab of a name. Raises `LabError` when there is none."""
        return cls.of(registry.find(name))

    @classmethod
    def of(cls, info: LabInfo) -> Self:
        """Return a running lab by its record. Raises `LabError` when its engine does not answer."""
        row = json.loads((info.directory / "kind.json").read_text(encoding="utf-8"))
        subnet = plan.Subnet.of(row["subnet"])
        engine = Engine.find(str(info.record.get("engine", "")))
        return cls(info.name, info.topology, engine=engine, subnet=subnet, image=row["image"])

    def detach(self) -> None:
        """End what this process has started in the lab, which stays up."""
        self.probes.close()

    def down(self) -> None:
        """Remove everything that the lab created."""
        self.detach()
        if self._cluster:
            self._cluster.close()
        registry.remove(self.name, leftovers.remove_lab)
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        if self._supervisor:
            self._supervisor.wait()

    # what it is
    @property
    def cluster(self) -> Kube:
        """Client of its API server."""
        if self._cluster is None:
            self._cluster = Kube(self.kubeconfig)
        return self._cluster

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Nodes: control plane first, then workers in order."""
        return self._machines.nodes()

    def can(self, capability: Capability) -> bool:
        """Return whether the lab has a capability."""
        return capability in _CAPABILITIES

    def describe(self) -> Mapping[str, str]:
        """Return facts for the report."""
        return {
            "provider": self.provider,
            "kubernetes": str(self.cluster.get("/version")["gitVersion"]),
            "address families": " and ".join(family.label for family in self.topology.families),
            "kube-proxy": self.topology.proxy_mode,
            "kube-proxy arguments": " ".join(self.topology.proxy_args) or "none",
            "node grace": f"{self.topology.node_grace:g} s",
            "nodes": f"1 control plane, {self.topology.workers} workers, as containers by kind v{VERSIONS['kind']}",
            "node image": self._image,
            "docker": self._engine.run("version", "--format", "{{.Server.Version}}"),
            "kernel": os.uname().release,
            "processors": str(os.cpu_count()),
        }

    # vantages
    def client(self) -> NamespaceVantage:
        """Return the outside client on the segment."""
        return self._machines.get(self._machines.around("client")).vantage("client", self.probes)

    def client_on(self, segment: Segment) -> NamespaceVantage:  # noqa: ARG002 - there is one
        """Return the outside client on the only segment."""
        return self.client()

    def node_on(self, segment: Segment, name: str) -> NamespaceVantage:  # noqa: ARG002 - there is one
        """Return a node. Raises `KeyError` for an unknown name."""
        return self.node(name)

    def routed_client(self) -> NamespaceVantage:
        """Return the client behind the router."""
        return self._machines.far(self._subnet, self.probes)

    def router(self) -> NamespaceVantage:
        """Return the router, by its interface on the engine's network."""
        return self._machines.get(self._machines.around("router")).vantage("router", self.probes)

    def node(self, name: str) -> NamespaceVantage:
        """Return a node. Raises `KeyError` for an unknown name."""
        if name not in {node.name for node in self.nodes}:
            raise KeyError(name)
        return self._machines.get(name).vantage(f"node {name}", self.probes)

    def ports(self) -> Ports:
        """Raise `LabError`: the bridge is the engine's."""
        raise LabError(f"lab {self.name} has no ports of its segment to watch")

    def pod(self, namespace: str, name: str) -> NamespaceVantage:
        """Return a running pod. Raises `LabError` when it does not run."""
        seen = self._faults.pod(namespace, name)
        pids = processes_of(seen["metadata"]["uid"])
        if not pids:
            raise LabError(f"no process of pod {namespace}/{name} runs on this machine")
        pid = min(pids)
        return NamespaceVantage(
            name=f"pod {namespace}/{name}",
            addresses=tuple(ip_address(row["ip"]) for row in seen["status"]["podIPs"]),
            mac=link_of(f"/proc/{pid}/ns/net")["address"],
            netns=f"/proc/{pid}/ns/net",
            pidns=f"/proc/{pid}/ns/pid",
            probes=self.probes,
        )

    # faults
    @property
    def _faults(self) -> Faults:
        return Faults(
            engine=self._engine,
            lab=self.name,
            machines=self._machines,
            subnet=self._subnet,
            cluster=self.cluster,
            image=self._image,
            probes=self.probes,
        )

    # images, programs, logs
    def bring_images(
        self,
        references: Iterable[str],
        stands_for: Callable[[], Iterable[Image]],  # noqa: ARG002 - its images are real
        progress: Callable[[str], None] = silent,
    ) -> None:
        """Load the images that manifests name into the nodes, or have a node pull them."""
        bring(
            references,
            engine=self._engine,
            load=self._load,
            worker=self._machines.get(self.nodes[-1].name),
            progress=progress,
        )

    def _load(self, reference: str) -> None:
        """Copy an image of the engine into every node that lacks it. Raises `LabError` when kind fails."""
        try:
            self._kind().load_docker_image(reference)
        except subprocess.CalledProcessError:
            raise LabError(f"kind could not load {reference} into the nodes: {tail(self._kind_log, 3)}") from None

    def run(self, node: str, argv: Sequence[str]) -> str:
        """Run a program of a node on it and return its output. Raises `LabError` when it fails."""
        inside = f"nsenter --target={self._machines.get(node).pid} --mount --uts --ipc --net --pid --".split()
        return output([*inside, *argv], shown=f"{' '.join(argv)}` on `{node}")

    def export_logs(self, directory: Path) -> None:
        """Copy the end of each log: of kind, and the journal and the container logs of each node."""
        directory.mkdir(parents=True, exist_ok=True)
        for log in sorted((self.state / "log").iterdir()):
            export(log, directory / log.name)
        for node in self.nodes:
            with contextlib.suppress(LabError):  # a crashed node cannot be entered
                root = Path(f"/proc/{self._machines.get(node.name).pid}/root")
                units = ("--unit=kubelet", "--unit=containerd", f"--lines={_JOURNAL_LINES}")
                journal = self.run(node.name, ["journalctl", "--no-pager", *units])
                (directory / f"{node.name}.journal.log").write_text(journal, encoding="utf-8")
                for log in sorted((root / "var/log/pods").glob("*/*/*.log")):
                    pod, container, number = log.parts[-3:]
                    export(log, directory / f"{node.name}.{pod}.{container}.{number}")
