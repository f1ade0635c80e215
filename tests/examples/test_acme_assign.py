"""The example of a vendor: which Service has which address."""

from __future__ import annotations

from ipaddress import IPv4Address
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme_lb.assign import ASK, Service, assign, block, read_pools, service

FIRST, SECOND, THIRD, OUTSIDE = (int(IPv4Address(f"192.0.2.{host}")) for host in (1, 2, 3, 9))
POOL = [range(FIRST, THIRD)]
"""Two addresses."""


def one(name: str, shown: int = 0, *, asked: int = 0, ours: bool = True) -> Service:
    """Make a Service; names are in the order of age."""
    return Service(name, name, f"/{name}", "1", ours, (shown,) if shown else (), asked)


def given_to(services: list[Service], blocks: list[range], *, complete: bool = True) -> dict[str, int]:
    """Return the addresses by name."""
    return {service.uid: address for service, address in assign(services, blocks, complete=complete).items()}


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("192.0.2.64/30", "192.0.2.64", "192.0.2.67"),
        ("192.0.2.10-192.0.2.19", "192.0.2.10", "192.0.2.19"),
        ("192.0.2.10 - 192.0.2.10", "192.0.2.10", "192.0.2.10"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
    ],
)
def test_a_block_is_a_network_a_range_or_an_address(text: str, first: str, last: str) -> None:
    """Both ends included."""
    addresses = block(text)

    assert (addresses[0], addresses[-1]) == (int(IPv4Address(first)), int(IPv4Address(last)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.300/28",
        "192.0.2.1/28",
        "192.0.2.9-192.0.2.1",
        "192.0.2.1-2001:db8::1",
        "2001:db8::/64",
        "0.0.0.0/0",
        "224.0.0.1",
        "127.0.0.1",
        "192.0.2.1-255.255.255.255",
    ],
)
def test_a_malformed_pool_is_named_and_the_others_are_read(text: str) -> None:
    """The line begins with the key of the pool."""
    blocks, (error,) = read_pools({"bad": text, "good": "192.0.2.1, 192.0.2.2"})

    assert [*chain(*blocks)] == [FIRST, SECOND]
    assert error.startswith("bad: ")


