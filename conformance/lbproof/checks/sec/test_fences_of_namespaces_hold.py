"""Pools of one namespace, and Services of another that ask for what is in them, when they are created and later."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lbproof.checks.share.sharers import KEY, SECOND, given_key, joining, ports, requests_for
from lbproof.context import proves
from lbproof.context.precedence import judging
from lbproof.context.refusal import Refused, admission
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext
    from lbproof.spec.families import IPAddress

SIZE = 4


@proves("SEC-04", "a")
def test_fences_of_namespaces_hold(check: CheckContext) -> None:
    """No Service of another namespace gets an address of the pool, in whatever way it asks for that or for the pool.

    Nor one that has an address of a pool for all and asks later, nor by the sharing key of a Service that has one.
    What its own Services are given nobody disturbs.
    """
    shares = check.run.claims("sharing")
    fenced = check.pool(SIZE, namespaces=(check.namespace,))
    with check.room():
        own = [check.service(f"own-{n}", share=KEY if shares and not n else "") for n in range(SIZE - 1)]
        held = check.all_assigned(*own)
    (free,) = [address for address in fenced.addresses if address not in held.values()]
    place = check.second_namespace
    later = []
    for how in (*check.run.ways, *(["key"] if shares else [])):
        check.pool(1)
        later.append(check.service(f"later-{how}", namespace=place, ports=ports(SECOND)))
        with check.precondition():
            check.assigned(later[-1], budget="pool_applied")
    outside = [*later]

    def wrong() -> dict[str, list[IPAddress]]:
        given = check.statuses(*outside)
        return {str(one): given[one] for one in outside if set(given[one]) & set(fenced.addresses)}

    def judge() -> None:
        found = wrong()
        assert not found, f"given addresses of a pool of another namespace: {words(found)}"

    with judging(judge), check.unchanged(*held):
        for n, how in enumerate(check.run.ways):
            outside += check.unusable(f"asks-{n}", namespace=place, ask=free, how=how)
        if check.run.claims("pool-select"):
            outside += check.unusable("names", namespace=place, pool=fenced)
        for service, how in zip(later, check.run.ways, strict=False):  # the last one is given a key
            asked: dict[str, Any] = {"metadata": {}, "spec": {}}
            check.run.ask(asked, str(free), how)
            with suppress(Refused), admission(f"the request of {service}"):
                service.patch(**asked)
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
