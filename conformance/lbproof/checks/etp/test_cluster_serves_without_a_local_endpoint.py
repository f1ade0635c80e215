"""externalTrafficPolicy Cluster: the announcing node need not host a pod."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.context import CannotShow, proves
from lbproof.lab.base import Role
from lbproof.spec import Untestable
from lbproof.witnesses import neighbours

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress

SERVICES = 4


@proves("ETP-02")
def test_cluster_serves_without_a_local_endpoint(check: CheckContext) -> None:
    """Services whose only pods are on one worker that does not announce them are served, wherever that worker is.

    Also a Service that had the policy Local before, one whose traffic from inside the cluster stays on a node, and one
    whose endpoints name no node; beside one of the same pool that has the policy Local. So it is while the worker with
    the pods is excluded from announcing.
    """
    workers = [node.name for node in check.lab.nodes if node.role is Role.WORKER]
    if len(workers) < 2:  # noqa: PLR2004 - one announces, another hosts
        raise CannotShow(Untestable.TOO_FEW_NODES, "two workers are needed")
    check.pool(SERVICES + 2)
    beside = check.service("beside", externalTrafficPolicy="Local")
    _, _, host = check.random.choice(check.run.pods_of_web())
    check.serve_from(beside, nodes=[host])
    plain = check.service("web", externalTrafficPolicy="Cluster")
    inside = check.service("inside", externalTrafficPolicy="Cluster", internalTrafficPolicy="Local")
    unnamed = check.service("unnamed", externalTrafficPolicy="Cluster")
    services = [plain, inside, unnamed]
    if check.run.claims("etp-local"):
        changed = check.service("local", externalTrafficPolicy="Local")
        services.append(changed)
        check.all_assigned(*services)
        changed.patch(spec={"externalTrafficPolicy": "Cluster"})
    moved: list[str] = []
    for service, address in check.all_assigned(*services).items():
        via = check.an_announcer(address)
        # where several nodes answer, which L2-01 judges, the client uses one without the endpoint
        check.undo.later("the client's entry", functools.partial(neighbours.forget, check.client, address))
        neighbours.pin(check.client, address, via.mac, "PERMANENT")
        elsewhere = [name for name in workers if name != via.name]
        check.random.shuffle(elsewhere)
        for name in elsewhere[:2]:
            _served_from(check, service, address, name, named=service is not unnamed)
        if service is plain:
            with check.excluded(name):
                check.control()
                _served_anew(check, address)
            neighbours.pin(check.client, address, via.mac, "PERMANENT")
        if via.name not in (now := check.holders(address)[address]):
            moved.append(f"{address} of {service} went from {via.name} to {', '.join(now)}")
    if moved:  # nobody is forbidden to announce where endpoints are, which shows nothing of a node without any
        raise CannotShow(Untestable.NOT_PROVOKED, f"addresses went with their endpoints: {'; '.join(moved)}")


def _served_from(check: CheckContext, service: Service, address: IPAddress, node: str, *, named: bool = True) -> None:
    """Wait until a Service whose only endpoints are on one node is served by them."""
    pods = check.serve_from(service, nodes=[node], named=named)
    check.wait.eventually(
        lambda: check.ask_pod_or_why(check.client, address),
        lambda pod: pod in pods,
        what=f"{address} is served by {' or '.join(pods)} on {node}",
        budget="serves",
        in_a_row=3,
    )


def _served_anew(check: CheckContext, address: IPAddress) -> None:
    """Wait until a client is served that asks anew for an address with each request."""

    def ask() -> str:
        neighbours.forget(check.client, address)
        return check.ask_pod_or_why(check.client, address)

    check.wait.eventually(
        ask,
        lambda pod: pod.startswith(check.run.web),
        what=f"{address} is served to a client that asks for it anew",
        budget="serves",
        in_a_row=3,
    )
