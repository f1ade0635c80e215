"""What Kubernetes says of a node: that it has no network, is cordoned or drained, or that nothing is heard of it."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from lbproof.checks.fail.moves import assigned, one_answers
from lbproof.context import proves
from lbproof.context.precedence import judging
from lbproof.context.run import NAMESPACE
from lbproof.lab.base import Capability, Role
from lbproof.text import words
from lbproof.witnesses.asking import Asking

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lbproof.context import CheckContext, Service
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


def objects_change(check: CheckContext, services: Iterable[Service]) -> None:
    """Annotate Services, and create a pool and a Service that is given its address.

    So an implementation that decides anew with a change reads again what is said of nodes.
    """
    for service in services:
        service.patch(metadata={"annotations": {"lbproof.dev/version": secrets.token_hex(2)}})
    check.pool(1)
    check.control(budget="pool_applied")


def placed(check: CheckContext, addresses: Iterable[IPAddress]) -> dict[str, list[str]]:
    """Return the node that answers for each address."""
    with check.precondition("L2-01"):
        return {str(address): [who] for address, who in check.sole_holders(*addresses).items()}


def placed_after_a_change(
    check: CheckContext, services: Mapping[IPAddress, Service]
) -> tuple[dict[str, list[str]], bool]:
    """Change Services and pools while nothing is said of nodes; return the node of each address, and whether all stay.

    Nobody says that they must: what moves then is not held against a cordon.
    """
    before = placed(check, services)
    objects_change(check, services.values())
    check.wait_out("stays_put")
    now = placed(check, services)
    if now != before:
        check.saw("arp", "addresses move when Services and pools change: none do during the cordon", [before, now])
    return now, now == before


@proves("FAIL-09", "a", disruptive=True)
def test_a_node_without_network_leaves_one_answerer(check: CheckContext) -> None:
    """One node answers, and the client is served, while NetworkUnavailable is set for the announcer, and afterwards.

    Also when Services and pools change meanwhile.
    """
    services = assigned(check)
    held = list(services)
    old, moving = check.worker_that_announces(held)
    with Asking(check.client, held) as asking:
        since = time.monotonic()
        with check.network_unavailable(old.name):
            answered_meanwhile(check, asking, held, since)
            objects_change(check, services.values())
            one_answers(check, held)
            for address in moving:
                check.serves(check.client, address)
        check.run.nodes_ready()
        answered_meanwhile(check, asking, held, since)
        one_answers(check, held)


@proves("FAIL-09", "b", disruptive=True)
def test_a_cordon_moves_nothing(check: CheckContext) -> None:
    """Each address is answered by the same node as before while all workers are cordoned, and afterwards.

    Also when Services and pools change meanwhile, unless addresses move for that alone.
    """
    services = assigned(check)
    held = list(services)
    workers = [node.name for node in check.lab.nodes if node.role is Role.WORKER]
    names = check.mac_names()
    before, stay = placed_after_a_change(check, services)
    with Asking(check.client, held) as asking:
        since = time.monotonic()

        def who() -> dict[str, list[str]]:
            return {
                str(address): sorted({names.get(mac, mac) for t, mac in asking.answers(address) if t >= since})
                for address in held
            }

        def stayed() -> None:
            moved = {address: by for address, by in who().items() if not set(by) <= set(before[address])}
            assert not moved, f"Services and pools changed during or after a cordon, and others answer: {words(moved)}"

        def answered() -> None:
            answered_meanwhile(check, asking, held, since)

        for nodes in (workers, []):
            with check.cordoned(*nodes), judging(stayed), judging(answered):
                check.wait.consistently(
                    who,
                    lambda seen: all(set(by) <= set(before[address]) for address, by in seen.items()),
                    what="each address is answered by the node of before, which was cordoned"
                    if nodes
                    else "each address is answered by the node of before the cordon, which is over",
                    budget="stays_put",
                    every=0.2,
                )
                if stay:
                    objects_change(check, services.values())
        for address in held:
            check.serves(check.client, address)


@proves("FAIL-09", "c", disruptive=True)
def test_a_drained_backend_node_is_not_missed(check: CheckContext) -> None:
    """The client is served on, by the pod of another node, when the announcer is cordoned and its backend evicted.

    Also when Services and pools change meanwhile.
    """
    check.pool(1)
    workers = [node.name for node in check.lab.nodes if node.role is Role.WORKER]
    app = check.web("drained", replicas=len(workers), nodes=workers)
    service = check.service("web", serving=True, selector={"app": app})
    address = check.assigned(service)
    old, _ = check.worker_that_announces([address])
    with check.precondition("TIER-01"):
        check.serves(check.client, address, in_a_row=3)
    leaving = [name for name, node in check.pods(app) if node == old.name]

    def served() -> None:
        check.wait.eventually(
            lambda: check.ask_pod_or_why(check.client, address),
            lambda pod: pod.startswith(app) and pod not in leaving,
            what=f"{address} is served by pods of other nodes than {old.name}, which is drained",
            budget="serves",
            in_a_row=10,
        )

    with check.cordoned(old.name):
        for name in leaving:
            evicted = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": name, "namespace": NAMESPACE},
            }
            check.cluster.create(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction", evicted)
        with judging(served):
            objects_change(check, [service])
        check.holders(address)
        with check.precondition("L2-01"):
            one_answers(check, [address])


@proves("FAIL-09", "d", disruptive=True)
def test_a_node_whose_kubelet_is_silent_leaves_one_answerer(check: CheckContext) -> None:
    """One node answers while the announcer's node is Ready Unknown and goes on, and when its kubelet reports again.

    The same one or another. Also when Services and pools change meanwhile.
    """
    check.run.need(Capability.SILENT_KUBELET)
    services = assigned(check)
    held = list(services)
    old, _ = check.worker_that_announces(held)

    def one_each() -> None:
        one_answers(check, held)

    with Asking(check.client, held) as asking:
        since = time.monotonic()
        with check.kubelet_silent(old.name), judging(one_each):
            answered_meanwhile(check, asking, held, since)
            objects_change(check, services.values())
        check.run.nodes_ready()
        answered_meanwhile(check, asking, held, since)
        one_answers(check, held)
