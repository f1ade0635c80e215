"""Addresses that checks use: those of hosts and segments by family, free ones in turn, and those of a status."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.suite.acme import Acme

from lbproof.checks.l2 import test_nobody_answers_for_what_is_not_assigned as silence_checks
from lbproof.checks.pool import test_every_form_of_a_pool_fills_exactly as pool_checks
from lbproof.context import CannotShow, CheckContext, RunContext, ingress
from lbproof.context.addresses import FreeAddresses
from lbproof.context.objects import BadStatus
from lbproof.lab.base import LabError, Node, Role, Segment
from lbproof.spec.families import Family, IPAddress, IPNetwork
from lbproof.witnesses.journal import Journal

V4, V6 = IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")


def service(*ips: str) -> dict[str, Any]:
    """A Service with these IPs in its status."""
    rows = [{"ip": ip} for ip in ips] + [{"hostname": "a.name"}]
    return {"metadata": {"namespace": "here", "name": "web"}, "status": {"loadBalancer": {"ingress": rows}}}


BOTH = (IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8::/64"))


def run_in(*free: IPAddress, subnets: tuple[IPNetwork, ...] = BOTH) -> RunContext:
    """A run in a lab with these free addresses, of which nothing else is used."""
    segment = Segment(name="lan", subnets=subnets, free=free)
    other = cast("Any", None)
    lab = cast("Any", SimpleNamespace(segment=segment))
    return RunContext(lab=lab, cluster=other, adapter=Acme(), journal=Journal(None), waiter=other, programs={})


def block(first: IPAddress, count: int) -> list[IPAddress]:
    """So many addresses in a row."""
    return [first + number for number in range(count)]


def test_a_host_has_an_address_of_each_of_its_families() -> None:
    """The first is that of the primary family; a family that it lacks is told in one line."""
    both = Node(name="w01", role=Role.WORKER, addresses=(V6, V4), mac="02:00:00:00:00:01")
    one = Node(name="w02", role=Role.WORKER, addresses=(V4,), mac="02:00:00:00:00:02")

    assert (both.address, both.families) == (V6, (Family.IPV6, Family.IPV4))
    assert both.address_for(Family.IPV4) == V4
    with pytest.raises(LabError, match=r"^w02 has no IPv6 address: it has 192\.0\.2\.1$"):
        one.address_for(Family.IPV6)


def test_a_segment_has_a_subnet_of_each_of_its_families() -> None:
    """Free addresses are asked for by family, and may be none."""
    segment = Segment(name="lan", subnets=(IPv4Network("192.0.2.0/24"),), free=(V4,))

    assert segment.subnet_for(Family.IPV4) == IPv4Network("192.0.2.0/24")
    assert (segment.free_for(Family.IPV4), segment.free_for(Family.IPV6)) == ((V4,), ())
    with pytest.raises(LabError, match=r"^segment lan has no IPv6 subnet: it has 192\.0\.2\.0/24$"):
        segment.subnet_for(Family.IPV6)


def test_the_ips_of_a_status_are_addresses() -> None:
    """Of both families; names are passed over."""
    assert ingress(service("192.0.2.1", "2001:db8::1")) == [V4, V6]
    assert ingress({"metadata": {}}) == []


def test_an_ip_that_is_no_address_is_the_implementation_s_fault() -> None:
    """One line, with the Service and the IP; Kubernetes lets some of them through."""
    with pytest.raises(BadStatus, match=r"^the status of here/web has an IP that is none: .*'192\.0\.2\.010'") as seen:
        ingress(service("192.0.2.010"))

    assert isinstance(seen.value, AssertionError)
    assert "\n" not in str(seen.value)


def test_free_addresses_are_used_in_turn() -> None:
    """Each call goes on after the one before, and begins anew where no block is left at the end; families apart."""
    run = run_in(*block(V4, 5), *block(V6, 3))

    assert run.addresses(2) == block(V4, 2)
    assert run.addresses(2) == block(V4 + 2, 2)
    assert run.addresses(2) == block(V4, 2)
    assert run.addresses(2, Family.IPV6) == block(V6, 2)
    assert run.addresses(3) == block(V4 + 2, 3)
    assert run.addresses(1) == [V4]


def test_a_block_is_consecutive() -> None:
    """Addresses on both sides of a gap are none."""
    run = run_in(*block(V4, 2), *block(V4 + 10, 3))

    assert run.addresses(3) == block(V4 + 10, 3)
    with pytest.raises(CannotShow, match="4 of IPv4 in a row wanted, 5 on 192"):
        run.addresses(4)
    with pytest.raises(CannotShow, match="1 of IPv6 in a row wanted, 0 on"):
        run.addresses(1, Family.IPV6)


def test_a_reserved_block_is_given_to_nobody_else() -> None:
    """As long as it is reserved."""
    run = run_in(*block(V4, 4))
    with run.reserved(block(V4, 2)):
        assert run.addresses(2) == block(V4 + 2, 2)
        with pytest.raises(CannotShow, match="3 of IPv4 in a row wanted"):
            run.addresses(3)

    assert run.addresses(3) == block(V4, 3)
    with (
        pytest.raises(CannotShow, match=r"192\.0\.2\.4 to 192\.0\.2\.5 are not all free on 192"),
        run.reserved(block(V4 + 3, 2)),
    ):
        pass


def test_what_a_lab_lacks_cannot_be_shown() -> None:
    """Neither a check of another family, nor a pool of a network that is elsewhere."""
    run = run_in(*block(V6, 20), subnets=(IPv6Network("2001:db8::/64"),))
    with pytest.raises(CannotShow, match=r"free address block: IPv4 wanted, the lab has IPv6 alone$"):
        CheckContext(run, "POOL-03a", families=(Family.IPV4,), capture=False)

    with pytest.raises(CannotShow, match=r"free address block: IPv4 wanted, the lab has IPv6 alone$"):
        pool_checks.test_the_ends_of_a_network_are_given_as_declared(CheckContext(run, "POOL-03e", capture=False))


def test_addresses_are_of_the_family_that_is_judged() -> None:
    """Of the lab's first one where the family makes no difference."""
    run = run_in(*block(V4, 4), *block(V6, 4))

    assert CheckContext(run, "POOL-01-IPv6", families=(Family.IPV6,), capture=False).family is Family.IPV6
    assert run.addresses(2) == block(V6, 2)
    assert CheckContext(run, "CLASS-01a", capture=False).family is Family.IPV4
    assert run.addresses(2) == block(V4, 2)


def test_a_block_of_zero_addresses_is_empty() -> None:
    """Also in a segment without free addresses: checks take one for each way to ask, and there may be no way."""
    for free in ((), (V4,)):
        segment = Segment(name="lan", subnets=(IPv4Network("192.0.2.0/24"),), free=free)
        assert FreeAddresses().take(segment, 0, Family.IPV4) == []


def test_without_a_way_to_ask_no_restricted_pool_is_created() -> None:
    """L2-04b asks for addresses of a pool for other namespaces, where an implementation claims both."""
    check = SimpleNamespace(run=SimpleNamespace(claims=lambda _: True, ways=[]))  # has no pool()

    assert silence_checks.ask_for_restricted(cast("CheckContext", check)) == {}
