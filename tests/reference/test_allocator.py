"""Pools and the allocator, as properties over any sequence of requests."""

from __future__ import annotations

import ipaddress
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbproof_reference.controller.allocate import (
    AddressRequest,
    Allocation,
    AllocationError,
    Allocator,
    read_address_request,
)
from lbproof_reference.pools import IP, AddressRange, BadPoolError, Pool, parse_pools, parse_range
from lbproof_reference.services import shown_ips

if TYPE_CHECKING:
    from types import FrameType

BASE = int(ipaddress.ip_address("10.0.0.0"))
KEYS = st.sampled_from([f"ns/s{number}" for number in range(12)])
OFFSETS = st.integers(0, 12)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("grant"), KEYS, st.none() | OFFSETS),
        st.tuples(st.just("release"), KEYS, st.none()),
        st.tuples(st.just("pools"), st.just(""), OFFSETS),
    ),
    max_size=60,
)


def pool(first: int, last: int, name: str = "p", **more: Any) -> Pool:  # noqa: ANN401 - its fields
    """Return a pool of 10.0.0.<first> to 10.0.0.<last>."""
    return Pool(name=name, ranges=(AddressRange(family=4, first=BASE + first, last=BASE + last),), **more)


def ip(offset: int) -> ipaddress.IPv4Address:
    """Return 10.0.0.<offset>."""
    return ipaddress.IPv4Address(BASE + offset)


def addresses(allocator: Allocator) -> dict[str, IP]:
    """Return the current address of each Service."""
    return {key: one.ip for key in allocator.allocations() if (one := allocator.allocation_of(key))}


def release_left(allocator: Allocator, key: str) -> list[IP]:
    """Release the former addresses of a Service."""
    one = allocator.allocation_of(key)
    return allocator.release(key, {one.ip} if one else ())


def made(name: str, *addresses: str, at: str = "1", **spec: bool) -> dict[str, object]:
    """Return an IPAddressPool as the API server returns it."""
    return {"metadata": {"name": name, "creationTimestamp": at}, "spec": {"addresses": list(addresses), **spec}}


@given(STEPS)
def test_no_address_has_two_holders_and_nobody_is_moved(
    steps: list[tuple[str, str, int | None]],
) -> None:
    """A Service keeps its address, which no other one gets, through requests of others and changes of pools."""
    allocator = Allocator([pool(0, 7)])
    for what, key, offset in steps:
        before, holder = addresses(allocator), dict(allocator.holder)
        if what == "pools":
            allocator.set_pools([pool(0, offset or 0)])
        elif what == "release":
            allocator.release(key)
        else:
            request = AddressRequest(key=key, requested_ip=None if offset is None else ip(offset))
            try:
                allocator.allocate(request)
            except AllocationError:
                assert addresses(allocator) == before

        holds = addresses(allocator)
        assert len(set(holds.values())) == len(holds)
        assert all(allocator.holder[held] == service for service, held in holds.items())
        assert all(allocator.holder[left] == service for left, service in holder.items() if service != key)
        release_left(allocator, key)
        assert allocator.holder == {held: service for service, held in addresses(allocator).items()}
        assert {k: v for k, v in holds.items() if k != key} == {k: v for k, v in before.items() if k != key}


@given(STEPS)
def test_a_refusal_means_that_the_pool_is_full(steps: list[tuple[str, str, int | None]]) -> None:
    """After any history, automatic requests get every free address before one fails."""
    allocator = Allocator([pool(0, 7)])
    for what, key, offset in steps:
        try:
            if what == "release":
                allocator.release(key)
            elif what == "grant":
                allocator.allocate(AddressRequest(key=key, requested_ip=None if offset is None else ip(offset)))
        except AllocationError:
            continue
    free = {ip(offset) for offset in range(8)} - set(allocator.holder)

    got = [allocator.allocate(AddressRequest(key=f"new/{number}")).ip for number in range(len(free))]

    assert got == sorted(free)
    with pytest.raises(AllocationError, match="no available IPs"):
        allocator.allocate(AddressRequest(key="new/one-more"))


