"""Why nobody announces an address, as the controller reports it."""

from __future__ import annotations

from typing import Any

import pytest

from lbproof_reference.advertisements import Advertisement, why_unannounced

FRONT = {"matchLabels": {"tier": "front"}}


@pytest.mark.parametrize(
    ("specs", "nodes", "why"),
    [
        ([{}], [{}], None),
        ([{}], None, None),
        ([], [{}], "no L2Advertisement selects the pool"),
        ([{"ipAddressPools": ["other"]}], [{}], "no L2Advertisement selects the pool"),
        ([{"ipAddressPoolSelectors": [FRONT]}], [{}], None),
        ([{"serviceSelectors": [FRONT]}], [{}], "no L2Advertisement of the pool selects the Service"),
        ([{"serviceSelectors": [FRONT]}, {}], [{}], None),
        ([{"nodeSelectors": [FRONT]}], [{}, {"tier": "front"}], None),
        ([{"nodeSelectors": [FRONT]}], [{}, {"tier": "back"}], "no L2Advertisement of the pool selects a node"),
        ([{}], [], "no L2Advertisement of the pool selects a node"),
        ([{"nodeSelectors": [FRONT]}, {"serviceSelectors": [FRONT]}], [{}], "selects a node"),
    ],
)
def test_the_reason_names_what_selects_nothing(
    specs: list[dict[str, Any]], nodes: list[dict[str, str]] | None, why: str | None
) -> None:
    """Pool, Service and node are each named; without a known node nothing is said about nodes."""
    found = [Advertisement({"spec": spec}) for spec in specs]

    said = why_unannounced(found, ("web", {"tier": "front"}), {}, nodes)

    assert said is None if why is None else why in (said or "")
