"""Of several copies of the controller one leads, until its Pod has ended; the others write nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs
from tests.reference.controlled import POOLS, pool, service, shown
from tests.reference.fake_api import FakeApi, status_error
from tests.reference.polling import stays, until

from lbproof_reference.controller import leader
from lbproof_reference.controller.leader import LEASE, LeaderElection, LeaseLost
from lbproof_reference.controller.loop import Controller
from lbproof_reference.kube import SERVICES
from lbproof_reference.options import controller_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

NAMESPACE = "metallb-system"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SERVICE_NAMES = "abcdefgh"


class Copy:
    """Copy of the controller in a Pod of its own."""

    def __init__(self, api: FakeApi, pod: str) -> None:
        """Its Pod runs from now on."""
        self.pod = pod
        self.election = LeaderElection(api, NAMESPACE, pod, f"uid-{pod}")
        self.controller = Controller(api, lb_class=None, namespace=NAMESPACE)
        self.leads = False
        if f"{NAMESPACE}/{pod}" not in api.objects.get(PODS, {}):
            put_pod(api, pod)

    async def run(self) -> None:
        """Run as the process does."""
        await self.election.run(self._lead)

    async def _lead(self) -> None:
        self.leads = True
        await self.controller.run()


def put_pod(api: FakeApi, name: str, phase: str = "Running", uid: str = "", **meta: Any) -> None:  # noqa: ANN401 - ObjectMeta
    """Create or change a Pod."""
    known = {"name": name, "namespace": NAMESPACE, "uid": uid or f"uid-{name}", **meta}
    api.put(PODS, {"metadata": known, "status": {"phase": phase}})


def holder(api: FakeApi) -> str:
    """Return whom the Lease names."""
    return str(api.objects[LEASES][f"{NAMESPACE}/{LEASE}"]["spec"]["holderIdentity"])


@asynccontextmanager
async def running(*copies: Copy) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run copies, which may end by themselves only with `LeaseLost`."""
    tasks = [asyncio.create_task(one.run()) for one in copies]
    yield tasks
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task


@asynccontextmanager
async def leader_and_standby(api: FakeApi) -> AsyncIterator[tuple[Copy, Copy, asyncio.Task[None]]]:
    """Run a copy that leads and one that waits; also return the task of the former."""
    first, second = Copy(api, "one"), Copy(api, "two")
    async with running(first) as (task,):
        await until(lambda: first.controller.ready)
        async with running(second):
            await until(lambda: second.election.is_standby)
            yield first, second, task


def play(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario."""
    asyncio.run(scenario)


def test_one_of_two_copies_leads_and_the_other_writes_nothing() -> None:
    """A standby is ready, and neither assigns an address nor records an Event while the other one stands still."""

    async def scenario() -> None:
        api = FakeApi()
        api.put(POOLS, pool("web", "10.0.0.0/29"))
        first, second = Copy(api, "one"), Copy(api, "two")
        async with running(first) as (task,):
            await until(lambda: first.controller.ready)
            task.cancel()  # its Pod is still there
            await asyncio.wait([task])
            async with running(second):
                await until(lambda: second.election.is_standby)
                before = len(api.written)
                api.put(SERVICES, service("a"))
                await stays(lambda: not second.leads and len(api.written) == before, 0.3)

        assert holder(api) == "one_uid-one"

    play(scenario())


def test_nothing_is_written_for_the_lease_at_rest() -> None:
    """The Lease is written once, and neither by a standby nor again by its holder."""

    async def scenario() -> None:
        api = FakeApi()
        async with leader_and_standby(api):
            await asyncio.sleep(0.3)
        assert [method for method, path, _ in api.written if LEASES in path] == ["POST"]

    play(scenario())


@pytest.mark.parametrize("end", ["deleted", "failed", "succeeded", "replaced"])
def test_a_standby_takes_over_when_the_pod_has_ended(end: str) -> None:
    """It leads when the Pod is gone, has ended, or another one has its name; and serves what waits."""

    async def scenario() -> None:
        api = FakeApi()
        api.put(POOLS, pool("web", "10.0.0.0/29"))
        async with leader_and_standby(api) as (_, second, task):
            api.put(SERVICES, service("a"))
            await until(lambda: shown(api, "a") == ["10.0.0.0"])
            task.cancel()
            await asyncio.wait([task])
            if end == "deleted":
                api.delete(PODS, NAMESPACE, "one")
            elif end == "replaced":
                put_pod(api, "one", uid="uid-later")
            else:
                put_pod(api, "one", end.title())
            api.put(SERVICES, service("b"))
            await until(lambda: shown(api, "b") == ["10.0.0.1"])
            assert second.leads
            assert shown(api, "a") == ["10.0.0.0"]

    play(scenario())


def test_a_pod_that_is_being_deleted_leads_until_its_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standby is not ready while the leader ends, and takes over when it cannot write any more."""
    monkeypatch.setattr(leader, "_TOKEN_SECONDS", 0.3)

    async def scenario() -> None:
        api = FakeApi()
        async with leader_and_standby(api) as (_, second, _task):
            gone: dict[str, Any] = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0}
            put_pod(api, "one", **gone)
            await until(lambda: not second.election.is_standby)
            await stays(lambda: not second.leads, 0.2)
            put_pod(api, "one", labels={"a": "b"}, **gone)  # the time does not begin anew
            clock = asyncio.get_running_loop().time
            since = clock()
            await until(lambda: second.leads)
            assert clock() - since < 0.25

    play(scenario())


