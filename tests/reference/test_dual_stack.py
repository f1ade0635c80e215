"""Services of IPv6 and of both families: what the allocator decides, and what the controller writes (KEP-563)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.controlled import POOLS, controlled, events, pool, service, shown
from tests.reference.fake_api import FakeApi
from tests.reference.polling import stays, until

from lbproof_reference.controller.allocate import AllocationError, Allocator, read_address_request
from lbproof_reference.kube import SERVICES
from lbproof_reference.pools import parse_ip, parse_pools
from lbproof_reference.reading import SkipLog
from lbproof_reference.retained import RECORD, Retained, parse_record
from lbproof_reference.services import ALLOCATED, FROM_POOL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

V4, V6 = "IPv4", "IPv6"
BOTH = [V4, V6]
REQUIRED: dict[str, Any] = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": BOTH}
PREFERRED: dict[str, Any] = {"ipFamilyPolicy": "PreferDualStack", "ipFamilies": BOTH}
SINGLE: dict[str, Any] = {"ipFamilyPolicy": "SingleStack"}


def allocator(*pools: dict[str, Any]) -> Allocator:
    """Return an allocator with these pools, which are valid."""
    good, bad = parse_pools([{**one, "metadata": {**one["metadata"], "creationTimestamp": ""}} for one in pools])
    assert not bad
    return Allocator(good)


def give(made: Allocator, name: str, **spec: Any) -> list[str]:  # noqa: ANN401 - fields of a ServiceSpec
    """Allocate for a Service; return its addresses."""
    request = read_address_request(name, asks(name, **spec))
    return [str(one.ip) for one in made.allocate_all(request)]


def asks(name: str, ips: str | None = None, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - likewise
    """Return a Service that requests these addresses by annotation."""
    made = service(name, **spec)
    made["metadata"]["annotations"] = {"metallb.io/loadBalancerIPs": ips} if ips else {}
    return made


@pytest.mark.parametrize(
    ("pools", "families", "addresses"),
    [
        (["10.0.0.1/32", "fd00::1/128"], BOTH, ["10.0.0.1", "fd00::1"]),
        (["10.0.0.1/32", "fd00::1/128"], [V6, V4], ["fd00::1", "10.0.0.1"]),
        (["10.0.0.1/32", "fd00::1/128"], [V6], ["fd00::1"]),
        (["10.0.0.1/32", "fd00::1/128"], None, ["10.0.0.1"]),
        (["fd00:0:0:00ab::1/128"], [V6], ["fd00:0:0:ab::1"]),
    ],
)
def test_addresses_are_given_in_the_order_of_the_families(
    pools: list[str], families: list[str] | None, addresses: list[str]
) -> None:
    """A Service gets one address of each of its families, the primary one first, in canonical form (RFC 5952)."""
    policy = "RequireDualStack" if families and len(families) > 1 else "SingleStack"
    made = allocator(pool("web", *pools))

    assert give(made, "a", ipFamilyPolicy=policy, **({"ipFamilies": families} if families else {})) == addresses


def test_both_are_required_or_none_is_given() -> None:
    """RequireDualStack takes nothing while a family has no address, and names it; what was tried is free."""
    made = allocator(pool("web", "10.0.0.1/32"))

    with pytest.raises(AllocationError, match=r"^no available IPs: no free IPv6 address in pools: web$"):
        give(made, "a", **REQUIRED)
    assert made.holder == {}
    assert give(made, "b", **SINGLE) == ["10.0.0.1"]


def test_the_second_family_comes_later_and_changes_nothing() -> None:
    """PreferDualStack takes the family that has an address, and the other one when there is one."""
    made = allocator(pool("web", "10.0.0.1-10.0.0.2"))
    assert give(made, "a", **PREFERRED) == ["10.0.0.1"]
    made.set_pools(allocator(pool("web", "10.0.0.0-10.0.0.2", "fd00::1/128"))._pools.values())  # noqa: SLF001 - parsed

    assert give(made, "a", **PREFERRED) == ["10.0.0.1", "fd00::1"]
    assert give(made, "b", **PREFERRED) == ["10.0.0.0"]
    with pytest.raises(AllocationError, match=r"IPv4 .*IPv6 "):
        give(allocator(), "c", **PREFERRED)


def test_the_primary_family_may_be_the_one_that_comes_later() -> None:
    """PreferDualStack with no free address of its primary family takes one of the other."""
    made = allocator(pool("web", "fd00::1/128"))

    assert give(made, "a", **PREFERRED) == ["fd00::1"]


def test_a_dropped_family_frees_its_address() -> None:
    """A Service that drops its second family keeps the first, and the other one goes to another Service."""
    made = allocator(pool("web", "10.0.0.1/32", "fd00::1/128"))
    give(made, "a", **REQUIRED)

    assert give(made, "a", ipFamilies=[V4], **SINGLE) == ["10.0.0.1"]
    made.release("a", [parse_ip("10.0.0.1")])
    assert give(made, "b", ipFamilies=[V6], **SINGLE) == ["fd00::1"]


def test_one_address_of_each_family_may_be_requested() -> None:
    """The annotation names one address, or one of each family in any order; the other family gets any."""
    made = allocator(pool("web", "10.0.0.0/29", "fd00::/125"))

    assert give(made, "a", ips="fd00::5, 10.0.0.4", **REQUIRED) == ["10.0.0.4", "fd00::5"]
    assert give(made, "b", ips="FD00:0::06", **REQUIRED) == ["10.0.0.0", "fd00::6"]
    assert give(made, "c", loadBalancerIP="10.0.0.6", **PREFERRED) == ["10.0.0.6", "fd00::"]


@pytest.mark.parametrize(
    ("ips", "spec", "why"),
    [
        ("10.0.0.1,10.0.0.2", REQUIRED, "two addresses of IPv4"),
        ("10.0.0.1,", REQUIRED, "not an IP address"),
        ("10.0.0.1,fd00::1", SINGLE, '"fd00::1" does not match the IPv4 family of the Service'),
        ("10.0.0.1", {**SINGLE, "ipFamilies": [V6]}, "does not match the IPv6 family"),
        ("10.0.0.1,fd00::9", PREFERRED, '"fd00::9" is not allowed in config'),
        ("10.0.0.1,fd00::9", REQUIRED, '"fd00::9" is not allowed in config'),
    ],
)
def test_a_request_that_cannot_be_met_takes_nothing(ips: str, spec: dict[str, Any], why: str) -> None:
    """A requested address is not optional, whatever the policy, and a request of another family is refused."""
    made = allocator(pool("web", "10.0.0.0/29", "fd00::/125"))

    with pytest.raises(AllocationError, match=why):
        give(made, "a", ips=ips, **spec)
    assert made.holder == {}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([REQUIRED, PREFERRED, SINGLE, None])), max_size=30))
def test_no_order_of_requests_loses_or_shares_an_address(steps: list[tuple[str, dict[str, Any] | None]]) -> None:
    """After any steps each held address is of one Service, and a Service has at most one of each family."""
    made = allocator(pool("web", "10.0.0.1-10.0.0.2", "fd00::1/128"))
    has: dict[str, list[str]] = {}
    for name, spec in steps:
        if spec is None:
            made.release(name)
            has.pop(name, None)
            continue
        before = dict(made.holder)
        try:
            got = give(made, name, **{"ipFamilies": [V4], **spec})
        except AllocationError:
            assert made.holder == before
            continue
        kept = has.get(name, [])
        assert all(ip in got for ip in kept if ":" not in ip or spec is not SINGLE)
        assert len({":" in ip for ip in got}) == len(got)
        made.release(name, [parse_ip(ip) for ip in got])
        has[name] = got
    taken = [ip for found in has.values() for ip in found]

    assert len(taken) == len(set(taken))
    assert {str(ip): name for ip, name in made.holder.items()} == {ip: name for name, ips in has.items() for ip in ips}


def play(scenario: Callable[[FakeApi], Awaitable[None]], *pools: dict[str, Any]) -> FakeApi:
    """Run a scenario with an API server in memory that has these pools."""
    api = FakeApi()
    for one in pools:
        api.put(POOLS, one)
    asyncio.run(scenario(api))  # type: ignore[arg-type] # scenarios are coroutine functions
    return api


def notes(api: FakeApi, name: str) -> dict[str, str]:
    """Return the annotations of a Service."""
    found: dict[str, str] = api.objects[SERVICES][f"ns/{name}"]["metadata"].get("annotations", {})
    return found


def test_both_addresses_are_written_at_once() -> None:
    """Status, annotations and Event name both addresses and the pool of each, once if it is the same."""

    async def scenario(api: FakeApi) -> None:
        api.put(SERVICES, service("a", **REQUIRED))
        api.put(SERVICES, service("b", **REQUIRED))
        async with controlled(api):
            await until(lambda: bool(shown(api, "a") and shown(api, "b")))
            await until(lambda: len(events(api, "IPAllocated")) == 2)

    api = play(scenario, pool("v4", "10.0.0.1/32"), pool("web", "10.0.0.2/32", "fd00::1-fd00::2"))

    assert [shown(api, name) for name in "ab"] == [["10.0.0.1", "fd00::1"], ["10.0.0.2", "fd00::2"]]
    assert notes(api, "a") == {ALLOCATED: "10.0.0.1,fd00::1", FROM_POOL: "v4,web"}
    assert notes(api, "b") == {ALLOCATED: "10.0.0.2,fd00::2", FROM_POOL: "web"}
    assert [message for *_, message in events(api, "IPAllocated")] == [
        'Assigned IP ["10.0.0.1" "fd00::1"]',
        'Assigned IP ["10.0.0.2" "fd00::2"]',
    ]
    modes = [one["ipMode"] for one in api.objects[SERVICES]["ns/a"]["status"]["loadBalancer"]["ingress"]]
    assert modes == ["VIP", "VIP"]


def test_what_is_half_there_is_not_assigned() -> None:
    """A Service that requires both is pending with a reason, and gets both when the other family is there."""

    async def scenario(api: FakeApi) -> None:
        api.put(SERVICES, service("a", **REQUIRED))
        async with controlled(api):
            await until(lambda: bool(events(api, "AllocationFailed")))
            await stays(lambda: shown(api, "a") == [], 0.2)
            api.put(POOLS, pool("v6", "fd00::1/128"))
            await until(lambda: shown(api, "a") == ["10.0.0.1", "fd00::1"])

    api = play(scenario, pool("v4", "10.0.0.1/32"))
    assert [message for *_, message in events(api, "AllocationFailed")] == [
        'Failed to allocate IP for "ns/a": no available IPs: no free IPv6 address in pools: v4'
    ]


def test_a_preferred_family_is_added_and_dropped() -> None:
    """A Service gets the second family when there is one, without a failure, and another Service what it drops."""

    async def scenario(api: FakeApi) -> None:
        api.put(SERVICES, service("a", **PREFERRED))
        api.put(SERVICES, service("b", ipFamilies=[V6], **SINGLE))
        async with controlled(api):
            await until(lambda: shown(api, "a") == ["10.0.0.1"] and bool(events(api, "AllocationFailed")))
            api.put(POOLS, pool("v6", "fd00::1/128"))
            await until(lambda: shown(api, "a") == ["10.0.0.1", "fd00::1"])
            status = api.objects[SERVICES]["ns/a"]["status"]
            api.put(SERVICES, {**service("a", ipFamilies=[V4], **SINGLE), "status": status})
            await until(lambda: shown(api, "a") == ["10.0.0.1"])
            await until(lambda: shown(api, "b") == ["fd00::1"])

    api = play(scenario, pool("v4", "10.0.0.1/32"))
    assert {name for _, name, _ in events(api, "AllocationFailed")} == {"b"}


@pytest.mark.parametrize("noted", ["10.0.0.3,fd00::3", None])
def test_a_start_keeps_both_addresses(noted: str | None) -> None:
    """Both addresses of a status are restored, confirmed by the annotation or not, against Services that ask."""

    async def scenario(api: FakeApi) -> None:
        ingress = [{"ip": "10.0.0.3", "ipMode": "VIP"}, {"ip": "fd00::3", "ipMode": "VIP"}]
        made = {**service("b", **REQUIRED), "status": {"loadBalancer": {"ingress": ingress}}}
        made["metadata"]["annotations"] = {ALLOCATED: noted, FROM_POOL: "web"} if noted else {}
        api.put(SERVICES, made)
        api.put(SERVICES, asks("a", ips="10.0.0.3,fd00::3", **REQUIRED))
        async with controlled(api):
            await until(lambda: bool(events(api, "AllocationFailed")))
            await until(lambda: notes(api, "b") == {ALLOCATED: "10.0.0.3,fd00::3", FROM_POOL: "web"})

    api = play(scenario, pool("web", "10.0.0.0/29", "fd00::/125"))
    assert shown(api, "b") == ["10.0.0.3", "fd00::3"]
    assert shown(api, "a") == []


def test_both_addresses_of_a_pool_that_is_gone_are_recorded() -> None:
    """The record confirms both after a restart; one whose pool is still there needs no record."""

    async def scenario(api: FakeApi) -> None:
        api.put(SERVICES, service("a", **REQUIRED))
        async with controlled(api):
            await until(lambda: shown(api, "a") == ["10.0.0.1", "fd00::1"])
            api.delete(POOLS, "metallb-system", "web")
            await until(lambda: any("configmaps" in path for _, path, _ in api.written))

    api = play(scenario, pool("web", "10.0.0.1/32", "fd00::1/128"))
    (record,) = [body["data"] for _, path, body in api.written if "configmaps" in path and "data" in body]

    assert record == {"ns.a": "uid-a 10.0.0.1 web,uid-a fd00::1 web"}
    assert parse_record(record, SkipLog()) == {
        "ns/a": (
            Retained("uid-a", parse_ip("10.0.0.1"), "web"),
            Retained("uid-a", parse_ip("fd00::1"), "web"),
        )
    }

    async def restart(api: FakeApi) -> None:
        answer = api.call

        async def call(method: str, path: str, body: Any = None, **query: str | int) -> Any:  # noqa: ANN401 - JSON
            is_record = method == "GET" and path.endswith(RECORD)
            return {"data": record} if is_record else await answer(method, path, body, **query)

        api.call = call  # type: ignore[method-assign] # one answer differs
        ingress = [{"ip": "10.0.0.1", "ipMode": "VIP"}, {"ip": "fd00::1", "ipMode": "VIP"}]
        api.put(SERVICES, {**service("a", **REQUIRED), "status": {"loadBalancer": {"ingress": ingress}}})
        async with controlled(api):
            await until(lambda: ALLOCATED in notes(api, "a"))

    again = play(restart, pool("new", "10.1.0.1/32", "fd01::1/128"))
    assert shown(again, "a") == ["10.0.0.1", "fd00::1"]


def test_both_addresses_are_shared_by_one_key() -> None:
    """Dual-stack Services with one key and different ports share both addresses, each until the last one leaves."""
    made = allocator(pool("web", "10.0.0.1-10.0.0.2", "fd00::1-fd00::2"))

    def share(name: str, number: int, **spec: Any) -> list[str]:  # noqa: ANN401 - fields of a ServiceSpec
        service = asks(name, ports=[{"port": number}], **spec)
        service["metadata"]["annotations"] = {"metallb.io/allow-shared-ip": "one"}
        return [str(one.ip) for one in made.allocate_all(read_address_request(name, service))]

    assert share("a", 80, **REQUIRED) == share("b", 81, **REQUIRED) == ["10.0.0.1", "fd00::1"]
    assert share("c", 82, ipFamilies=[V6], **SINGLE) == ["fd00::1"]
    assert share("d", 80, **REQUIRED) == ["10.0.0.2", "fd00::2"]
    assert made.release("a") + made.release("b")
    assert give(made, "e", **PREFERRED) == ["10.0.0.1"]
