"""What the check of two copies of a controller takes for a failure, on paper."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lbproof.checks.pool.holders import Holders
from lbproof.checks.upgr import test_two_controllers_at_a_time as upgr
from lbproof.lab.base import Capability
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.wait import Waiter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lbproof.context import CheckContext

Object = dict[str, Any]
Notify = Callable[[str, Object], None]


def held(name: str, *addresses: str, **meta: Any) -> Object:  # noqa: ANN401 - ObjectMeta
    """A Service with these addresses."""
    rows = [{"ip": address} for address in addresses]
    return {"metadata": {"name": name, "namespace": "x"} | meta, "status": {"loadBalancer": {"ingress": rows}}}


@pytest.mark.parametrize(
    ("then", "keep", "why"),
    [
        (held("b", "192.0.2.1"), False, "192.0.2.1 is held by x/a, x/b at once"),
        (held("b", "192.0.2.2"), True, ""),
        (held("a", "192.0.2.2"), True, "x/a had 192.0.2.1, and then 192.0.2.2"),
        (held("a", "192.0.2.2"), False, ""),
        (held("a"), True, "x/a had 192.0.2.1, and then nothing"),
        (held("a", deletionTimestamp="now"), True, ""),
        (held("b", "192.0.2.1", namespace="y"), True, ""),
    ],
    ids=["twice", "another", "moved", "may-move", "lost", "ending", "elsewhere"],
)
def test_an_address_has_one_holder_which_keeps_it_where_nobody_asks(then: Object, why: str, *, keep: bool) -> None:
    """A Service that is being deleted may lose it; Services elsewhere are not judged."""
    holders = Holders(["x"], keep=keep)
    holders.changed("ADDED", held("a", "192.0.2.1"))
    failure = ""
    try:
        holders.changed("MODIFIED", then)
    except AssertionError as error:
        failure = str(error).splitlines()[0]
    assert failure == why


def test_a_released_address_may_be_given_again() -> None:
    """It has no holder once its Service is gone."""
    holders = Holders(["x"], keep=True)
    holders.changed("ADDED", held("a", "192.0.2.1"))
    holders.changed("DELETED", held("a", "192.0.2.1"))
    holders.changed("ADDED", held("b", "192.0.2.1"))

    assert list(holders.now) == ["x/b"]


class Made:
    """Service that was created."""

    def __init__(self, path: str) -> None:
        self.path, self.gone = path, False


class Allocator:
    """Cluster whose Services are given addresses at once: the lowest free one, or the one that they ask for."""

    namespace, second_namespace = "x", "y"

    def __init__(self, *, ways: Sequence[str] = ("annotation",), kills: bool = True, fault: str = "") -> None:
        self.log: list[str] = []
        self.notify: Notify = lambda *_: None
        self._fault = fault
        self._free: list[IPv4Address] = []
        self._given: dict[str, IPv4Address] = {}
        self._waiting: dict[str, IPv4Address] = {}
        journal = Journal(None)
        self.wait = Waiter(journal, {"address_assigned": 0.1, "reclaimed": 0.2})
        workloads = SimpleNamespace(
            copies=lambda role, count: self._logged(f"{count} copies of the {role}"),
            copies_run=lambda *_: None,
            pods=lambda _: [("w01", "ns", "one"), ("w02", "ns", "two")],
            kill_pod=lambda _, name: self._end(f"kill {name}"),
            delete_pod=lambda _, name: self._end(f"delete {name}"),
        )
        self.run = SimpleNamespace(backends=None, ways=ways, workloads=workloads)
        self.lab = SimpleNamespace(can=lambda capability: kills and capability is Capability.KILL)
        self.cluster = SimpleNamespace(discard=self._discard)
        self.random = random.Random(0)  # noqa: S311 - no secret

    @contextmanager
    def _logged(self, what: str) -> Iterator[None]:
        self.log.append(what)
        yield
        self.log.append("as before")

    def _end(self, what: str) -> None:
        self.log.append(what)
        first, second, *_ = self._given
        if self._fault == "twice":
            self._write(first, self._given[second])
        if self._fault == "empties":
            self._write(first, None)

    def _write(self, path: str, address: IPv4Address | None, kind: str = "MODIFIED") -> None:
        namespace, _, name = path.partition("/")
        made = held(name, *([str(address)] if address else []), namespace=namespace)
        self.notify(kind, made)

    def _give(self, path: str, ask: IPv4Address | None) -> None:
        if ask and ask not in self._free:
            self._waiting[path] = ask
            return
        self._given[path] = ask or min(self._free, key=int)
        self._free.remove(self._given[path])
        self._write(path, self._given[path])

    def _discard(self, path: str) -> None:
        self._write(path, None, "DELETED")
        self._waiting.pop(path, None)
        if path in self._given:
            freed = self._given.pop(path)
            self._free.append(freed)
            if who := next((one for one, asked in self._waiting.items() if asked == freed), None):
                self._give(who, self._waiting.pop(who))

    def pool(self, count: int) -> None:
        self._free = [IPv4Address(f"192.0.2.{n}") for n in range(1, count + 1)]

    def service(self, name: str, *, namespace: str, ask: IPv4Address | None = None) -> Made:
        path = f"{namespace}/{name}"
        if self._fault != "serves-nobody" or "later" not in name:
            self._give(path, ask or None)
        return Made(path)

    def statuses(self, *services: Made) -> dict[Made, list[IPv4Address]]:
        return {one: [self._given[one.path]] if one.path in self._given else [] for one in services}

    def all_assigned(self, *services: Made, budget: str = "address_assigned") -> None:  # noqa: ARG002
        assert all(self.statuses(*services).values()), "not all are served"

    def gone(self, path: str) -> None:
        assert path not in self._given

    def delete_all(self, *services: Made) -> None:
        for one in services:
            self._discard(one.path)

    def precondition(self, _: str = "") -> Any:  # noqa: ANN401
        return nullcontext()

    def keep_assigned(self, *services: Made) -> None:
        self.all_assigned(*services)


def judge(monkeypatch: pytest.MonkeyPatch, cluster: Allocator) -> None:
    """Run the check; raise what it finds."""

    @contextmanager
    def watch(_: object, namespace: str, changed: Notify, *, everywhere: bool) -> Iterator[None]:
        assert (namespace, everywhere) == ("x", True)
        cluster.notify = changed
        yield

    monkeypatch.setattr(upgr, "ServiceWatch", watch)
    upgr.test_two_copies_give_no_address_twice(cast("CheckContext", cluster))


@pytest.mark.parametrize("ways", [(), ("annotation",)], ids=["no-requests", "requests"])
@pytest.mark.parametrize("kills", [True, False])
def test_each_copy_ends_while_services_come_and_go(
    monkeypatch: pytest.MonkeyPatch, ways: Sequence[str], *, kills: bool
) -> None:
    """Killed where the lab can do that, and deleted; there are as many copies as before at the end."""
    cluster = Allocator(ways=ways, kills=kills)
    judge(monkeypatch, cluster)

    killed = ["kill one", "kill two"] if kills else []
    assert cluster.log == ["2 copies of the controller", *killed, "delete one", "delete two", "as before"]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("twice", r"192\.0\.2\.\d+ is held by ./stays-\d, ./stays-\d at once"),
        ("empties", r"./stays-\d had 192\.0\.2\.\d+, and then nothing"),
        ("serves-nobody", "not all are served"),
    ],
)
def test_what_a_copy_does_while_another_ends_is_judged(monkeypatch: pytest.MonkeyPatch, fault: str, why: str) -> None:
    """An address twice, an address lost, and a Service that nobody serves."""
    with pytest.raises(AssertionError, match=why):
        judge(monkeypatch, Allocator(fault=fault))