def test_a_container_that_starts_again_in_its_pod_leads_at_once() -> None:
    """It has the Lease still, though another copy waits for it."""

    async def scenario() -> None:
        api = FakeApi()
        async with leader_and_standby(api) as (_, second, task):
            task.cancel()
            await asyncio.wait([task])
            again = Copy(api, "one")
            async with running(again):
                await until(lambda: again.controller.ready)
                assert not second.leads

    play(scenario())


@pytest.mark.parametrize("loss", ["named", "deleted"])
def test_a_leader_ends_when_the_lease_is_not_its_own(loss: str) -> None:
    """It ends with an error when the Lease names another Pod, and when it is gone."""

    async def scenario() -> None:
        api = FakeApi()
        first = Copy(api, "one")
        async with running(first) as (task,):
            await until(lambda: first.controller.ready)
            if loss == "deleted":
                api.delete(LEASES, NAMESPACE, LEASE)
            else:
                lease = api.objects[LEASES][f"{NAMESPACE}/{LEASE}"]
                api.put(LEASES, {**lease, "spec": {"holderIdentity": "two_uid-two"}})
            await asyncio.wait([task], timeout=5)
            with pytest.raises(ExceptionGroup) as raised:
                task.result()
            assert raised.group_contains(LeaseLost)

    play(scenario())


def test_a_lease_that_is_lost_before_it_is_watched_ends_the_leader() -> None:
    """A copy whose Lease goes right after it took it does not lead on."""

    async def scenario() -> None:
        api = FakeApi()
        first = Copy(api, "one")

        async def lead() -> None:
            api.delete(LEASES, NAMESPACE, LEASE)
            await asyncio.sleep(60)

        with pytest.raises(ExceptionGroup) as raised:
            await asyncio.wait_for(first.election.run(lead), 5)
        assert raised.group_contains(LeaseLost)

    play(scenario())


def test_one_of_many_takes_a_lease_that_is_free() -> None:
    """Of copies that start at once, or wait for one Pod, one leads."""

    async def scenario() -> None:
        api = FakeApi()
        copies = [Copy(api, f"copy-{n}") for n in range(4)]
        async with running(*copies) as tasks:
            for left in (4, 3):
                await until(lambda: any(one.leads for one in copies))
                await until(lambda left=left: sum(one.election.is_standby for one in copies) == left - 1)  # type: ignore[misc]
                (leading,) = (n for n, one in enumerate(copies) if one.leads)
                assert holder(api).startswith(f"{copies[leading].pod}_")
                tasks[leading].cancel()
                await asyncio.wait([tasks[leading]])
                copies[leading].leads = False
                api.delete(PODS, NAMESPACE, copies[leading].pod)

    play(scenario())


def test_two_copies_give_each_address_once_while_leaders_end() -> None:
    """Services of a burst keep addresses that no other one has, though the leader ends meanwhile."""

    async def scenario() -> None:
        api = FakeApi()
        api.put(POOLS, pool("web", "10.0.0.0/29"))
        async with leader_and_standby(api) as (_, second, task):
            for n, name in enumerate(SERVICE_NAMES):
                api.put(SERVICES, service(name))
                await asyncio.sleep(0)
                if n == len(SERVICE_NAMES) // 2:
                    task.cancel()
            await asyncio.wait([task])
            given = {name: found for name in SERVICE_NAMES if (found := shown(api, name))}
            api.delete(PODS, NAMESPACE, "one")
            await until(lambda: all(shown(api, name) for name in SERVICE_NAMES))
            assert second.leads
            assert all(shown(api, name) == before for name, before in given.items())
            assert len({ip for name in SERVICE_NAMES for ip in shown(api, name)}) == len(SERVICE_NAMES)

    play(scenario())


def test_a_copy_that_may_not_read_the_lease_says_what_it_lacks() -> None:
    """It is neither ready nor a leader, and its log names the rights; it leads when it has them."""
    forbidden = True

    def forbids(method: str, path: str) -> bool:
        if forbidden and LEASES in path:
            raise status_error(403, method, path)
        return False

    async def scenario() -> None:
        nonlocal forbidden
        api = FakeApi()
        api.fails = forbids
        first = Copy(api, "one")
        async with running(first):
            await until(lambda: any(line.get("missing_rights") for line in said))
            assert not first.leads
            assert not first.election.is_standby
            forbidden = False
            await until(lambda: first.controller.ready)

    with capture_logs() as said:
        play(scenario())


def test_an_api_server_that_fails_delays_the_election_alone() -> None:
    """A copy tries again, whatever the answer was."""
    failures = iter([True] * 3)

    async def scenario() -> None:
        api = FakeApi()
        api.fails = lambda _, path: LEASES in path and next(failures, False)
        first = Copy(api, "one")
        async with running(first):
            await until(lambda: first.controller.ready)

    play(scenario())


def test_the_pod_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Pod there is no election; a name without a UID is refused."""
    for name in ("POD_NAME", "POD_UID"):
        monkeypatch.delenv(name, raising=False)
    assert not controller_options([]).pod
    monkeypatch.setenv("POD_NAME", "one")
    with pytest.raises(SystemExit):
        controller_options([])
    monkeypatch.setenv("POD_UID", "uid-one")
    options = controller_options([])
    assert (options.pod, options.pod_uid) == ("one", "uid-one")
