"""Annotation or label that names the pool of a Service's address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters import rendering
from lbproof.context import proves

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
from lbproof.context import CheckContext, Pool, Service


def says(check: CheckContext, service: Service, pool: Pool | None) -> None:
    """Wait until an annotation or label names a pool, or all are removed."""
    wanted = rendering.pool_name(check.run.adapter, pool.spec) if pool else None
    check.wait.eventually(
        lambda: check.pool_marks(service),
        lambda values: wanted in values if wanted else not any(values),
        what=f"the pool's mark on {service} names {wanted or 'no pool'}",
        budget="annotation_seen",
    )


@proves("EVT-03")
def test_the_annotation_names_the_pool(check: CheckContext, case: str) -> None:
    """The mark names the pool, follows a change of pool, and is removed with the type LoadBalancer."""
    pool = check.pool(1)
    service = check.service()
    check.assigned(service)
    says(check, service, pool)
    if case == "b":
        other = check.pool(1, auto_assign=False)
        asked: Object = {"metadata": {}, "spec": {}}
        check.run.ask(asked, str(other.addresses[0]))
        service.patch(**asked)
        check.wait.eventually(
            service.addresses,
            lambda held: held == other.addresses,
            what=f"{service} is given {other.addresses[0]} instead",
            budget="address_assigned",
        )
        says(check, service, other)
    elif case == "c":
        service.patch(spec={"type": "ClusterIP"})
        says(check, service, None)
