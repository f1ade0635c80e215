"""The neighbour table of a host's kernel, read and changed from outside of it."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from lbproof.witnesses import neighbours

if TYPE_CHECKING:
    from lbproof.witnesses.vantage import Vantage

OTHER = IPv4Address("10.77.0.33")
MAC = "02:00:00:00:99:99"


def test_an_entry_is_what_was_pinned_until_it_is_forgotten(client: Vantage) -> None:
    """The kernel holds the hardware address, in the state that was asked for, and then no entry."""
    before = neighbours.entry(client, OTHER)
    neighbours.pin(client, OTHER, MAC)
    pinned = neighbours.entry(client, OTHER)
    neighbours.forget(client, OTHER)

    assert before is None
    assert pinned == neighbours.Entry(mac=MAC, states=("REACHABLE",))
    assert neighbours.entry(client, OTHER) is None


def test_what_is_not_there_can_be_forgotten(client: Vantage) -> None:
    """Forgetting twice is as good as once."""
    neighbours.forget(client, OTHER)

    assert neighbours.entry(client, OTHER) is None


def test_an_entry_is_pinned_over_another(client: Vantage) -> None:
    """The later one counts."""
    neighbours.pin(client, OTHER, MAC)
    neighbours.pin(client, OTHER, "02:00:00:00:99:98", "stale")
    pinned = neighbours.entry(client, OTHER)
    neighbours.forget(client, OTHER)

    assert pinned == neighbours.Entry(mac="02:00:00:00:99:98", states=("STALE",))


def test_a_refusal_says_what_was_asked_where(client: Vantage) -> None:
    """The kernel's own words, behind the command and the vantage."""
    with pytest.raises(OSError, match=r"ip neigh replace 10\.77\.0\.33 lladdr nonsense .* at client: "):
        neighbours.pin(client, OTHER, "nonsense")
