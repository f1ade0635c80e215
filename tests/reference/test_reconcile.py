"""The controller against an API server in memory, which fails when it is told to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.reference.controlled import ADVERTISEMENTS, POOLS, controlled, events, pool, service, shown
from tests.reference.fake_api import FakeApi, status_error
from tests.reference.polling import until

from lbproof_reference.controller.status import valid_condition
from lbproof_reference.kube import SERVICES
from lbproof_reference.retained import RECORD, read_record
from lbproof_reference.services import ALLOCATED, FROM_POOL


def test_an_address_is_given_on_only_after_the_former_status_was_written() -> None:
    """While the status of a Service that left an address cannot be written, a waiting Service does not get it."""
    api = FakeApi()
    failures = 3

    def fails(method: str, path: str) -> bool:
        nonlocal failures
        if method == "PATCH" and path.endswith("/a/status") and shown(api, "a"):
            failures -= 1
            assert shown(api, "b") == []
            return failures >= 0
        return False

    async def move() -> None:
        api.put(POOLS, pool("web", "10.0.0.1/32"))
        api.put(POOLS, pool("other", "10.0.1.1/32", autoAssign=False))
        api.put(SERVICES, service("a"))
        async with controlled(api):
            await until(lambda: shown(api, "a") == ["10.0.0.1"])
            api.put(SERVICES, service("b"))
            await until(
                lambda: any(body["reason"] == "AllocationFailed" for *_, body in api.written if "reason" in body)
            )
            api.fails = fails
            moved = dict(api.objects[SERVICES]["ns/a"], spec={"type": "LoadBalancer", "loadBalancerIP": "10.0.1.1"})
            api.put(SERVICES, moved)
            await until(lambda: shown(api, "b") == ["10.0.0.1"])
            assert shown(api, "a") == ["10.0.1.1"]

    asyncio.run(move())
    assert failures < 0


def test_a_status_outside_all_pools_is_not_adopted() -> None:
    """A Service whose status shows an address outside all pools at the start gets one of a pool."""
    api = FakeApi()

    async def start() -> None:
        api.put(POOLS, pool("web", "10.0.0.1/32"))
        api.put(SERVICES, {**service("a"), "status": {"loadBalancer": {"ingress": [{"ip": "10.9.0.1"}]}}})
        async with controlled(api):
            await until(lambda: shown(api, "a") == ["10.0.0.1"])

    asyncio.run(start())


def test_a_pool_of_another_namespace_assigns_nothing() -> None:
    """Only pools in the controller's own namespace are used."""
    api = FakeApi()
    foreign = pool("a", "10.7.0.0/28")
    foreign["metadata"]["namespace"] = "team"

    async def start() -> None:
        api.put(POOLS, foreign)
        api.put(POOLS, pool("web", "10.0.0.1/32"))
        api.put(SERVICES, service("a"))
        async with controlled(api):
            await until(lambda: bool(shown(api, "a")))

    asyncio.run(start())
    assert shown(api, "a") == ["10.0.0.1"]


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500])
def test_only_an_absent_record_is_an_empty_one(status: int) -> None:
    """A Service keeps the recorded address of a deleted pool whatever the API server answers at first."""
    api = FakeApi()
    answers = [status, status]

    async def call(method: str, path: str, body: Any = None, **_: str | int) -> Any:  # noqa: ANN401 - JSON
        if method == "GET" and path.endswith(RECORD):
            if answers:
                raise status_error(answers.pop(), method, path)
            return {"data": {"ns.a": "uid-a 10.9.0.1 gone"}}
        return await FakeApi.call(api, method, path, body)

    async def start() -> None:
        api.call = call  # type: ignore[method-assign] # one answer differs
        api.put(POOLS, pool("web", "10.0.0.1/32"))
        api.put(SERVICES, {**service("a"), "status": {"loadBalancer": {"ingress": [{"ip": "10.9.0.1"}]}}})
        api.put(SERVICES, service("b"))
        async with controlled(api):
            await until(lambda: bool(shown(api, "b")))

    asyncio.run(start())
    assert (shown(api, "a"), shown(api, "b")) == (["10.9.0.1"], ["10.0.0.1"])


