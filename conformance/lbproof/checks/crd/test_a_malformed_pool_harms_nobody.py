"""Isolation of a malformed pool from other pools."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from lbproof.adapters import rendering
from lbproof.adapters.base import AddressRange
from lbproof.context import proves
from lbproof.text import words
from lbproof.witnesses.kube import ApiError

if TYPE_CHECKING:
    from lbproof.adapters.base import Block
    from lbproof.context import CheckContext

MALFORMED: dict[str, Block] = {
    "a": "192.168.172.300/28",
    "b": AddressRange(IPv4Address("192.168.172.239"), IPv4Address("192.168.172.230")),
    "c": AddressRange(IPv4Address("192.168.172.230"), IPv6Address("2001:db8::1")),
}


@proves("CRD-01")
def test_a_malformed_pool_harms_nobody(check: CheckContext, case: str) -> None:
    """A malformed pool is rejected by the API or flagged on the object; other pools and addresses still work."""
    check.pool(2)
    holder = check.service("holder")
    held = check.assigned(holder)

    refusal = None
    try:
        bad = check.pool([MALFORMED[case]])
    except ApiError as error:
        refusal = error
    if refusal:
        check.saw("api", f"a pool of {MALFORMED[case]} is refused", refusal.message)
    else:
        said = check.wait.eventually(
            lambda: rendering.pool_error(check.run.adapter, check.cluster, bad.spec),
            bool,
            what=f"something is said about the pool of {MALFORMED[case]}",
            budget="pool_applied",
            show=lambda said: said or "nothing",
        )
        check.saw("api", f"a pool of {MALFORMED[case]} is flagged", said)

    assert check.assigned(check.service("after")) != held
    assert holder.addresses() == [held], f"{holder} held {held} and now holds {words(holder.addresses())}"
