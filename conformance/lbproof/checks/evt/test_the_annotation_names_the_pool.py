"""Which pool an address is of can be read from the Service, for as long as it holds one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters.base import Ask
from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.stage import Pool, Service, Stage


def says(stage: Stage, service: Service, pool: Pool | None) -> None:
    """Wait until the annotation names a pool, or is gone."""
    wanted = pool.name if pool else None
    stage.wait.settles(
        lambda: [service.annotations().get(name) for name in stage.ground.adapter.words.pool_annotations],
        lambda values: wanted in values if wanted else not any(values),
        what=f"the annotation of {service} names {wanted or 'no pool'}",
        budget="annotation_seen",
    )


@proves("EVT-03")
def test_the_annotation_names_the_pool(stage: Stage, case: str) -> None:
    """It names the pool, follows to another, and goes when the Service is no longer a LoadBalancer."""
    pool, other = stage.pool(1), stage.pool(1, automatic=False)
    service = stage.service()
    stage.assigned(service)
    says(stage, service, pool)
    if case == "b":
        asked: Object = {"metadata": {"annotations": {}}, "spec": {}}
        stage.ground.adapter.ask(asked, other.addresses[0], Ask.ANNOTATION)
        service.patch(**asked)
        stage.wait.settles(
            service.addresses,
            lambda held: held == other.addresses,
            what=f"{service} is given {other.addresses[0]} instead",
            budget="address_assigned",
        )
        says(stage, service, other)
    elif case == "c":
        service.patch(spec={"type": "ClusterIP"})
        says(stage, service, None)
