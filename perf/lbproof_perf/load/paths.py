"""The four ways to one and the same pod, from one client: the pod itself, its ClusterIP, a NodePort, the LoadBalancer.

One Service of type LoadBalancer is all tiers but the first. The pod's node does not announce, and ClusterIP and
NodePort are asked of the node that does: three tiers go the same way and differ only in what is made of the
packet. The pod is asked by its own node, without the detour: the baseline.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from lbproof.context.manifests import TARGET_PORT
from lbproof.context.run import NAMESPACE
from lbproof.lab.base import LabError, Role
from lbproof.spec.families import IPAddress, family_of
from lbproof_perf.sut.deployment import PORTS, ip_at_client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof.context import CheckContext
    from lbproof.lab.base import Node

PORT = PORTS[0]["port"]


class Tier(StrEnum):
    """What is asked."""

    POD = "pod"
    CLUSTER_IP = "clusterip"
    NODE_PORT = "nodeport"
    LOAD_BALANCER = "loadbalancer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a tier is asked."""

    host: str
    port: int
    udp_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The doors of an arm, and who stands behind them."""

    endpoints: Mapping[Tier, Endpoint]
    backend: str
    """Name of the node of the pod that serves."""
    pod: str
    """Its name, in the suite's namespace."""
    announcer: str
    """Name of the node that answers for the address."""


def laid(check: CheckContext) -> Paths:
    """Make the workload, the Service and the client's routes, and see that every tier serves. Raises `LabError`."""
    workers = [node for node in check.lab.nodes if node.role is Role.WORKER]
    if len(workers) < 2:  # noqa: PLR2004 - one serves, another announces
        raise LabError(f"bench load takes two workers, the lab has {len(workers)}")
    backend = workers[-1]
    check.exclude(backend.name)
    app = check.web("load", nodes=[backend.name])
    check.pool(1)
    service = check.service(serving=True, selector={"app": app}, ports=PORTS)
    address = check.assigned(service)
    announcer = check.announcer(address, budget="one_answerer")
    name = check.pods(app)[0][0]
    pod = check.lab.pod(NAMESPACE, name)
    spec = service.read()["spec"]
    tcp, udp = (int(port["nodePort"]) for port in spec["ports"])
    _route(check, pod.address, backend)
    _route(check, service.cluster_ip(), announcer)
    endpoints = {
        Tier.POD: Endpoint(host=str(pod.address), port=TARGET_PORT, udp_port=TARGET_PORT),
        Tier.CLUSTER_IP: Endpoint(host=spec["clusterIP"], port=PORT, udp_port=PORT),
        Tier.NODE_PORT: Endpoint(host=str(announcer.address), port=tcp, udp_port=udp),
        Tier.LOAD_BALANCER: Endpoint(host=str(address), port=PORT, udp_port=PORT),
    }
    for endpoint in endpoints.values():
        check.serves(check.client, ip_address(endpoint.host), endpoint.port, in_a_row=3)
    return Paths(endpoints=endpoints, backend=backend.name, pod=name, announcer=announcer.name)


def _route(check: CheckContext, address: IPAddress, via: Node) -> None:
    """The client reaches an address of the cluster's own by a node; undone with the check."""
    route = (str(ip_network(address)), "via", str(via.address_for(family_of(address))))
    ip_at_client(check.lab, "route", "replace", *route)
    check.undo.later(f"route to {address}", functools.partial(ip_at_client, check.lab, "route", "del", *route))
