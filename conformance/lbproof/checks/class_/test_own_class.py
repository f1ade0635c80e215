"""KEP-1959: `spec.loadBalancerClass` says whose a Service is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lbproof.proves import proves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.stage import Ground, Stage


@proves("CLASS-01", "a")
def test_a_service_without_a_class_is_served(stage: Stage, case: str) -> None:  # noqa: ARG001 - its only case
    """Where the implementation is the default, a Service that names no class is given an address."""
    pool = stage.pool(1)

    assert stage.assigned(stage.service()) in pool.addresses


@pytest.fixture(scope="module")
def configured(ground: Ground) -> Iterator[str]:
    """The one class that is served, as long as cases of this module need it."""
    with ground.adapter.with_class(ground.cluster, ground.rolled_out) as name:
        yield name


@proves("CLASS-01", "bc")
def test_a_configured_class_is_the_only_one_served(configured: str, stage: Stage, case: str) -> None:
    """With a class configured, a Service that names it is served, and one that names none is left alone."""
    pool = stage.pool(2)
    if case == "c":
        stage.stays_pending(stage.service("foreign"))
    # so there was an address to be had all the while
    assert stage.assigned(stage.service("own", loadBalancerClass=configured)) in pool.addresses
