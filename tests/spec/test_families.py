"""Addresses of both families: their names, and their text in messages."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import pytest

from lbproof.spec.families import Family, family_of, host_port
from lbproof.text import words

V4, V6 = IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")


def test_a_family_is_named_as_in_a_service() -> None:
    """`ipFamilies` of a Service has these words."""
    assert [family.label for family in Family] == ["IPv4", "IPv6"]
    assert [family_of(V4), family_of(V6), family_of(IPv6Network("2001:db8::/64"))] == [4, 6, 6]


@pytest.mark.parametrize(("address", "text"), [(V4, "192.0.2.1:80"), (V6, "[2001:db8::1]:80")])
def test_a_port_follows_an_address_in_brackets(address: IPv4Address | IPv6Address, text: str) -> None:
    """As in a URL, since an IPv6 address has colons itself."""
    assert host_port(address, 80) == text


def test_addresses_in_a_value_become_text() -> None:
    """In lists and mappings too; what is no address stays what it is."""
    seen = {V4: [V6, 3], "held": (ip_address("192.0.2.2"), None), "nothing": set()}

    assert words(seen) == "192.0.2.1: (2001:db8::1, 3), held: (192.0.2.2, nothing), nothing: nothing"
    assert words([V4]) == "192.0.2.1"
