"""Pools of one namespace, and Services of another that ask for what is in them, when they are created and later."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lbproof.context import proves
from lbproof.context.precedence import judging
from lbproof.context.refusal import Refused, admission
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext

SIZE = 4


@proves("SEC-04", "a")
def test_fences_of_namespaces_hold(check: CheckContext) -> None:
    """No Service of another namespace gets an address of the pool, in whatever way it asks for that or for the pool.

    Nor one that has an address of a pool for all and asks later. What its own Services are given nobody disturbs.
    """
    fenced = check.pool(SIZE, namespaces=(check.namespace,))
    held = check.all_assigned(*(check.service(f"own-{n}") for n in range(SIZE - 1)))
    (free,) = [address for address in fenced.addresses if address not in held.values()]
    place = check.second_namespace
    later = []
    for how in check.run.ways:
        check.pool(1)
        later.append(check.service(f"later-{how}", namespace=place))
        with check.precondition():
            check.assigned(later[-1], budget="pool_applied")
    outside = [*later]

    def judge() -> None:
        given = check.statuses(*outside)
        wrong = {str(one): given[one] for one in outside if set(given[one]) & set(fenced.addresses)}
        assert not wrong, f"given addresses of a pool of another namespace: {words(wrong)}"

    with judging(judge), check.unchanged(*held):
        for n, how in enumerate(check.run.ways):
            outside += check.unusable(f"asks-{n}", namespace=place, ask=free, how=how)
        if check.run.claims("pool-select"):
            outside += check.unusable("names", namespace=place, pool=fenced)
        for service, how in zip(later, check.run.ways, strict=True):
            asked: dict[str, Any] = {"metadata": {}, "spec": {}}
            check.run.ask(asked, str(free), how)
            with suppress(Refused), admission(f"the request of {service}"):
                service.patch(**asked)
        check.stays_pending(*(one for one in outside if one not in later))
        with check.precondition():
            check.assigned(check.service("own-last"), budget="pool_applied")
