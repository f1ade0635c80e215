"""The neighbour table of a host's kernel, read and changed from outside of it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest

from lbproof.witnesses import neighbours
from lbproof.witnesses.stream import ProbeError

if TYPE_CHECKING:
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

OTHER = IPv4Address("10.77.0.33")
MAC = "02:00:00:00:99:99"


@pytest.mark.parametrize("address", [OTHER, IPv6Address("fd00:77::33")], ids=str)
def test_an_entry_is_what_was_pinned_until_it_is_forgotten(client: Vantage, address: IPAddress) -> None:
    """The kernel holds the hardware address, in the state that was asked for, and then no entry."""
    before = neighbours.entry(client, address)
    neighbours.pin(client, address, MAC)
    pinned = neighbours.entry(client, address)
    neighbours.forget(client, address)

    assert before is None
    assert pinned == neighbours.Entry(mac=MAC, states=("REACHABLE",))
    assert neighbours.entry(client, address) is None


def test_what_is_not_there_can_be_forgotten(client: Vantage) -> None:
    """Forgetting twice is as good as once."""
    neighbours.forget(client, OTHER)

    assert neighbours.entry(client, OTHER) is None


def test_an_entry_is_pinned_over_another(client: Vantage) -> None:
    """The later one counts."""
    neighbours.pin(client, OTHER, MAC)
    neighbours.pin(client, OTHER, "02:00:00:00:99:98", "STALE")
    pinned = neighbours.entry(client, OTHER)
    neighbours.forget(client, OTHER)

    assert pinned == neighbours.Entry(mac="02:00:00:00:99:98", states=("STALE",))


def test_a_refusal_says_what_was_asked_where(client: Vantage) -> None:
    """The task and the vantage, and the kernel's own words where it is the kernel that refuses."""
    with pytest.raises(ProbeError, match="task neighbours at client: ValueError: non-hexadecimal"):
        neighbours.pin(client, OTHER, "nonsense")
    with pytest.raises(ProbeError, match="task neighbours at client: Invalid argument"):
        neighbours.pin(client, IPv4Address("224.0.0.1"), "02:00:00:00:99")
    with pytest.raises(ProbeError, match="no state 'fresh' of a neighbour: there are INCOMPLETE, REACHABLE"):
        neighbours.pin(client, OTHER, MAC, "fresh")
