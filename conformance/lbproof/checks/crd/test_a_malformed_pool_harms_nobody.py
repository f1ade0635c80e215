"""A typing error in one pool is that pool's own affair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.observe.kube import ApiError
from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.stage import Stage

MALFORMED = {
    "a": "192.168.172.300/28",
    "b": "192.168.172.239-192.168.172.230",
    "c": "192.168.172.230-2001:db8::1",
}
REFUSED = range(400, 500)


@proves("CRD-01")
def test_a_malformed_pool_harms_nobody(stage: Stage, case: str) -> None:
    """It is refused by the API or flagged on the object; an assigned address stays, and another pool still gives."""
    stage.pool(2)
    holder = stage.service("holder")
    held = stage.assigned(holder)

    refusal = None
    try:
        bad = stage.pool([MALFORMED[case]])
    except ApiError as error:
        refusal = error
    if refusal:
        stage.saw("api", f"a pool of {MALFORMED[case]} is refused", refusal.message)
        assert refusal.status in REFUSED, f"the API server broke on the pool: {refusal}"
    else:
        said = stage.wait.settles(
            lambda: stage.ground.adapter.flagged(stage.cluster, bad.name),
            bool,
            what=f"something is said about the pool of {MALFORMED[case]}",
            budget="pool_applied",
            show=lambda said: said or "nothing",
        )
        stage.saw("api", f"a pool of {MALFORMED[case]} is flagged", said)

    assert stage.assigned(stage.service("after")) != held
    assert holder.addresses() == [held], f"{holder} held {held} and now holds {holder.addresses()}"
