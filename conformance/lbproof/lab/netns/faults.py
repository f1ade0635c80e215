"""Faults of a lab, injected by its supervisor: each takes effect before the call returns, and has an undo."""

from __future__ import annotations

import functools
import itertools
import signal
import threading
import time
from contextlib import ExitStack
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from lbproof.lab.base import Capability, LabError
from lbproof.lab.common.bridge import await_forwarding
from lbproof.lab.common.commands import output
from lbproof.lab.netns import network, plan, processes
from lbproof.lab.netns.control import API_PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lbproof.lab.common.networks import Network
    from lbproof.lab.netns.cluster import Cluster, Machine
    from lbproof.spec.families import IPAddress

_SCALE = 10_000
"""Steps of the random number that decides which packet is dropped."""


class Faults:
    """The faults of one lab, by number."""

    def __init__(self, cluster: Cluster) -> None:
        """Nothing is wrong yet."""
        self._cluster = cluster
        self._numbers = itertools.count(1)
        self._undo: dict[int, Callable[[], None]] = {}
        self._lock = threading.Lock()
        self._spares = list(plan.SPARE)
        self._has_second_subnet = False

    def commands(self) -> dict[str, Callable[..., Any]]:
        """Return the commands of the supervisor: each fault by its kind (`FAULTS`), and `undo`."""
        faults = {kind.value: functools.partial(act, self) for kind, act in FAULTS.items()}
        return {**faults, "undo": self.undo}

    def undo(self, number: int) -> None:
        """Put a fault right; one that has been is left alone."""
        with self._lock:
            act = self._undo.pop(number, None)
        if act:
            act()

    def node_crash(self, node: str) -> dict[str, Any]:
        """Link down, then SIGKILL to all of the node."""
        self._machine(node)
        return self._done(f"node {node}", self._cluster.off(node), lambda: self._cluster.on(node))

    def link_down(self, node: str) -> dict[str, Any]:
        """The bridge's end of the cable goes down, so the node's end loses its carrier."""
        machine = self._machine(node)
        moments = _timed(lambda: network.link_up(machine.place.port, up=False))

        def plug_in() -> None:
            network.link_up(machine.place.port, up=True)
            machine.kubelet.beat()

        return self._done(f"node {node}", moments, plug_in)

    def blackhole(self, node: str) -> dict[str, Any]:
        """The segment forwards nothing from and to the node's port, which stays up."""
        machine = self._machine(node)
        table, moments = self._forbid([f'{way} "{machine.place.port}" drop' for way in ("iifname", "oifname")])

        def mend() -> None:
            network.allow(table)
            machine.kubelet.beat()

        return self._done(f"node {node}", moments, mend)

    def partition(self, one: str, other: str) -> dict[str, Any]:
        """The segment forwards nothing between two nodes."""
        ports = [self._machine(name).place.port for name in (one, other)]
        if one == other:
            raise LabError(f"a partition takes two nodes, not {one} twice")
        rules = [f'iifname "{a}" oifname "{b}" drop' for a, b in (ports, ports[::-1])]
        table, moments = self._forbid(rules)
        return self._done(f"{one} | {other}", moments, lambda: network.allow(table))

    def freeze(self, node: str) -> dict[str, Any]:
        """SIGSTOP to all of the node; its kernel goes on."""
        machine = self._machine(node)
        machine.kubelet.frozen = True  # before its pods stand still, so that none is started after
        with ExitStack() as held:
            for pod in list(machine.kubelet.pods.values()):
                held.enter_context(pod.starting)
            moments = _timed(lambda: self._signal(machine, signal.SIGSTOP))

        def thaw() -> None:
            self._signal(machine, signal.SIGCONT)
            machine.kubelet.frozen = False
            machine.kubelet.beat()

        return self._done(f"node {node}", moments, thaw)

    def freeze_pod(self, namespace: str, pod: str) -> dict[str, Any]:
        """SIGSTOP to a pod's processes."""
        target = self._cluster.pod(namespace, pod)
        with target.starting:
            moments = _timed(lambda: target.signal(signal.SIGSTOP))
        where = f"{pod} on {target.host.place.node.name}"
        return self._done(where, moments, lambda: target.signal(signal.SIGCONT))

    def kill(self, namespace: str, pod: str) -> dict[str, Any]:
        """SIGKILL to a pod's processes."""
        target = self._cluster.pod(namespace, pod)
        with target.starting:
            moments = _timed(lambda: target.signal(signal.SIGKILL))
        where = f"{pod} on {target.host.place.node.name}"
        return self._done(where, moments, lambda: None)

    def stop_api(self) -> dict[str, Any]:
        """SIGKILL to the API server."""
        if "kube-apiserver" not in self._machine(self._cluster.control).components:
            raise LabError("the API server has been stopped already")
        return self._done("kube-apiserver", self._cluster.stop_api(), self._cluster.start_api)

    def drop(self, node: str, share: float) -> dict[str, Any]:
        """A share of the frames that the segment forwards to the node is lost."""
        rule = f'oifname "{self._machine(node).place.port}" {_share(share)} drop'
        table, moments = self._forbid([rule] if share else [])
        return self._done(f"{share:.0%} towards node {node}", moments, lambda: network.allow(table))

    def api_cut(self, node: str) -> dict[str, Any]:
        """The segment forwards nothing between a worker and the API server's port; its kubelet is cut off too."""
        machine = self._machine(node)
        if node == self._cluster.control:
            raise LabError(f"the API server runs on {node}, whose traffic with it crosses no segment")
        port = machine.place.port
        rules = [f'iifname "{port}" tcp dport {API_PORT} drop', f'oifname "{port}" tcp sport {API_PORT} drop']
        table, moments = self._forbid(rules)

        def mend() -> None:
            network.allow(table)
            machine.kubelet.beat()

        return self._done(f"node {node}", moments, mend)

    def one_way_loss(self, source: str, target: str, share: float) -> dict[str, Any]:
        """A share of the frames that the segment forwards from one node to another is lost."""
        if source == target:
            raise LabError(f"loss from one node to another takes two nodes, not {source} twice")
        one, other = (self._machine(name).place.port for name in (source, target))
        table, moments = self._forbid([f'iifname "{one}" oifname "{other}" {_share(share)} drop'] if share else [])
        return self._done(f"{share:.0%} from {source} to {target}", moments, lambda: network.allow(table))

    def silent_kubelet(self, node: str) -> dict[str, Any]:
        """The node's kubelet renews no lease and posts no status of the node; it sees to its pods as before."""
        kubelet = self._machine(node).kubelet
        moments = _timed(kubelet.fall_silent)
        return self._done(f"kubelet of {node}", moments, kubelet.report_again)

    def second_nic(self, node: str) -> dict[str, Any]:
        """The node has one interface more on the segment; the kernel answers for all its addresses on each."""
        machine = self._machine(node)
        number = self._spare()
        interface = f"eth{len(machine.ports)}"
        port = plan.added_port(node, number)
        machine.nics.append(port)
        moments = _timed(lambda: network.second_nic(machine.place, interface, port, number))

        def unplug() -> None:
            if port in machine.nics and self._cluster.machines.get(node) is machine:
                machine.nics.remove(port)
                network.ip([f"link del {port}"])
            self._spares.append(number)

        families = machine.place.node.families
        attached = self._attached(node, interface, number, plan.LAN.hosts(number, families))
        return self._done(f"{interface} of node {node}", moments, unplug) | attached

    def new_segment(self, link_local: Sequence[str] = (), other_subnet: Sequence[str] = ()) -> dict[str, Any]:
        """Each node that runs has one interface more, on a segment where nobody else is but a client."""
        topology = self._cluster.topology
        for name in (*link_local, *other_subnet):
            self._machine(name)
        machines = dict(self._cluster.machines)
        if topology.second_segment or any(one.place.second_port in one.nics for one in machines.values()):
            raise LabError("this lab has a second segment already")
        interfaces = {name: f"eth{len(machine.ports)}" for name, machine in machines.items()}

        def join() -> None:
            network.second_segment(topology.families)
            for name, machine in machines.items():
                machine.nics.append(machine.place.second_port)
                subnet = None if name in link_local else plan.ADDED if name in other_subnet else plan.SECOND
                network.second_link(machine.place, interfaces[name], subnet)
            for machine in machines.values():
                await_forwarding(machine.place.second_port, output)

        def leave() -> None:
            for name, machine in machines.items():
                port = machine.place.second_port
                if port in machine.nics and self._cluster.machines.get(name) is machine:
                    machine.nics.remove(port)
                    network.ip([f"link del {port}"])
            network.forget_second_segment()

        macs = {plan.mac_of(plan.SECOND.ipv4_host(one.place.host)): name for name, one in machines.items()}
        moments = _timed(join)
        addresses = plan.SECOND.hosts(plan.CLIENT, topology.families)
        attached = self._attached("client2", "eth0", plan.CLIENT, addresses, plan.SECOND)
        return self._done("segment lan2", moments, leave) | attached | {"interfaces": interfaces, "macs": macs}

    def second_subnet(self, nodes: Sequence[str]) -> dict[str, Any]:
        """Some nodes have addresses of a second subnet on the first segment, and so has a client alone."""
        families = self._cluster.topology.families
        machines = {name: self._machine(name) for name in nodes}
        if self._has_second_subnet:
            raise LabError("this lab has a second subnet already")
        moments = _timed(lambda: network.second_subnet([one.place for one in machines.values()], families))
        self._has_second_subnet = True

        def leave() -> None:
            for name, machine in machines.items():
                if self._cluster.machines.get(name) is machine:
                    network.leave_second_subnet(machine.place)
            network.forget_host(plan.CLIENT_BESIDE)
            self._has_second_subnet = False

        macs = {place.node.mac: name for name, place in self._cluster.places.items()}
        addresses = plan.ADDED.hosts(plan.CLIENT, families)
        attached = self._attached(plan.CLIENT_BESIDE, "eth0", plan.CLIENT, addresses, plan.ADDED)
        return self._done(f"subnet of {', '.join(machines)}", moments, leave) | attached | {"macs": macs}

    def foreign_host(self, address: str) -> dict[str, Any]:
        """A host that is no part of the cluster has an address on the segment."""
        number = self._spare()
        name = f"foreign{number}"
        held = ip_address(address)
        moments = _timed(lambda: network.foreign_host(name, number, held))

        def leave() -> None:
            network.forget_host(name)
            self._spares.append(number)

        return self._done(f"{name} at {address}", moments, leave) | self._attached(name, "eth0", number, [held])

    @staticmethod
    def _attached(
        netns: str, interface: str, number: int, addresses: Sequence[IPAddress], lan: Network = plan.LAN
    ) -> dict[str, Any]:
        return {
            "netns": netns,
            "interface": interface,
            "mac": plan.mac_of(lan.ipv4_host(number)),
            "addresses": [str(address) for address in addresses],
        }

    def _spare(self) -> int:
        """Take a number of the segment for a new interface. `LabError` when none is left."""
        used = {place.host for place in self._cluster.places.values()}
        with self._lock:
            for number in self._spares:
                if number not in used:
                    self._spares.remove(number)
                    return number
        raise LabError(f"no number is left for another interface on the segment: {len(used)} nodes")

    def _forbid(self, rules: list[str]) -> tuple[str, tuple[float, float]]:
        table = f"fault-{next(self._numbers)}"
        return table, _timed(lambda: network.forbid(table, rules))

    def _machine(self, node: str) -> Machine:
        if node not in self._cluster.places:
            raise LabError(f"no node {node} in this lab; it has {', '.join(self._cluster.places)}")
        machine = self._cluster.machines.get(node)
        if machine is None:
            raise LabError(f"node {node} has crashed")
        return machine

    @staticmethod
    def _signal(machine: Machine, number: signal.Signals) -> None:
        processes.send(machine.components.values(), number)
        for pod in list(machine.kubelet.pods.values()):
            pod.signal(number)

    def _done(self, target: str, moments: tuple[float, float], undo: Callable[[], None]) -> dict[str, Any]:
        with self._lock:
            number = next(self._numbers)
            self._undo[number] = undo
        before, began = moments
        return {"number": number, "target": target, "before": before, "began": began}


