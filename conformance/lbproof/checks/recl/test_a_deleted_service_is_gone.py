"""Finalizers of an implementation: what it has to clean up, and that it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.context.draws import types_to_leave_for
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Service


def finalizers(service: Service) -> list[str]:
    """Return the finalizers of a Service."""
    found: list[str] = service.read()["metadata"].get("finalizers", [])
    return found


@proves("RECL-05", "a")
def test_a_deleted_service_is_gone_in_time(check: CheckContext) -> None:
    """Services that are deleted go: with an address, while they wait, when they are new, and all of a namespace.

    Those that are no LoadBalancers any more have no finalizer but those of their author.
    """
    check.pool(5)
    places = (check.namespace, check.second_namespace)
    services = [check.service(f"web-{n // 2}", namespace=places[n % 2]) for n in range(5)]
    check.all_assigned(*services)
    waiting = check.service("waits")
    other = check.service("late", namespace=check.second_namespace)
    retyped, leaving = services[:2], services[2:]
    for service, kind in zip(retyped, types_to_leave_for(check.random), strict=False):
        check.retype(service, kind)
    for service in retyped:
        check.wait.eventually(
            lambda service=service: finalizers(service),  # type: ignore[misc]
            lambda found: not found,
            what=f"{service}, which is no LoadBalancer any more, has no finalizer",
            budget="reclaimed",
        )
    new = check.service("new")
    check.delete_all(waiting, *leaving[1:], new, *retyped)
    place = check.new_namespace()
    last = [check.service(f"last-{n}", namespace=place) for n in range(2)]
    check.cluster.delete(f"/api/v1/namespaces/{place}")
    for service in last:
        check.wait.eventually(
            lambda path=service.path: check.cluster.exists(path),  # type: ignore[misc]
            lambda there: not there,
            what=f"{service} is gone with its namespace",
            budget="namespace_emptied",
        )
    check.delete_all(other, leaving[0])


@proves("RECL-05", "b")
def test_what_has_an_address_has_a_finalizer(check: CheckContext) -> None:
    """Services that have addresses have a finalizer, so that nothing is left of them when they are deleted."""
    check.pool(2)
    services = [check.service("web", namespace=place) for place in (check.namespace, check.second_namespace)]
    check.all_assigned(*services)
    without = [str(service) for service in services if not finalizers(service)]
    assert not without, f"{words(without)} have an address and no finalizer"
    check.delete_all(*services)
