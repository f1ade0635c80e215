"""healthCheckNodePort, by which balancers outside the cluster find the nodes with a ready endpoint."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from lbproof.checks.etp.local import assigned
from lbproof.context import manifests, proves
from lbproof.text import words
from lbproof.witnesses import http

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lbproof.context import CheckContext, Service
    from lbproof.lab.base import Node
    from lbproof.spec.families import IPAddress


def port_of(service: Service) -> int:
    """Return the health check node port of a Service, 0 without one."""
    found: int = service.read()["spec"].get("healthCheckNodePort", 0)
    return found


@proves("ETP-04", "a")
def test_only_local_load_balancers_have_a_health_check(check: CheckContext) -> None:
    """It is there after the assignment, and goes with the policy and the type; a NodePort Service has none."""
    check.pool(3)
    local = [check.service(f"local-{n}", externalTrafficPolicy="Local") for n in range(2)]
    cluster = check.service("cluster", externalTrafficPolicy="Cluster")
    plain = check.service("plain", type="NodePort", externalTrafficPolicy="Local")
    with check.precondition():
        check.all_assigned(cluster, *(local if check.run.claims("etp-local") else ()))
    ports = {str(service): port_of(service) for service in (*local, cluster, plain)}
    assert all(ports[str(service)] for service in local), (
        f"a Service with policy Local has no health check: {words(ports)}"
    )
    assert not ports[str(cluster)], f"a Service with policy Cluster has a health check: {words(ports)}"
    assert not ports[str(plain)], f"a NodePort Service has a health check: {words(ports)}"

    local[0].patch(spec={"externalTrafficPolicy": "Cluster"})
    check.retype(local[1], "ClusterIP")
    cluster.patch(spec={"externalTrafficPolicy": "Local"})
    left = {str(service): port_of(service) for service in local}
    assert not any(left.values()), f"what no longer has policy Local has a health check: {words(left)}"
    assert port_of(cluster), "a Service that was changed to policy Local has no health check"


@proves("ETP-04", "b")
def test_the_health_check_names_the_nodes_with_a_ready_endpoint(check: CheckContext) -> None:
    """Of several Services, whose endpoints are on different nodes, and of one whose endpoint has moved."""
    nodes = check.nodes_with_pods(least=2)
    with check.precondition():
        held = assigned(check, nodes)
    for service, (_, node) in held.items():
        healthy(check, service, {node})
    moved, (_, node) = next(iter(held.items()))
    there = next(one for one in nodes if one != node)
    check.serve_from(moved, nodes=[there])
    healthy(check, moved, {there})
    check.serve_from(moved, nodes=nodes)
    healthy(check, moved, {*nodes})


@proves("ETP-04", "c")
def test_terminating_endpoints_are_not_healthy(check: CheckContext) -> None:
    """Though they still serve: an outside balancer is to send new connections elsewhere."""
    nodes = check.nodes_with_pods()
    with check.precondition():
        held = assigned(check, nodes)
    for service, (_, node) in held.items():
        with check.precondition():
            healthy(check, service, {node})
        check.serve_from(service, nodes=[node], conditions=manifests.TERMINATING)
        healthy(check, service, set())


def healthy(check: CheckContext, service: Service, nodes: set[str]) -> None:
    """Wait until the health check of a Service answers 200 on some nodes, and 503 on all others."""
    port = port_of(service)

    def status(node: Node) -> str:
        try:
            return str(http.get(check.client, _address(check, node), port, "/healthz").status)
        except http.Unreached as error:
            return error.kind

    def good(seen: Mapping[str, str]) -> bool:
        wanted = {True: HTTPStatus.OK, False: HTTPStatus.SERVICE_UNAVAILABLE}
        return all(found == str(wanted[name in nodes].value) for name, found in seen.items())

    check.wait.eventually(
        lambda: {node.name: status(node) for node in check.lab.nodes},
        good,
        what=f"the health check of {service} is 200 on {' and '.join(sorted(nodes)) or 'no node'}, and 503 elsewhere",
        budget="serves",
    )


def _address(check: CheckContext, node: Node) -> IPAddress:
    """Return the address of a node at which its health checks are asked."""
    return node.address_for(check.client.families[0])
