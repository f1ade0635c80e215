"""Reuse of the addresses of deleted Services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("RECL-01")
def test_a_deleted_service_gives_its_address_back(check: CheckContext, case: str) -> None:
    """The address of a deleted Service or namespace in a full pool is assigned to the next Service."""
    pool = check.pool(1)
    first = check.service("web")
    address = check.assigned(first)

    if case == "b":
        check.cluster.delete(f"/api/v1/namespaces/{check.namespace}")
        check.wait.eventually(
            lambda: check.cluster.exists(first.path),
            lambda there: not there,
            what=f"{first} is gone",
            budget="namespace_emptied",
        )
        second = check.service("after", serving=True)
    elif case == "a":
        check.delete(first)
        second = check.service("after")
    else:
        check.cluster.delete(first.path)
        second = check.service("web")

    given = check.wait.eventually(
        second.addresses, bool, what=f"{second} is given the address that {first} held", budget="reclaimed"
    )
    assert given == [address] == pool.addresses
