"""Addresses that go from deleted Services to new ones, whose backends are others on another node."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.text import words
from lbproof.witnesses import neighbours
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress

SERVICES = 4


@proves("RECL-04")
def test_a_reused_address_is_the_next_ones(check: CheckContext, case: str) -> None:
    """Each address of a full pool reaches the pods of its new Service alone, once they answer, and they do.

    A client that has no entry asks where the address is; one with a warm entry goes on with it until its kernel or an
    announcement says otherwise.
    """
    one, other, *_ = check.nodes_with_pods(least=2)
    check.pool(SERVICES)
    places = (check.namespace, check.second_namespace)
    old = [check.service(f"old-{n // 2}", namespace=places[n % 2], nodes=[one]) for n in range(SERVICES)]
    held = check.all_assigned(*old)
    for address in held.values():
        check.undo.later("the client's entry", functools.partial(neighbours.forget, check.client, address))
    with check.precondition("TIER-01"):
        for address in held.values():
            check.serves(check.client, address, in_a_row=3)
    check.random.shuffle(old)
    check.delete_all(*old)

    warm = case == "b"
    if warm:
        for address in held.values():
            if (entry := neighbours.entry(check.client, address)) and entry.mac:
                neighbours.pin(check.client, address, entry.mac, "REACHABLE")
    new = [check.service(f"new-{n // 2}", namespace=places[n % 2], nodes=[other]) for n in range(SERVICES)]
    with check.precondition("RECL-01"):
        given = check.all_assigned(*new, budget="reclaimed").values()
        if set(given) != set(held.values()):
            released = words(list(map(str, held.values())))
            raise Violation(f"{released} were released, and {words(list(map(str, given)))} were given")
    pods = check.serve_from(*new, nodes=[other])
    for address in given:
        check.wait.eventually(
            lambda address=address: asked(check, address, warm=warm),  # type: ignore[misc]
            lambda pod: pod in pods,
            what=f"{address} is served by {' or '.join(pods)} of its new Service",
            budget="serves",
            in_a_row=3,
        )
    check.known_to_every_node(new[-1])
    check.wait.consistently(
        lambda: {str(address): asked(check, address, warm=warm) for address in given},
        lambda seen: all(pod in pods or not pod.startswith(check.run.web) for pod in seen.values()),
        what=f"no answer comes from others than {' or '.join(pods)}",
        budget="stays_assigned",
    )


def asked(check: CheckContext, address: IPAddress, *, warm: bool) -> str:
    """Send one request, with the client's entry or without; return the pod that answers, or why none does."""
    if not warm:
        neighbours.forget(check.client, address)
    return check.ask_pod_or_why(check.client, address)
