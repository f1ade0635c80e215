"""Faults of a kind lab as methods of the lab: each call is passed to `Faults`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lbproof.lab.base import LabError

if TYPE_CHECKING:
    from collections.abc import Collection

    from lbproof.lab.fault import Attachment, Fault, NewSegment, NewSubnet
    from lbproof.lab.kind.faults import Faults
    from lbproof.spec.families import IPAddress


class Injection(Protocol):
    """Base class of the lab."""

    @property
    def _faults(self) -> Faults: ...

    def node_crash(self, node: str) -> Fault:
        """Kill all processes of a node and take its link down, at once."""
        return self._faults.node_crash(node)

    def link_down(self, node: str) -> Fault:
        """Take a node's link to the segment down."""
        return self._faults.link_down(node)

    def blackhole(self, node: str) -> Fault:
        """Drop all frames between the segment and a node."""
        return self._faults.blackhole(node)

    def partition(self, one: str, other: str) -> Fault:
        """Drop all frames between two nodes."""
        return self._faults.partition(one, other)

    def freeze(self, node: str) -> Fault:
        """Stop all processes of a node."""
        return self._faults.freeze(node)

    def freeze_pod(self, namespace: str, pod: str) -> Fault:
        """Stop all processes of a pod."""
        return self._faults.freeze_pod(namespace, pod)

    def kill(self, namespace: str, pod: str) -> Fault:
        """Send SIGKILL to a pod's processes."""
        return self._faults.kill(namespace, pod)

    def stop_api(self) -> Fault:
        """Stop the API server."""
        return self._faults.stop_api()

    def drop(self, node: str, share: float) -> Fault:
        """Drop a share of the packets that arrive at a node from the segment."""
        return self._faults.drop(node, share)

    def api_cut(self, node: str) -> Fault:
        """Drop all frames between a worker and the API server's port."""
        return self._faults.api_cut(node)

    def one_way_loss(self, source: str, target: str, share: float) -> Fault:
        """Drop a share of the frames from one node to another."""
        return self._faults.one_way_loss(source, target, share)

    def clock_behind(self, node: str, seconds: float) -> Fault:
        """Raise `LabError`: all containers share the wall clock of this machine."""
        raise LabError(f"the clock of {node} cannot be {seconds:g} s behind: all containers share one wall clock")

    def silent_kubelet(self, node: str) -> Fault:
        """Raise `LabError`: no fault of this lab stops a part of a node alone."""
        raise LabError(f"the kubelet of {node} is not stopped in a kind lab: take a netns lab")

    def second_nic(self, node: str) -> Attachment:
        """Add an interface to a node on the segment."""
        return self._faults.second_nic(node)

    def new_segment(self, link_local: Collection[str] = (), other_subnet: Collection[str] = ()) -> NewSegment:  # noqa: ARG002 - there is none
        """Raise `LabError`: a node has one network here."""
        raise LabError("a kind lab has one segment: take a netns lab")

    def second_subnet(self, nodes: Collection[str]) -> NewSubnet:
        """Raise `LabError`: the engine gives all containers of a network addresses of one subnet."""
        raise LabError(f"a kind lab has one subnet, and none more for {', '.join(nodes)}: take a netns lab")

    def foreign_host(self, address: IPAddress) -> Attachment:
        """Add a container to the segment that holds an address and is no part of the cluster."""
        return self._faults.foreign_host(address)