@pytest.mark.parametrize("forged", [["10.0.0.2"], ["10.0.0.2", "10.0.0.1"]])
def test_an_older_service_does_not_take_an_address_by_its_status(forged: list[str]) -> None:
    """Of two statuses with one address, the one that its annotation confirms keeps it after a start."""
    api = FakeApi()
    thief, victim = service("a"), service("b")
    for who, noted, ips in ((thief, "10.0.0.1", forged), (victim, "10.0.0.2", ["10.0.0.2"])):
        who["metadata"]["annotations"] = {ALLOCATED: noted}
        who["status"] = {"loadBalancer": {"ingress": [{"ip": ip} for ip in ips]}}

    async def start() -> None:
        api.put(POOLS, pool("web", "10.0.0.0/28"))
        api.put(SERVICES, thief)
        api.put(SERVICES, victim)
        async with controlled(api):
            await until(lambda: shown(api, "a") != forged or shown(api, "b") != ["10.0.0.2"])

    asyncio.run(start())
    assert shown(api, "b") == ["10.0.0.2"]


@pytest.mark.parametrize(
    "row",
    [
        {"ipMode": "Proxy"},
        {"ports": [{"port": 1, "protocol": "TCP"}]},
        {"hostname": "example.com"},
    ],
    ids=lambda row: next(iter(row)),
)
def test_whatever_else_a_status_says_of_an_address_is_corrected(row: dict[str, Any]) -> None:
    """Beside the right address too: kube-proxy and clients read all fields of an entry."""
    api, wanted = FakeApi(), [{"ip": "10.0.0.1", "ipMode": "VIP"}]

    def rows() -> Any:  # noqa: ANN401 - JSON
        return api.objects[SERVICES]["ns/a"]["status"]["loadBalancer"]["ingress"]

    async def forge() -> None:
        api.put(POOLS, pool("web", "10.0.0.1/32"))
        api.put(SERVICES, service("a"))
        async with controlled(api):
            await until(lambda: shown(api, "a") == ["10.0.0.1"])
            for forged in ([wanted[0] | row], [*wanted, row]):
                api.put(SERVICES, api.objects[SERVICES]["ns/a"] | {"status": {"loadBalancer": {"ingress": forged}}})
                await until(lambda: rows() == wanted)

    asyncio.run(forge())


def test_the_status_of_a_service_that_waits_is_empty_of_everything() -> None:
    """A host name that somebody wrote is no address of it."""
    api = FakeApi()
    forged = {"status": {"loadBalancer": {"ingress": [{"hostname": "example.com"}]}}}

    async def wait() -> None:
        api.put(SERVICES, service("a") | forged)
        async with controlled(api):
            await until(lambda: not api.objects[SERVICES]["ns/a"]["status"]["loadBalancer"].get("ingress"))

    asyncio.run(wait())


def test_a_status_without_a_mode_is_written_once() -> None:
    """An API server before Kubernetes 1.29 keeps no `ipMode`: what it shows is right."""
    api = FakeApi()
    status = {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}
    old = service("a") | {"status": status}
    old["metadata"]["annotations"] = {ALLOCATED: "10.0.0.1", FROM_POOL: "web"}

    async def start() -> None:
        api.put(POOLS, pool("web", "10.0.0.0/31"))
        api.put(SERVICES, old)
        async with controlled(api):
            api.put(SERVICES, service("b"))
            await until(lambda: bool(shown(api, "b")))

    asyncio.run(start())
    assert api.objects[SERVICES]["ns/a"]["status"] == status