def test_a_service_is_read_from_the_api() -> None:
    """Type, class, families, status and annotation."""
    meta = {"name": "web", "namespace": "a", "uid": "u", "creationTimestamp": "t", "resourceVersion": "7"}
    raw: dict[str, Any] = {
        "metadata": {**meta, "annotations": {ASK: " 192.0.2.1 "}},
        "spec": {"type": "LoadBalancer", "ipFamilies": ["IPv4"]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.2"}, {"hostname": "x"}, {"ip": "2001:db8::1"}]}},
    }
    read = service(raw)

    assert read == Service("t", "u", "/api/v1/namespaces/a/services/web", "7", True, (SECOND, 0, -1), FIRST)
    assert not service({**raw, "spec": {**raw["spec"], "loadBalancerClass": "example.com/x"}}).ours
    assert not service({**raw, "spec": {"type": "LoadBalancer", "ipFamilies": ["IPv6"]}}).ours
    assert not service({**raw, "spec": {"type": "ClusterIP", "ipFamilies": ["IPv4"]}}).ours
    assert service({**raw, "metadata": {**meta, "annotations": {ASK: "nonsense"}}}).asked == -1


def test_a_status_is_adopted() -> None:
    """The holder keeps what the status says, though an older Service waits."""
    assert given_to([one("a"), one("b", FIRST)], POOL) == {"a": SECOND, "b": FIRST}


def test_who_comes_too_late_waits() -> None:
    """A full pool gives nothing more."""
    assert given_to([one("a", FIRST), one("b", SECOND), one("c")], POOL) == {"a": FIRST, "b": SECOND, "c": 0}


def test_a_request_is_met_or_nothing_is_given() -> None:
    """Free: given, before a Service that takes any. In use, outside the pools, no address: not given."""
    assert given_to([one("a"), one("b", asked=FIRST)], POOL) == {"a": SECOND, "b": FIRST}
    assert given_to([one("a", FIRST), one("b", asked=FIRST)], POOL) == {"a": FIRST, "b": 0}
    assert given_to([one("a", asked=OUTSIDE), one("b", asked=-1)], POOL) == {"a": 0, "b": 0}
    assert given_to([one("a", asked=FIRST), one("b", asked=FIRST)], POOL) == {"a": FIRST, "b": 0}


def test_a_changed_request_moves_the_service() -> None:
    """To the address asked for, or to none while that cannot be had; a request withdrawn changes nothing."""
    assert given_to([one("a", FIRST, asked=SECOND)], POOL) == {"a": SECOND}
    assert given_to([one("a", FIRST, asked=OUTSIDE)], POOL) == {"a": 0}
    assert given_to([one("a", SECOND)], POOL) == {"a": SECOND}


def test_an_address_is_given_again_only_when_no_status_shows_it() -> None:
    """It leaves one Service in this round, and goes to the next one in a later round."""
    pool = [range(FIRST, SECOND)]

    assert given_to([one("a", FIRST, asked=OUTSIDE), one("b")], pool) == {"a": 0, "b": 0}
    assert given_to([one("a", asked=OUTSIDE), one("b")], pool) == {"a": 0, "b": FIRST}


def test_an_address_of_another_controllers_service_is_taken() -> None:
    """It is neither given nor left to a Service of ours."""
    assert given_to([one("a"), one("b", FIRST, ours=False)], POOL) == {"a": SECOND}
    assert given_to([one("a", FIRST), one("b", FIRST, ours=False)], POOL) == {"a": SECOND}


def test_of_two_holders_the_older_one_keeps_the_address() -> None:
    """Whoever wrote the second status."""
    assert given_to([one("b", FIRST), one("a", FIRST)], POOL) == {"a": FIRST, "b": SECOND}


def test_an_address_that_no_pool_contains_is_taken_away() -> None:
    """Unless a pool is not known, as it may be of that one."""
    assert given_to([one("a", OUTSIDE), one("b")], [], complete=True) == {"a": 0, "b": 0}
    assert given_to([one("a", OUTSIDE), one("b")], [], complete=False) == {"a": OUTSIDE, "b": 0}
    assert given_to([one("a", OUTSIDE), one("b")], POOL, complete=False) == {"a": OUTSIDE, "b": FIRST}


_ADDRESSES = st.sampled_from([0, FIRST, SECOND, THIRD, OUTSIDE])
_SERVICES = st.lists(st.tuples(_ADDRESSES, _ADDRESSES | st.just(-1), st.booleans()), max_size=6).map(
    lambda rows: [one(f"{n}", shown, asked=asked, ours=ours) for n, (shown, asked, ours) in enumerate(rows)]
)


@given(_SERVICES, st.integers(0, 3), st.booleans())
def test_no_address_has_two_holders(services: list[Service], size: int, complete: bool) -> None:
    """And one that is newly given is of a pool, as asked for, and in no status."""
    blocks = [range(FIRST, FIRST + size)]
    decided = assign(services, blocks, complete=complete)
    held = [address for address in decided.values() if address]
    foreign = {address for service in services if not service.ours for address in service.shown}

    assert len(held) == len(set(held))
    assert not foreign & set(held)
    for holder, address in decided.items():
        if address and address not in holder.shown:
            assert address in blocks[0]
            assert holder.asked in (0, address)
            assert not any(address in other.shown for other in services)


@given(_SERVICES, st.integers(0, 3))
def test_the_result_is_stable(services: list[Service], size: int) -> None:
    """Once the statuses show what was decided, for holders nothing changes."""
    blocks = [range(FIRST, FIRST + size)]
    decided = assign(services, blocks, complete=True)
    shown = [s._replace(shown=(decided[s],) if decided[s] else ()) if s.ours else s for s in services]
    again = assign(shown, blocks, complete=True)

    assert {s.uid: a for s, a in decided.items() if a}.items() <= {s.uid: a for s, a in again.items()}.items()
