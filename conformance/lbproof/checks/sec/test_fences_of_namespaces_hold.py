"""Pools of one namespace, and Services of another that ask for what is in them, when they are created and later."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from lbproof.checks.share.sharers import KEY, SECOND, given_key, joining, ports, requests_for
from lbproof.context import proves
from lbproof.context.precedence import judging
from lbproof.context.refusal import Refused
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress

SIZE = 4


@proves("SEC-04", "a")
def test_fences_of_namespaces_hold(check: CheckContext) -> None:
    """No Service of another namespace gets an address of the pool, in whatever way it asks for that, the pool or both.

    Nor one that has an address of a pool for all and asks so later, nor by the sharing key of a Service that has one.
    What its own Services are given nobody disturbs.
    """
    shares = check.run.claims("sharing")
    fenced = check.pool(SIZE, namespaces=(check.namespace,))
    with check.room():
        own = [check.service(f"own-{n}", share=KEY if shares and not n else "") for n in range(SIZE - 1)]
        held = check.all_assigned(*own)
    (free,) = [address for address in fenced.addresses if address not in held.values()]
    place = check.second_namespace
    requests = requests_for(check, free, fenced)
    count = len(requests) + shares  # the last one is given a key
    check.pool(count)
    later = [check.service(f"later-{n}", namespace=place, ports=ports(SECOND)) for n in range(count)]
    with check.precondition():
        check.all_assigned(*later, budget="pool_applied")
    outside = [*later]

    def wrong() -> dict[str, list[IPAddress]]:
        given = check.statuses(*outside)
        return {str(one): given[one] for one in outside if set(given[one]) & set(fenced.addresses)}

    def judge() -> None:
        found = wrong()
        assert not found, f"given addresses of a pool of another namespace: {words(found)}"

    with judging(judge), check.unchanged(*held):
        for n, request in enumerate(requests):
            outside += check.unusable(f"asks-{n}", namespace=place, **request)
        for service, request in zip(later, requests, strict=False):
            with suppress(Refused):
                check.request(service, **request)
        if shares:
            outside += joining(check, *requests_for(check, held[own[0]], fenced), namespace=place)
            given_key(check, later[-1])
        check.wait.consistently(
            wrong,
            lambda found: not found,
            what="no Service of another namespace has an address of the pool",
            budget="stays_pending",
        )
        with check.precondition():
            check.assigned(check.service("own-last"), budget="pool_applied")