def test_a_status_is_kept_in_no_pool_and_the_older_of_two_keeps_it() -> None:
    """An address outside all pools can be assigned to one Service, and only to one."""
    allocator = Allocator([pool(0, 1)])

    assert allocator.assign("ns/old", ip(200))
    assert not allocator.assign("ns/young", ip(200))
    assert allocator.allocate(AddressRequest(key="ns/old")).ip == ip(200)
    assert allocator.allocate(AddressRequest(key="ns/old")).pool == ""
    allocator.set_pools([pool(200, 201, "later")])
    assert allocator.allocate(AddressRequest(key="ns/old")).pool == "later"
    allocator.set_pools([])
    assert allocator.allocate(AddressRequest(key="ns/old")).pool == "later"


def test_a_named_pool_moves_a_service_and_manual_pools_serve_only_by_name() -> None:
    """A pool with `autoAssign: false` serves only by name; a Service that names it later moves there."""
    allocator = Allocator([pool(0, 1, "auto"), pool(10, 11, "manual", auto_assign=False)])
    assert [allocator.allocate(AddressRequest(key=key)).ip for key in "ab"] == [ip(0), ip(1)]
    with pytest.raises(AllocationError):
        allocator.allocate(AddressRequest(key="c"))

    assert allocator.allocate(AddressRequest(key="a", pool="manual")).ip == ip(10)
    release_left(allocator, "a")
    assert allocator.allocate(AddressRequest(key="c")).ip == ip(0)


@pytest.mark.parametrize("requested", [None, 0])
@pytest.mark.parametrize("now", [[pool(10, 11, "p")], [pool(0, 1, "p", avoid_buggy=True)], []])
def test_a_service_that_names_its_pool_keeps_its_address(now: list[Pool], requested: int | None) -> None:
    """A Service that requests a pool by name keeps its address when the pool's addresses change or the pool is gone."""
    allocator = Allocator([pool(0, 1, "p")])
    request = AddressRequest(key="a", pool="p", requested_ip=None if requested is None else ip(requested))
    assert allocator.allocate(request).ip == ip(0)
    allocator.set_pools(now)

    assert allocator.allocate(request) == Allocation(ip=ip(0), pool="p")


def test_a_service_that_names_a_pool_leaves_an_address_that_another_pool_has() -> None:
    """A Service whose address is in another pool than the one that it names moves, as after a change of the name."""
    allocator = Allocator([pool(0, 1, "p")])
    allocator.allocate(AddressRequest(key="a", pool="p"))
    allocator.set_pools([pool(10, 11, "p"), pool(0, 1, "q")])

    assert allocator.allocations()["a"][0].pool == "q"
    assert allocator.allocate(AddressRequest(key="a", pool="p")).ip == ip(10)


@pytest.mark.parametrize("text", ["FD00::A", "fd00:0::a"])
def test_addresses_of_a_status_are_compared_as_addresses(text: str) -> None:
    """An address in a status counts however it is written; one that cannot be read does not."""
    entries = [{"ip": text}, {"ip": "10.0.0.010"}, {"hostname": "a"}]

    assert shown_ips({"status": {"loadBalancer": {"ingress": entries}}}) == {ipaddress.ip_address("fd00::a")}


def test_an_address_that_was_left_is_free_only_when_said() -> None:
    """A former address is reserved for its Service, which may return to it, until the caller releases it."""
    allocator = Allocator([pool(0, 1)])
    allocator.allocate(AddressRequest(key="a"))
    for offset in (1, 0, 1):
        assert allocator.allocate(AddressRequest(key="a", requested_ip=ip(offset))).ip == ip(offset)
        with pytest.raises(AllocationError, match="no available IPs"):
            allocator.allocate(AddressRequest(key="b"))

    assert release_left(allocator, "a") == [ip(0)]
    assert not release_left(allocator, "a")
    assert allocator.allocate(AddressRequest(key="b")).ip == ip(0)
    assert allocator.release("a") == [ip(1)]
    assert allocator.holder == {ip(0): "b"}


