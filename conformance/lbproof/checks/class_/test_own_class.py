"""KEP-1959: `spec.loadBalancerClass` selects the implementation of a Service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lbproof.context import proves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, RunContext


def without_class(service: Object) -> None:
    """Remove the class that the implementation may demand on each Service."""
    service["spec"].pop("loadBalancerClass", None)


@proves("CLASS-01", "a")
def test_a_service_without_a_class_is_served(check: CheckContext) -> None:
    """A Service without a class gets an address where the implementation is the default."""
    pool = check.pool(1)

    assert check.assigned(check.service(change=without_class)) in pool.addresses


@pytest.fixture(scope="module")
def configured(run: RunContext) -> Iterator[str]:
    """Configure the only class to serve, as long as cases of this module need it."""
    with run.only_own_class() as name:
        yield name


@proves("CLASS-01", "bc")
def test_a_configured_class_is_the_only_one_served(configured: str, check: CheckContext, case: str) -> None:
    """With a configured class, a Service of that class is served, and one without a class is not touched."""
    pool = check.pool(2)
    foreign = check.service("foreign", change=without_class) if case == "c" else None

    assert check.assigned(check.service("own", loadBalancerClass=configured)) in pool.addresses
    if foreign:  # an address is free, and a newer Service has been given one
        check.stays_pending(foreign)
