"""What Kubernetes says of a node: that it has no network, that nothing more is scheduled there, that it is drained."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lbproof.checks.fail.moves import assigned, one_answers
from lbproof.context import proves
from lbproof.context.run import NAMESPACE
from lbproof.lab.base import Role
from lbproof.witnesses.asking import Asking

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress


def answered_meanwhile(check: CheckContext, asking: Asking, addresses: Iterable[IPAddress], since: float) -> None:
    """Verify that no address is unanswered for longer than a handover takes."""
    held, most = list(addresses), check.wait.budget("handed_over")
    check.wait.consistently(
        lambda: asking.silences(held, since=since),
        lambda silent: max(silent.values()) <= most,
        what=f"no address is without an answer for more than {most:g} s",
        budget="stays_put",
        every=0.2,
    )


@proves("FAIL-09", "a", disruptive=True)
def test_a_node_without_network_leaves_one_answerer(check: CheckContext) -> None:
    """One node answers, and the client is served, while NetworkUnavailable is set for the announcer, and afterwards."""
    held = list(assigned(check))
    old, moving = check.worker_that_announces(held)
    with Asking(check.client, held) as asking:
        since = time.monotonic()
        with check.network_unavailable(old.name):
            answered_meanwhile(check, asking, held, since)
            one_answers(check, held)
            for address in moving:
                check.serves(check.client, address)
        check.run.nodes_ready()
        answered_meanwhile(check, asking, held, since)
        one_answers(check, held)


@proves("FAIL-09", "b", disruptive=True)
def test_a_cordon_moves_nothing(check: CheckContext) -> None:
    """Each address is answered by the same node as before while all workers are cordoned, and afterwards."""
    held = list(assigned(check))
    workers = [node.name for node in check.lab.nodes if node.role is Role.WORKER]
    names = check.mac_names()
    with check.precondition("L2-01"):
        before = {str(address): [who] for address, who in check.sole_holders(*held).items()}
    with Asking(check.client, held) as asking:
        since = time.monotonic()

        def who() -> dict[str, list[str]]:
            return {
                str(address): sorted({names.get(mac, mac) for t, mac in asking.answers(address) if t >= since})
                for address in held
            }

        for nodes in (workers, []):
            with check.cordoned(*nodes):
                check.wait.consistently(
                    who,
                    lambda seen: all(set(by) <= set(before[address]) for address, by in seen.items()),
                    what="each address is answered by the node of before, which was cordoned"
                    if nodes
                    else "each address is answered by the node of before the cordon, which is over",
                    budget="stays_put",
                    every=0.2,
                )
                answered_meanwhile(check, asking, held, since)
        for address in held:
            check.serves(check.client, address)


@proves("FAIL-09", "c", disruptive=True)
def test_a_drained_backend_node_is_not_missed(check: CheckContext) -> None:
    """The client is served on, by the pod of another node, when the announcer is cordoned and its backend evicted."""
    check.pool(1)
    workers = [node.name for node in check.lab.nodes if node.role is Role.WORKER]
    app = check.web("drained", replicas=len(workers), nodes=workers)
    service = check.service("web", serving=True, selector={"app": app})
    address = check.assigned(service)
    old, _ = check.worker_that_announces([address])
    with check.precondition("TIER-01"):
        check.serves(check.client, address, in_a_row=3)
    leaving = [name for name, node in check.pods(app) if node == old.name]
    with check.cordoned(old.name):
        for name in leaving:
            evicted = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": name, "namespace": NAMESPACE},
            }
            check.cluster.create(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction", evicted)
        check.wait.eventually(
            lambda: check.ask_pod_or_why(check.client, address),
            lambda pod: pod.startswith(app) and pod not in leaving,
            what=f"{address} is served by pods of other nodes than {old.name}, which is drained",
            budget="serves",
            in_a_row=10,
        )
        one_answers(check, [address])
