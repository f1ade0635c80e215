"""Cluster inside the supervisor: nodes with their components and kubelets, and the boot until all are Ready."""

from __future__ import annotations

import json
import signal
import threading
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from lbproof.lab.base import Image, LabError, Topology
from lbproof.lab.common import environment
from lbproof.lab.common.conditions import is_node_usable
from lbproof.lab.common.logs import tail
from lbproof.lab.common.netns import entered
from lbproof.lab.netns import control, network, pki, plan, processes
from lbproof.lab.netns.api import UNREACHABLE, Api, ApiError
from lbproof.lab.netns.container import Runtime
from lbproof.lab.netns.images import defaults
from lbproof.lab.netns.kubelet import Kubelet
from lbproof.lab.netns.pod_host import Inside
from lbproof.lab.netns.probe import ContainerProbe
from lbproof.spec.families import host_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from lbproof.lab.netns.plan import Place

POLL = 0.03
"""Seconds between polls during boot."""
_CONFLICT = 409
_PROXY_BINDING = {
    "metadata": {"name": "lbproof:kube-proxy"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier"},
    "subjects": [{"kind": "User", "name": "system:kube-proxy", "apiGroup": "rbac.authorization.k8s.io"}],
}
_PROXY_HEALTH = ContainerProbe({"httpGet": {"path": "/healthz", "port": 10256}, "timeoutSeconds": 1}, {}, quick=True)


@dataclass(slots=True, kw_only=True)
class Machine:
    """Running node."""

    place: Place
    components: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    kubelet: Kubelet
    nics: list[str] = field(default_factory=list)
    """Ports at the bridge of interfaces that were added while it ran."""

    @property
    def ports(self) -> tuple[str, ...]:
        """Ports of all its interfaces at the bridges."""
        return (*self.place.ports, *self.nics)


class Cluster:
    """Part of a lab that runs inside the supervisor."""

    def __init__(
        self, state: Path, topology: Topology, programs: Mapping[str, Path], more_images: list[Image], port: int
    ) -> None:
        """Start nothing. `port` is the port of this machine that leads to the API server."""
        self._port = port
        self.state, self.topology, self.programs = state, topology, programs
        self.places = {place.node.name: place for place in plan.places(topology)}
        self.control = next(iter(self.places))
        self.machines: dict[str, Machine] = {}
        """Running nodes by name."""
        self._dark: dict[str, Machine] = {}
        self.version = ""
        self.log, self.work, self.pki = state / "log", state / "work", state / "pki"
        self._images = [*defaults(programs), *more_images]
        self._never = threading.Event()

    # boot
    def boot(self, stage: Callable[[str], None]) -> None:
        """Boot until all nodes are Ready; call `stage` after each stage. Raises `LabError`."""
        first, *rest = self.places.values()
        tokens = self._prepare()
        network.segment(self.topology)
        self._wire(first)
        stage("segment and certificates")
        machine = self._machine(first)
        self._start(machine, "etcd")
        self._start(machine, "kube-apiserver")
        for place in rest:
            self._wire(place)
        stage("nodes wired")
        self.api = Api(str(plan.API_SIDE), tokens["admin"], self.pki / "ca.crt")
        self._await("the API server", lambda: self._answers("/livez/ping"), 60)
        stage("API server answers")
        self._start_followers(machine)
        self.version = self._inside.version = self.api("GET", "/version")["gitVersion"]
        self._bind_proxy()
        for place in rest:
            self._machine(place)
        for one in self.machines.values():
            one.kubelet.start()
            self._start(one, "kube-proxy")
        stage("API server ready")
        self._await("all nodes Ready", self._all_ready, 60)
        stage("nodes Ready")
        self._await("every kube-proxy healthy", self._proxies_healthy, 60)
        self._await("the default ServiceAccount", self._default_account, 60)
        stage("kube-proxy healthy")

    def _start_followers(self, machine: Machine) -> None:
        """Wait until the API server is ready, and start what follows it.

        kube-controller-manager ends when that takes more than 10 s from its start, as on a busy machine.
        """
        self._await("the API server", lambda: self._answers("/readyz"), 60)
        for component in control.FOLLOWERS:
            self._start(machine, component)

    def _prepare(self) -> dict[str, str]:
        for directory in (self.work / "pods", self.work / "etcd"):
            directory.mkdir(mode=0o700)
        tokens = pki.make(self.pki, self.topology.families)
        ca = self.pki / "ca.crt"
        (self.pki / "audit.json").write_text(json.dumps(control.AUDIT_POLICY), encoding="utf-8")
        loopback = IPv4Address("127.0.0.1")
        for identity, server in (
            ("kube-controller-manager", loopback),
            ("kube-scheduler", loopback),
            ("kube-proxy", self.places[self.control].node.address),
        ):
            path = self.pki / f"{identity}.kubeconfig"
            pki.kubeconfig(path, server=f"https://{host_port(server, 6443)}", token=tokens[identity], ca=ca)
        pki.kubeconfig(
            self.state / "kubeconfig", server=f"https://127.0.0.1:{self._port}", token=tokens["admin"], ca=ca
        )
        self._inside = Inside(
            work=self.work,
            log=self.log,
            ca=ca,
            token=tokens["kubelet"],
            api_address=self.places[self.control].node.address,
            # a kubelet renews its lease every 10 s, here at least four times within the grace period
            lease_every=min(10.0, self.topology.node_grace / 4),
            exclude_control_plane=self.topology.exclude_control_plane,
            runtime=Runtime.prepare(self.work),
            images=self._images,
        )
        return tokens

    def _wire(self, place: Place) -> None:
        network.node(place, self.places.values())

    def _machine(self, place: Place) -> Machine:
        machine = Machine(place=place, kubelet=Kubelet(place, self._inside))
        self.machines[place.node.name] = machine
        return machine

    def _start(self, machine: Machine, component: str) -> None:
        """Start a component on a node; its log is `COMPONENT-NODE.log`."""
        place = machine.place
        kubeconfig = self.pki / f"{component}.kubeconfig"
        if component == "kube-proxy" and self.topology.proxy_mode == "none":
            return
        argv = {
            "etcd": lambda: control.etcd(self.work / "etcd"),
            "kube-apiserver": lambda: control.apiserver(
                self.topology, self.pki, self.log / plan.AUDIT_LOG if self.topology.audit else None
            ),
            "kube-controller-manager": lambda: control.controller_manager(self.topology, kubeconfig, self.pki),
            "kube-scheduler": lambda: control.scheduler(kubeconfig),
            "kube-proxy": lambda: control.proxy(self.topology, kubeconfig, place),
        }[component]()
        machine.components[component] = processes.start(
            argv,
            program=self.programs[component],
            netns=place.node.name,
            log=self._log_of(component, place.node.name),
            env=environment.closed() | {"NODE_NAME": place.node.name},
        )

    def _log_of(self, component: str, node: str) -> Path:
        return self.log / f"{component}-{node}.log"

    # waiting
    def _await(self, what: str, holds: Callable[[], bool], within: float) -> None:
        """Poll until `holds` returns True. Raises `LabError` when a component ends or the time is over."""
        until = time.monotonic() + within
        while not holds():
            self._all_alive(what)
            if time.monotonic() > until:
                log = self._log_of("kube-apiserver", self.control)
                raise LabError(f"{what}: not within {within:g} s; the end of {log}:\n{tail(log)}")
            self._never.wait(POLL)

    def _all_alive(self, what: str) -> None:
        for node, machine in self.machines.items():
            for component, process in machine.components.items():
                if process.poll() is not None:
                    log = self._log_of(component, node)
                    raise LabError(
                        f"waiting for {what}: {component} on {node} ended with {process.returncode}; "
                        f"the end of {log}:\n{tail(log)}"
                    )

    def _answers(self, path: str) -> bool:
        try:
            self.api("GET", path)
        except (ApiError, *UNREACHABLE):
            return False
        return True

    def _all_ready(self) -> bool:
        nodes = self.api("GET", "/api/v1/nodes")["items"]
        return len(nodes) == len(self.places) and all(is_node_usable(node) for node in nodes)

    def _proxies_healthy(self) -> bool:
        return all(self._proxy_healthy(machine) for machine in self.machines.values())

    def _proxy_healthy(self, machine: Machine) -> bool:
        if "kube-proxy" not in machine.components:
            return True
        with entered(processes.namespace(machine.place.node.name)):
            return _PROXY_HEALTH.ask("127.0.0.1")

    def _default_account(self) -> bool:
        return self._answers("/api/v1/namespaces/default/serviceaccounts/default")

    def _bind_proxy(self) -> None:
        try:
            self.api("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", _PROXY_BINDING)
        except ApiError as error:
            if error.status != _CONFLICT:
                raise

    # crash and reboot
    def off(self, name: str) -> tuple[float, float]:
        """Crash a node: take its link down, then kill all its processes.

        Return `time.monotonic()` before and after the link went down.
        """
        machine = self._dark[name] = self.machines.pop(name)
        before = time.monotonic()
        for port in machine.ports:
            network.link_up(port, up=False)
        began = time.monotonic()
        processes.send(machine.components.values(), signal.SIGKILL)
        machine.kubelet.stop()
        for process in machine.components.values():
            process.wait()
        return before, began

    def on(self, name: str) -> None:
        """Boot a crashed node, without its previous kernel state, and wait until it is Ready."""
        place, before = self.places[name], self._dark.pop(name)
        network.forget_node(
            place, before.ports, [pod.netns for pod in before.kubelet.pods.values() if not pod.host_network]
        )
        self._wire(place)
        machine = self._machine(place)
        if name == self.control:
            self._start(machine, "etcd")
            self._start(machine, "kube-apiserver")
            self._start_followers(machine)
        machine.kubelet.start()
        self._start(machine, "kube-proxy")
        self._await(f"node {name} Ready", lambda: self._is_ready(name), 60)
        self._await(f"kube-proxy on {name} healthy", lambda: self._proxy_healthy(machine), 60)

    def _is_ready(self, name: str) -> bool:
        try:
            return is_node_usable(self.api("GET", f"/api/v1/nodes/{name}"))
        except UNREACHABLE:
            return False

    def stop_api(self) -> tuple[float, float]:
        """Kill the API server; return `time.monotonic()` before and after."""
        process = self.machines[self.control].components.pop("kube-apiserver")
        before = time.monotonic()
        processes.end([process])
        return before, time.monotonic()

    def start_api(self) -> None:
        """Start the API server, wait until it is ready, and start anew what has a lease in other clusters.

        Controller manager and scheduler end there ten seconds after the API server, when their leases do, and their
        kubelet starts them; without leases, as here, they would wait up to 30 s for their next attempt to reach it.
        """
        machine = self.machines[self.control]
        self._start(machine, "kube-apiserver")
        processes.end([machine.components.pop(component) for component in control.FOLLOWERS])
        self._start_followers(machine)

    def pod(self, namespace: str, name: str) -> Any:  # noqa: ANN401 - Pod, without its import
        """Return a running pod. Raises `LabError` when there is none."""
        for machine in self.machines.values():
            for pod in list(machine.kubelet.pods.values()):
                if (pod.namespace, pod.name) == (namespace, name) and pod.running:
                    return pod
        raise LabError(f"no pod {namespace}/{name} runs in this lab")

    def map_images(self, images: list[dict[str, Any]]) -> list[str]:
        """Add images, which win over all earlier ones; return the patterns of all."""
        self._images.extend(image_of(row) for row in images)
        return sorted({image.pattern for image in self._images})


def image_of(row: dict[str, Any]) -> Image:
    """Create an `Image` from its JSON."""
    known: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return Image(**known)
