"""Pools in another namespace than the one where the implementation looks for them."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING

from lbproof.adapters import rendering
from lbproof.adapters.base import AddressRange, PoolSpec
from lbproof.context import CannotShow, proves
from lbproof.context.precedence import judging
from lbproof.context.refusal import Refused, admission
from lbproof.spec import Untestable
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress


def misplaced(check: CheckContext, spec: PoolSpec) -> tuple[list[Object], bool]:
    """Create the objects of a pool in a namespace of the check; return those taken, and whether one is refused.

    Raises `CannotShow` for a pool without objects of a namespace.
    """
    made = copy.deepcopy(rendering.pools(check.run.adapter, [spec], check.run.site))
    made = [one for one in made if one["metadata"].get("namespace")]
    if not made:
        raise CannotShow(Untestable.NOT_PROVOKED, "the objects of a pool are in no namespace")
    taken, refused = [], False
    for one in made:
        one["metadata"]["namespace"] = check.second_namespace
        path = check.run.path_of(one)
        check.undo.later(path, functools.partial(check.cluster.discard, path))
        try:
            with admission(path, own_kind=True):
                taken.append(check.cluster.apply(one))
        except Refused as refusal:
            refused = True
            check.saw("api", f"{one['kind']} in another namespace is refused", str(refusal))
    return taken, refused


def told(check: CheckContext, objects: Sequence[Object]) -> list[str]:
    """Return what is said of objects: Warning Events, and conditions that are False."""
    found = []
    for one in objects:
        now = check.cluster.get(check.run.path_of(one))
        events = [event for event in check.cluster.events_about(now) if event.get("type") == "Warning"]
        rows = [row for row in now.get("status", {}).get("conditions", []) if row.get("status") == "False"]
        found += [f"{row.get('reason')}: {row.get('message')}" for row in (*events, *rows)]
    return found


def refused_or_flagged(check: CheckContext, spec: PoolSpec) -> list[Object]:
    """Create a pool elsewhere; verify that one of its objects is refused or told of; return those that are taken."""
    objects, refused = misplaced(check, spec)
    if not refused:
        said = check.wait.eventually(
            lambda: told(check, objects),
            bool,
            what=f"something is said about {objects[0]['kind']} {spec.name} in another namespace",
            budget="pool_applied",
            show=lambda said: words(said) or "nothing",
        )
        check.saw("api", "a pool in another namespace is flagged", said)
    return objects


@proves("CRD-03", "a")
def test_a_pool_elsewhere_gives_nothing(check: CheckContext) -> None:
    """A pool in another namespace is refused or flagged; its addresses are given to nobody, not even who asks.

    Services of that namespace among them; a pool in the right place works.
    """
    block = check.run.addresses(3)
    refused_or_flagged(check, PoolSpec(name="crd-03a-elsewhere", blocks=(AddressRange(block[0], block[-1]),)))
    places = (check.namespace, check.second_namespace)
    services = [check.service("web", namespace=place) for place in places]
    services += [
        service
        for n, how in enumerate(check.run.ways)
        for service in check.unusable(f"asks-{how}", namespace=places[1], ask=block[n], how=how)
    ]
    with judging(lambda: none_given(check, services, block)):
        pool = check.pool(2)
        check.all_assigned(*services[:2], budget="pool_applied")
        assert pool.addresses
        check.stays_pending(*services[2:])


def none_given(check: CheckContext, services: Sequence[Service], block: Sequence[IPAddress]) -> None:
    """Verify that no Service has one of some addresses."""
    there = [service for service in services if not service.gone]
    wrong = {str(service): held for service, held in check.statuses(*there).items() if set(held) & set(block)}
    assert not wrong, f"given addresses of a pool in another namespace: {words(wrong)}"


@proves("CRD-03", "b")
def test_a_namesake_elsewhere_harms_no_pool(check: CheckContext) -> None:
    """A pool in another namespace with the name of one in use is refused or flagged, and that one works as before.

    While it is there, when it is removed, and since, with other addresses than the one in use. Services keep theirs.
    Each time, an address that is released is given to a Service that waits.
    """
    pool = check.pool(4)
    block = check.run.addresses(3)
    places = (check.namespace, check.second_namespace)
    with check.room():
        holders = [check.service("web", namespace=place) for place in places]
        check.all_assigned(*holders)
    with check.unchanged(*holders):
        objects = refused_or_flagged(check, PoolSpec(name=pool.name, blocks=(AddressRange(block[0], block[-1]),)))
        more = [check.service("more", namespace=place) for place in places]
        late: list[Service] = []
        with judging(lambda: none_given(check, [*more, *late], block)):
            check.all_assigned(*more)
            late += [check.service("late", namespace=place) for place in places]
            check.stays_pending(*late)
            check.delete(more[0])
            with check.unchanged(more[1]):
                for one in objects:
                    check.cluster.discard(check.run.path_of(one))
                check.wait.eventually(
                    lambda: sum(map(bool, check.statuses(*late).values())),
                    lambda count: count == 1,
                    what="the address that was released is given to one of the two that wait",
                    budget="address_assigned",
                )
            removal_taken_up(check)
            check.delete(more[1])
            check.all_assigned(*late)


def removal_taken_up(check: CheckContext) -> None:
    """Give an implementation the time to act on the removal of a pool.

    Until it has given an address of a newer pool, where there can be one.
    """
    if check.keeps_apart():
        check.control_apart()
    else:
        check.wait_out("pool_applied")
