"""KEP-1959: `spec.loadBalancerClass` says whose a Service is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lbproof.context import proves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.context import CheckContext, RunContext


@proves("CLASS-01", "a")
def test_a_service_without_a_class_is_served(check: CheckContext) -> None:
    """Where the implementation is the default, a Service that names no class is given an address."""
    pool = check.pool(1)

    assert check.assigned(check.service()) in pool.addresses


@pytest.fixture(scope="module")
def configured(run: RunContext) -> Iterator[str]:
    """The one class that is served, as long as cases of this module need it."""
    with run.adapter.with_class(run.cluster, run.rolled_out) as name:
        yield name


@proves("CLASS-01", "bc")
def test_a_configured_class_is_the_only_one_served(configured: str, check: CheckContext, case: str) -> None:
    """With a class configured, a Service that names it is served, and one that names none is left alone."""
    pool = check.pool(2)
    if case == "c":
        check.stays_pending(check.service("foreign"))
    # so there was an address to be had all the while
    assert check.assigned(check.service("own", loadBalancerClass=configured)) in pool.addresses