FAULTS: Mapping[Capability, Callable[..., dict[str, Any]]] = {
    Capability.NODE_CRASH: Faults.node_crash,
    Capability.LINK_DOWN: Faults.link_down,
    Capability.BLACKHOLE: Faults.blackhole,
    Capability.PARTITION: Faults.partition,
    Capability.FREEZE: Faults.freeze,
    Capability.FREEZE_POD: Faults.freeze_pod,
    Capability.KILL: Faults.kill,
    Capability.STOP_API: Faults.stop_api,
    Capability.DROP: Faults.drop,
    Capability.API_CUT: Faults.api_cut,
    Capability.ONE_WAY_LOSS: Faults.one_way_loss,
    Capability.SILENT_KUBELET: Faults.silent_kubelet,
    Capability.SECOND_NIC: Faults.second_nic,
    Capability.NEW_SEGMENT: Faults.new_segment,
    Capability.SECOND_SUBNET: Faults.second_subnet,
    Capability.FOREIGN_HOST: Faults.foreign_host,
}
"""Capability → function that injects the fault. Its value is the kind of the fault and the supervisor's command."""


def _share(share: float) -> str:
    """Match for nft of a share of all packets. Raises `LabError` for one that is not from 0 to 1."""
    if not 0 <= share <= 1:
        raise LabError(f"a share of {share:g}: it is from 0 to 1")
    part = round(share * _SCALE)
    return f"numgen random mod {_SCALE} < {part}" if part < _SCALE else ""  # nft refuses what is always true


def _timed(act: Callable[[], None]) -> tuple[float, float]:
    """Do it; `time.monotonic()` just before and just after."""
    before = time.monotonic()
    act()
    return before, time.monotonic()
