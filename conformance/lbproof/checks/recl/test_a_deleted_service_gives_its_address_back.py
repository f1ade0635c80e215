"""An address outlives the Service that held it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.proves import proves

if TYPE_CHECKING:
    from lbproof.stage import Stage


@proves("RECL-01")
def test_a_deleted_service_gives_its_address_back(stage: Stage, case: str) -> None:
    """Of a full pool, what a deleted Service or namespace held is given to who comes after it."""
    pool = stage.pool(1)
    first = stage.service("web")
    address = stage.assigned(first)

    if case == "b":
        stage.cluster.delete(f"/api/v1/namespaces/{stage.namespace}")
        stage.wait.settles(
            lambda: stage.cluster.exists(first.path),
            lambda there: not there,
            what=f"{first} is gone",
            budget="namespace_emptied",
        )
        second = stage.service("after", serving=True)
    elif case == "a":
        stage.delete(first)
        second = stage.service("after")
    else:
        stage.cluster.delete(first.path)
        second = stage.service("web")

    given = stage.wait.settles(
        second.addresses, bool, what=f"{second} is given the address that {first} held", budget="reclaimed"
    )
    assert given == [address] == pool.addresses
