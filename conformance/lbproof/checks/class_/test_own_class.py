"""KEP-1959: `spec.loadBalancerClass` selects the implementation of a Service."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import pytest

from lbproof.checks.class_.configured import own_class_alone
from lbproof.context import proves
from lbproof.context.classes import similar_classes, without_class
from lbproof.context.precedence import judging
from lbproof.context.unchanged import untouched
from lbproof.text import words
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Pool, RunContext, Service


@proves("CLASS-01", "a")
def test_services_without_a_class_are_served(check: CheckContext) -> None:
    """Services without a class get addresses where the implementation is the default, in every namespace.

    So do those that become LoadBalancers later, of each other type, and two that were LoadBalancers before, one of them
    created with another type.
    """
    pool = check.pool(4)
    places = (check.namespace, check.second_namespace)
    services = [check.service("web", namespace=place, change=without_class) for place in places]
    later = [check.service(f"later-{n}", change=of_type(kind)) for n, kind in enumerate(("ClusterIP", "NodePort"))]
    check.all_assigned(*services)
    for service in later:
        service.patch(spec={"type": "LoadBalancer"})

    given = check.all_assigned(*services, *later)
    assert set(given.values()) == set(pool.addresses)
    for again in (check.random.choice(services), check.random.choice(later)):
        with check.precondition("RECL-02"):
            check.leaves_type(again)
        again.patch(spec={"type": "LoadBalancer"})
        check.assigned(again)


def of_type(kind: str) -> Callable[[Object], None]:
    """Return a change of a manifest of a Service without a class to another type."""

    def change(made: Object) -> None:
        without_class(made)
        made["spec"]["type"] = kind

    return change


@pytest.fixture(scope="module")
def configured(run: RunContext) -> Iterator[str]:
    """Configure the only class to serve, as long as cases of this module need it."""
    with own_class_alone(run) as name:
        yield name


@proves("CLASS-01", "bc", together=True)
def test_a_configured_class_is_the_only_one_served(configured: str, check: CheckContext, case: str) -> None:
    """With a configured class, Services of that class are served, and those without one are not touched.

    Neither are those that ask for an address or a pool, and those of classes with names like the configured one.
    """
    pool = check.pool(6)
    alone = left_alone(check, configured, pool) if case == "c" else []

    def judge() -> None:
        told = {str(service): [event["reason"] for event in service.events_of_others()] for service in alone}
        assert not any(told.values()), f"Events about Services of others: {words(told)}"

    with judging(judge), check.unchanged(*alone, part=untouched):
        places = (check.namespace, check.second_namespace)
        first = check.service("first", loadBalancerClass=configured)
        with suppress(Violation), check.wait.tentative():  # a controller that has started again may have to be elected
            check.assigned(first, budget="restarted")
        own = [check.service("own", namespace=place, loadBalancerClass=configured) for place in places]
        with check.precondition() if case == "c" else nullcontext():
            for service, address in check.all_assigned(*own).items():
                if case == "c":
                    check.shown(service, address)
        check.stays_pending(*alone)  # addresses are free, and newer Services have been given some


def left_alone(check: CheckContext, own: str, pool: Pool) -> list[Service]:
    """Create Services without a class, some of which ask for an address or a pool, and some of similar classes."""
    free = iter(pool.addresses[::-1])
    made = [check.service("foreign-plain", namespace=check.second_namespace, change=without_class)]
    made += [
        check.service(f"foreign-asks-{how}", ask=next(free), how=how, change=without_class) for how in check.run.ways
    ]
    if check.run.claims("pool-select"):
        made.append(check.service("foreign-names", pool=pool, change=without_class))
    return made + [
        check.service(f"foreign-like-{n}", loadBalancerClass=name) for n, name in enumerate(similar_classes(own))
    ]
