"""After a fault, the next check begins when the cluster itself follows the API server again."""

from __future__ import annotations

from contextlib import contextmanager
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lbproof.context import CannotShow
from lbproof.context.rest import ADDRESSES, after_faults, cluster_follows
from lbproof.context.undo import Undo
from lbproof.lab.base import Capability
from lbproof.spec import Untestable
from lbproof.spec.families import Family
from lbproof.witnesses.wait import EventuallyFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.context import CheckContext

NODES = {name: IPv4Address(f"192.0.2.{number}") for number, name in enumerate(("m01", "w01", "w02"), 1)}


class FakeRun:
    """A run that has the shared workload, and records what is asked for; `late`: the node whose kube-proxy is."""

    def __init__(self, late: str = "", *, l2: bool = True) -> None:
        self.backends, self.web = [("web-0", "w01")], "web"
        self.asked: list[tuple[str, int]] = []
        self.ready_ones: list[str] = []
        self.there: list[str] = []
        self._late, self.l2 = late, l2

    def claims(self, *needs: str) -> bool:
        return self.l2 or "l2" not in needs

    def ready(self, _namespace: str, name: str) -> None:
        self.ready_ones.append(name)

    def remove(self, made: dict[str, Any]) -> None:
        self.there.remove(made["kind"])

    def served(self, _vantage: object, address: IPv4Address, port: int, *_: object, what: str, **__: object) -> None:
        self.asked.append((str(address), port))
        if str(address) == str(NODES.get(self._late)):
            raise EventuallyFailed(what, "not within 1 s", [(0.0, "refused")])


def no_pool(count: int) -> None:
    """What the wait for the implementation begins with ends it here."""
    raise LookupError(count)


@contextmanager
def tentative(saw: list[str]) -> Iterator[None]:
    """What fails within is an observation: a failed wait of a passed check would look like a forged verdict."""
    try:
        yield
    except (EventuallyFailed, CannotShow):
        saw.append("tentative")
        raise


def check_on(run: FakeRun) -> CheckContext:
    """Return the little of a check that the wait needs."""

    def apply(made: dict[str, Any]) -> dict[str, Any]:
        run.there.append(made["kind"])
        return made | {"spec": {"ports": [{"nodePort": 30123}]}}

    nodes = [SimpleNamespace(name=name, address_for=lambda _, own=own: own) for name, own in NODES.items()]
    saw: list[str] = []
    return cast(
        "CheckContext",
        SimpleNamespace(
            run=run,
            undo=Undo(),
            cluster=SimpleNamespace(apply=apply),
            lab=SimpleNamespace(nodes=nodes),
            client=SimpleNamespace(name="client"),
            family=Family.IPV4,
            saw=lambda _witness, what, _value: saw.append(what),
            seen=saw,
            pool=no_pool,
            wait=SimpleNamespace(tentative=lambda: tentative(saw)),
        ),
    )


@pytest.mark.parametrize(("pods", "made"), [(False, ["Service"]), (True, ["Deployment", "Service"])])
def test_each_node_serves_a_new_service(*, pods: bool, made: list[str]) -> None:
    """Also, where the API server was away, of a new pod; nothing of it is left."""
    run = FakeRun()
    check = check_on(run)

    cluster_follows(check, pods=pods)

    assert run.asked == [(str(address), 30123) for address in NODES.values()]
    assert run.ready_ones == ["rest"] * pods
    assert run.there == made
    check.undo.close()
    assert run.there == []


def test_a_cluster_that_does_not_follow_is_no_fault_of_the_implementation() -> None:
    """It is written down, and the wait for the implementation follows."""
    check = check_on(FakeRun(late="w01"))

    with pytest.raises(LookupError):
        after_faults(check, {Capability.NODE_CRASH})

    assert cast("Any", check).seen == ["tentative", "the cluster is not at rest after the fault"]


@pytest.mark.parametrize(("l2", "services"), [(True, ADDRESSES), (False, 1)])
def test_answers_are_waited_for_where_they_are_claimed(*, l2: bool, services: int) -> None:
    """Elsewhere a new Service that is served says that the implementation goes on."""
    check = check_on(FakeRun(l2=l2))

    with pytest.raises(LookupError, match=str(services)):
        after_faults(check, {Capability.FREEZE_POD})


def test_a_path_that_stays_broken_changes_no_verdict() -> None:
    """The check has been judged; the next one finds the path broken itself. Nothing was made of backends before."""
    run = FakeRun("w01")
    check = check_on(run)

    def no_path(*_: object, **__: object) -> None:
        raise CannotShow(Untestable.PATH_BROKEN, "client reaches a plain pod: not within 30 s")

    vars(check)["pool"] = lambda _: SimpleNamespace(addresses=[])
    vars(check)["service"] = no_path
    after_faults(check, {Capability.STOP_API})

    first, second = "the cluster is not at rest after the fault", "not at rest after the fault"
    assert vars(check)["seen"] == ["tentative", first, "tentative", second]
