"""The four ways to one and the same pod, from one client: the pod itself, its ClusterIP, a NodePort, the LoadBalancer.

One Service of type LoadBalancer is all tiers but the first. The pod's node does not announce, and ClusterIP and
NodePort are asked of the node that does: three tiers go the same way and differ only in what is made of the
packet. The pod is asked by its own node, without the detour: the baseline.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError, Role
from lbproof.stage.ground import NAMESPACE
from lbproof.stage.manifests import TARGET_PORT
from lbproof_perf.sut.deployment import PORTS, ip_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof.lab.base import Node
    from lbproof.observe.vantage import Vantage
    from lbproof.stage import Stage

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
    pod: Vantage
    announcer: str
    """Name of the node that answers for the address."""


def laid(stage: Stage) -> Paths:
    """Make the workload, the Service and the client's routes, and see that every tier serves. Raises `LabError`."""
    workers = [node for node in stage.lab.nodes if node.role is Role.WORKER]
    if len(workers) < 2:  # noqa: PLR2004 - one serves, another announces
        raise LabError(f"bench load takes two workers, the lab has {len(workers)}")
    backend = workers[-1]
    stage.exclude(backend.name)
    app = stage.web("load", nodes=[backend.name])
    stage.pool(1)
    service = stage.service(serving=True, selector={"app": app}, ports=PORTS)
    address = stage.assigned(service)
    announcer = stage.announcer(address, budget="one_answerer")
    pod = stage.lab.pod(NAMESPACE, stage.pods(app)[0][0])
    spec = service.read()["spec"]
    tcp, udp = (int(port["nodePort"]) for port in spec["ports"])
    _route(stage, pod.address, backend)
    _route(stage, spec["clusterIP"], announcer)
    endpoints = {
        Tier.POD: Endpoint(host=pod.address, port=TARGET_PORT, udp_port=TARGET_PORT),
        Tier.CLUSTER_IP: Endpoint(host=spec["clusterIP"], port=PORT, udp_port=PORT),
        Tier.NODE_PORT: Endpoint(host=announcer.address, port=tcp, udp_port=udp),
        Tier.LOAD_BALANCER: Endpoint(host=address, port=PORT, udp_port=PORT),
    }
    for endpoint in endpoints.values():
        stage.serves(stage.client, endpoint.host, endpoint.port, in_a_row=3)
    return Paths(endpoints=endpoints, backend=backend.name, pod=pod, announcer=announcer.name)


def _route(stage: Stage, address: str, via: Node) -> None:
    """The client reaches an address of the cluster's own by a node; undone with the stage."""
    route = (f"{address}/32", "via", via.address)
    ip_at(stage.client, "route", "replace", *route)
    stage.undo.later(f"route to {address}", functools.partial(ip_at, stage.client, "route", "del", *route))