def test_a_former_address_that_is_kept_is_current_again() -> None:
    """Without its current address a Service has the former one that is kept."""
    allocator = Allocator([pool(0, 1)])
    for offset in (0, 1):
        allocator.allocate(AddressRequest(key="a", requested_ip=ip(offset)))

    assert allocator.release("a", {ip(0), ip(9)}) == [ip(1)]
    assert (addresses(allocator), allocator.holder) == ({"a": ip(0)}, {ip(0): "a"})


def test_an_address_of_a_node_is_not_assigned() -> None:
    """An address of a node is neither assigned nor kept, on request or not, and assigned again without the node."""
    pools = [pool(0, 2)]
    allocator = Allocator(pools)
    assert allocator.allocate(AddressRequest(key="a")).ip == ip(0)
    allocator.set_pools(pools, of_nodes=[ip(0), ip(1)])

    assert allocator.allocate(AddressRequest(key="a")).ip == ip(2)
    with pytest.raises(AllocationError, match="address of a node"):
        allocator.allocate(AddressRequest(key="b", requested_ip=ip(1)))
    with pytest.raises(AllocationError, match="no available IPs"):
        allocator.allocate(AddressRequest(key="b"))
    allocator.set_pools(pools)
    assert allocator.allocate(AddressRequest(key="b")).ip == ip(1)


def test_a_service_of_the_other_family_is_refused() -> None:
    """An IPv6 request to an IPv4 pool fails with a reason that names the family."""
    with pytest.raises(AllocationError, match="IPv6"):
        Allocator([pool(0, 1)]).allocate(AddressRequest(key="a", family=6))


def test_work_per_address_does_not_grow_with_the_pool() -> None:
    """An address among 16,384 takes less than twice the executed lines of one among 1,024."""

    def lines_per_address(count: int) -> float:
        allocator = Allocator([pool(0, 65535)])
        requests = [AddressRequest(key=str(number)) for number in range(count)]
        lines = 0

        def count_lines(_frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401 - as sys.settrace has it
            nonlocal lines
            lines += event == "line"
            return count_lines

        before = sys.gettrace()
        sys.settrace(count_lines)
        try:
            for request in requests:
                allocator.allocate(request)
        finally:
            sys.settrace(before)
        return lines / count

    assert lines_per_address(16384) < 2 * lines_per_address(1024)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ten", "not a CIDR"),
        ("10.0.0.1", "not a CIDR"),
        ("10.0.0.0/33", "not a CIDR"),
        ("10.0.0.9-10.0.0.1", "reversed"),
        ("10.0.0.1-fd00::1", "mixes"),
        ("10.0.0.1-", "not a CIDR"),
        ("fd00::1", "not a CIDR"),
        ("fd00::1%eth0-fd00::2", "not a CIDR"),
        ("10.0.0.1,10.0.0.2", "not a CIDR"),
        ("10.0.0.0/255.255.255.0", "not a CIDR"),
        ("10.0.0.0/0.0.0.255", "not a CIDR"),
        ("10.0.0.0/024", "not a CIDR"),
        ("10.0.0.0/", "not a CIDR"),
        ("0.0.0.0/30", "unspecified"),
        ("0.0.0.0/0", "unspecified"),
        ("126.0.0.0-128.0.0.0", "loopback"),
        ("169.254.0.0/30", "link-local"),
        ("224.0.0.0/30", "multicast"),
        ("255.255.255.255/32", "limited broadcast"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fe80::/64", "link-local"),
        ("ff02::1-ff02::2", "multicast"),
        ("::ffff:192.168.172.170/127", "written as IPv4"),
        ("x" * 100_000, "of 100000 characters"),
    ],
)
def test_a_bad_block_says_what_is_wrong(text: str, why: str) -> None:
    """The error of an invalid range names the problem in a few words, and advises nothing that is refused too."""
    with pytest.raises(BadPoolError, match=re.escape(why)) as raised:
        parse_range(text)

    assert len(str(raised.value)) < 400
    for example in re.findall(r"such as (\S+), (\S+) or (\S+)", str(raised.value)):
        for form in example:
            parse_range(form)


