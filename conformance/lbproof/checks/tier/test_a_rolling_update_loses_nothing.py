"""Backends that are replaced one after the other, while clients go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress

REPLICAS = 2
UPDATES = 2


@proves("TIER-12")
def test_a_rolling_update_loses_nothing(check: CheckContext) -> None:
    """Two Services of one workload; every request of each client is answered until none of the old pods is left."""
    app = check.web("rolling", replicas=REPLICAS, lingers=True)
    with check.pool_with_room(2):
        services = [check.service(f"web-{n}", serving=True, selector={"app": app}) for n in range(2)]
        held = list(check.all_assigned(*services).values())
    with check.precondition("TIER-01"):
        for client in check.clients():
            for address in held:
                check.serves(client, address, in_a_row=3)
    with check.unchanged(*services):
        for _ in range(UPDATES):
            replaced(check, app, held)


def replaced(check: CheckContext, app: str, held: list[IPAddress]) -> None:
    """Replace the pods of a workload, and verify that each request is answered until new pods alone answer."""
    old = {name for name, _ in check.pods(app)}
    lost: list[str] = []
    answered: dict[str, int] = {}

    def ask() -> set[str]:
        seen: set[str] = set()
        for client in check.clients():
            for address in held:
                pod = check.ask_pod_or_why(client, address)
                if not pod.startswith(app):
                    lost.append(f"{client.name} at {address}: {pod}")
                answered[pod] = answered.get(pod, 0) + 1
                seen.add(pod)
        return seen

    check.update(app)
    check.wait.eventually(
        ask,
        lambda seen: not seen & old,
        what=f"new pods of {app} alone answer",
        budget="workload_ready",
        in_a_row=10,
    )
    check.saw("http", "requests during a rolling update, by who answered", answered)
    assert not lost, f"{len(lost)} of {sum(answered.values())} requests were not answered: {words(lost)}"