def test_a_secret_that_was_deleted_is_created_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Secret of the heartbeats exists again after somebody deleted it, without a restart of the controller."""
    api = FakeApi()
    monkeypatch.setattr("lbproof_reference.controller.loop._SECRET_SECONDS", 0.01, raising=False)

    def created() -> int:
        return sum(method == "POST" and path.endswith("/secrets") for method, path, _ in api.written)

    async def start() -> None:
        async with controlled(api):
            await until(lambda: created() >= 2)

    asyncio.run(start())


def test_an_advertisement_that_cannot_be_read_is_told() -> None:
    """An Event tells the author of an unreadable advertisement once, and the other advertisements count."""
    api = FakeApi()
    meta = {"namespace": "metallb-system", "uid": "u"}

    async def advertise() -> None:
        api.put(POOLS, pool("web", "10.0.0.1/32"))
        api.put(ADVERTISEMENTS, {"metadata": {**meta, "name": "odd"}, "spec": {"nodeSelectors": ["rack"]}})
        api.put(ADVERTISEMENTS, {"metadata": {**meta, "name": "fine"}, "spec": {"ipAddressPools": ["other"]}})
        api.put(SERVICES, service("a"))
        async with controlled(api):
            await until(lambda: bool(events(api, "NotAnnounced")))
            api.put(ADVERTISEMENTS, {"metadata": {**meta, "name": "next"}})
            api.put(SERVICES, service("b"))
            await until(lambda: bool(events(api, "AllocationFailed")))

    asyncio.run(advertise())
    [(kind, name, _)] = events(api, "Ignored")
    assert (kind, name) == ("L2Advertisement", "odd")
    assert [name for _, name, _ in events(api, "NotAnnounced")] == ["a"]


def test_a_huge_request_is_told_in_part() -> None:
    """The message of an Event is cut to what the API server allows, and its object may be of any name."""
    api = FakeApi()
    huge = service("a", loadBalancerIP="é" * 100_000)

    async def refuse() -> None:
        api.put(SERVICES, huge)
        async with controlled(api):
            await until(lambda: bool(events(api, "AllocationFailed")))

    asyncio.run(refuse())
    [(_, _, message)] = events(api, "AllocationFailed")
    assert 1000 < len(message.encode()) <= 1024


def test_a_status_that_the_api_server_rejects_is_told_and_not_sent_again() -> None:
    """A write that is rejected for its content is reported by an Event once, and other Services are served."""
    api = FakeApi()
    tried = 0

    def rejects(method: str, path: str) -> bool:
        nonlocal tried
        if method == "PATCH" and path.endswith("/odd/status"):
            tried += 1
            raise status_error(422, method, path)
        return False

    async def write() -> None:
        api.fails = rejects
        api.put(POOLS, pool("web", "10.0.0.0/28"))
        api.put(SERVICES, service("odd"))
        async with controlled(api):
            await until(lambda: bool(events(api, "Ignored")))
            for name in "bcd":
                api.put(SERVICES, service(name))
                await until(lambda name=name: bool(shown(api, name)))  # type: ignore[misc] # bound now

    asyncio.run(write())
    assert tried == 1
    assert [name for _, name, _ in events(api, "Ignored")] == ["odd"]


def put_again(api: FakeApi, name: str, **changed: Any) -> None:  # noqa: ANN401 - JSON
    """Replace fields of a Service."""
    api.put(SERVICES, {**api.objects[SERVICES][f"ns/{name}"], **changed})


def test_a_service_that_is_made_again_does_not_keep_an_address_outside_pools() -> None:
    """A Service of the same name, deleted and created between two events, gets an address of a pool."""
    api = FakeApi()

    async def make() -> None:
        api.put(POOLS, pool("old", "10.0.0.1/32"))
        api.put(SERVICES, service("a"))
        async with controlled(api):
            await until(lambda: shown(api, "a") == ["10.0.0.1"])
            api.delete(POOLS, "metallb-system", "old")
            api.put(POOLS, pool("new", "10.0.1.1/32"))
            await until(lambda: any("10.0.0.1" in str(body) for _, path, body in api.written if "configmaps" in path))
            again = service("a")
            again["metadata"]["uid"] = "later"
            api.put(SERVICES, again)
            await until(lambda: bool(shown(api, "a")))

    asyncio.run(make())
    assert shown(api, "a") == ["10.0.1.1"]


def test_the_status_of_a_service_whose_request_cannot_be_met_is_restored() -> None:
    """A Service that keeps its address while it requests one that it cannot have has it in its status."""
    api = FakeApi()

    async def empty() -> None:
        api.put(POOLS, pool("web", "10.0.0.1/32"))
        api.put(SERVICES, service("a"))
        async with controlled(api):
            await until(lambda: shown(api, "a") == ["10.0.0.1"])
            put_again(api, "a", spec={"type": "LoadBalancer", "loadBalancerIP": "10.9.9.9"})
            await until(lambda: bool(events(api, "AllocationFailed")))
            put_again(api, "a", status={})
            await until(lambda: shown(api, "a") == ["10.0.0.1"])

    asyncio.run(empty())


def test_annotations_and_events_name_the_pool_that_has_the_address_now() -> None:
    """An address whose pool is replaced by another one of the same range is annotated and reported as the latter's."""
    api = FakeApi()

    async def replace() -> None:
        api.put(POOLS, pool("p", "10.0.0.1/32"))
        meta = {"namespace": "metallb-system", "uid": "u", "name": "ad"}
        api.put(ADVERTISEMENTS, {"metadata": meta, "spec": {"ipAddressPools": ["q"]}})
        api.put(SERVICES, service("a"))
        async with controlled(api):
            await until(lambda: bool(events(api, "NotAnnounced")))
            api.delete(POOLS, "metallb-system", "p")
            api.put(POOLS, pool("q", "10.0.0.1/32"))
            await until(lambda: api.objects[SERVICES]["ns/a"]["metadata"]["annotations"][FROM_POOL] == "q")

    asyncio.run(replace())
    assert [message.split("'")[1] for *_, message in events(api, "NotAnnounced")] == ["p"]


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_the_secret_is_created_however_often_the_api_server_refuses(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """The Secret is created once its namespace is there, or whatever else had the API server refuse it."""
    monkeypatch.setattr("lbproof_reference.controller.workqueue._RETRY_SECONDS", (0.01,))
    api = FakeApi()
    refusals = [status] * 3

    def refuses(method: str, path: str) -> bool:
        if method == "POST" and path.endswith("/secrets") and refusals:
            raise status_error(refusals.pop(), method, path)
        return False

    async def create() -> None:
        api.fails = refuses
        async with controlled(api):
            await until(lambda: any(path.endswith("/secrets") for _, path, _ in api.written))

    asyncio.run(create())


@pytest.mark.parametrize("before", [None, {"status": "True", "message": "the pool is in use"}])
def test_the_condition_of_a_pool_has_the_moment_of_its_last_change(before: dict[str, str] | None) -> None:
    """A condition is written if any field differs, with the time since when its `status` is so (API conventions)."""
    old = {
        "type": "Valid",
        "reason": "Accepted",
        "observedGeneration": 1,
        "lastTransitionTime": "then",
        **(before or {}),
    }
    web = {**pool("web", "10.0.0.1/32"), "status": {"conditions": [old] if before else []}}
    web["metadata"]["generation"] = 2
    now = valid_condition(web, "BadPool", None)
    assert now
    assert (now["lastTransitionTime"] == "then") == bool(before)
    bad = valid_condition({**web, "status": {"conditions": [now]}}, "BadPool", "the pool is in use")
    assert bad
    assert (bad["status"], bad["lastTransitionTime"] == "then") == ("False", False)
    assert valid_condition({**web, "status": {"conditions": [bad]}}, "BadPool", "the pool is in use") is None


def test_a_malformed_entry_of_the_record_stops_nothing() -> None:
    """An entry of the record that cannot be read is skipped."""
    api = FakeApi()

    async def call(method: str, path: str, body: Any = None, **_: str | int) -> Any:  # noqa: ANN401 - JSON
        if method == "GET" and path.endswith(RECORD):
            return {"data": {"ns.a": "nonsense"}}
        return await FakeApi.call(api, method, path, body)

    async def start() -> None:
        api.call = call  # type: ignore[method-assign] # one answer differs
        api.put(POOLS, pool("web", "10.0.0.1/32"))
        api.put(SERVICES, service("a"))
        async with controlled(api):
            await until(lambda: shown(api, "a") == ["10.0.0.1"])

    asyncio.run(start())


def test_a_controller_that_may_not_read_the_record_says_which_rule_is_missing() -> None:
    """The controller is not ready and assigns nothing while it may not read the record, and logs the missing rule."""
    api = FakeApi()
    forbidden = True

    def forbids(method: str, path: str) -> bool:
        if forbidden and method == "GET" and path.endswith(RECORD):
            raise status_error(403, method, path)
        return False

    async def start() -> None:
        nonlocal forbidden
        api.fails = forbids
        api.put(POOLS, pool("web", "10.0.0.1/32"))
        api.put(SERVICES, {**service("a"), "status": {"loadBalancer": {"ingress": [{"ip": "10.9.0.1"}]}}})
        async with controlled(api):
            await until(lambda: any("rule" in line for line in said))
            assert shown(api, "a") == ["10.9.0.1"]
            forbidden = False
            await until(lambda: shown(api, "a") == ["10.0.0.1"])

    with capture_logs() as said:
        asyncio.run(start())
    rule = next(line["rule"] for line in said if "rule" in line)
    assert rule == "{apiGroups: [''], resources: [configmaps], resourceNames: [lbproof-retained], verbs: [get]}"


def test_a_speaker_that_may_not_read_the_record_has_none() -> None:
    """A speaker without the right to read the record announces the addresses of pools."""
    api = FakeApi()
    api.fails = lambda _, path: _forbid(path)

    assert asyncio.run(read_record(api, "metallb-system")) == {}


def _forbid(path: str) -> bool:
    raise status_error(403, "GET", path)