@pytest.mark.parametrize("text", ["10.0.0.0/24", " 10.0.0.9/24 ", "10.0.0.1 - 10.0.0.9", "fd00::/64", "240.0.0.0/30"])
def test_a_good_block_is_taken(text: str) -> None:
    """A CIDR and a range are valid, with spaces around their parts and with host bits."""
    address_range = parse_range(text)

    assert address_range.first < address_range.last


def test_the_younger_of_two_that_overlap_is_bad() -> None:
    """The younger of two overlapping pools is invalid; the older and unrelated ones are valid."""
    good, bad = parse_pools(
        [
            made("young", "10.0.0.8-10.0.0.20", at="2"),
            made("old", "10.0.0.0/28"),
            made("other", "fd00::/120", "10.9.0.0/30", at="3"),
            made("self", "10.7.0.0/24", "10.7.0.9/32", at="4"),
            made("none", at="5"),
        ]
    )

    assert [p.name for p in good] == ["old", "other"]
    assert "of pool 'old'" in bad["young"]
    assert "of pool 'self'" in bad["self"]
    assert "no addresses" in bad["none"]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=8))
def test_good_pools_never_share_an_address(spans: list[tuple[int, int]]) -> None:
    """Every address is in at most one valid pool, and every pool is either valid or invalid."""
    objects = [
        made(f"p{number}", f"{ip(start)}-{ip(start + length)}", at=str(number))
        for number, (start, length) in enumerate(spans)
    ]
    good, bad = parse_pools(objects)
    numbers = [
        n for p in good for address_range in p.ranges for n in range(address_range.first, address_range.last + 1)
    ]

    assert len(numbers) == len(set(numbers))
    assert {p.name for p in good} | set(bad) == {f"p{number}" for number in range(len(spans))}


def test_buggy_addresses_are_left_out() -> None:
    """With `avoidBuggyIPs`, .0 and .255 are not assigned, even on request."""
    allocator = Allocator([pool(254, 257, avoid_buggy=True)])

    assert [str(allocator.allocate(AddressRequest(key=key)).ip) for key in "ab"] == ["10.0.0.254", "10.0.1.1"]
    with pytest.raises(AllocationError):
        allocator.allocate(AddressRequest(key="c", requested_ip=ipaddress.ip_address("10.0.1.0")))


@pytest.mark.parametrize("text", ["fd00::1%eth0", "fe80::1%1", "fd00::1%"])
def test_an_address_with_a_zone_is_no_request(text: str) -> None:
    """A zone would make one address two, so a request with one is refused."""
    service = {"metadata": {}, "spec": {"loadBalancerIP": text, "ipFamilies": ["IPv6"]}}

    with pytest.raises(AllocationError, match="not an IP address"):
        read_address_request("a", service)


def test_addresses_that_come_and_go_leave_one_entry_each() -> None:
    """Requesting and releasing an address again and again does not make the free list grow."""
    allocator = Allocator([pool(0, 7)])
    for key in "ab":
        allocator.allocate(AddressRequest(key=key))
    allocator.release("a")
    for _ in range(9):
        allocator.allocate(AddressRequest(key="c", requested_ip=ip(0)))
        allocator.release("c")

    free_list = allocator._free_lists["p", 4]  # noqa: SLF001 - its size shows in no result
    assert len(free_list._returned) == 1  # noqa: SLF001


def test_contradicting_requests_are_no_wish() -> None:
    """A field and an annotation that disagree fail; equal ones are one request."""
    both = {
        "metadata": {"annotations": {"metallb.universe.tf/loadBalancerIPs": "10.0.0.2"}},
        "spec": {"loadBalancerIP": "10.0.0.2"},
    }

    assert read_address_request("a", both).requested_ip == ip(2)
    both["spec"] = {"loadBalancerIP": "10.0.0.3"}
    with pytest.raises(AllocationError, match="disagree"):
        read_address_request("a", both)
