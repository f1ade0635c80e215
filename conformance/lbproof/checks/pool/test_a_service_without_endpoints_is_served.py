"""Assignment to Services that nothing serves yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("POOL-07")
def test_a_service_without_endpoints_is_given_an_address(check: CheckContext) -> None:
    """Services without a selector, and with one that no pod matches, get addresses; all others here have endpoints."""
    check.pool(2)

    check.all_assigned(
        check.service("unselected", endpoints=False),
        check.service("unmatched", endpoints=False, selector={"app": "of-no-pod"}),
    )
