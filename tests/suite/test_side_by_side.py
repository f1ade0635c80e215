"""The checks of two implementations side by side, on paper: whom they blame for what, and whom not."""

from __future__ import annotations

import copy
from contextlib import contextmanager, nullcontext
from ipaddress import IPv4Address, IPv4Network
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

import pytest
from tests.suite.test_nothing_happens import run_check
from tests.suite.test_second_implementation import ANOTHER, Api, Object

from lbproof.adapters.base import WorkloadRole
from lbproof.adapters.reference import Reference
from lbproof.context import CheckContext, RunContext
from lbproof.context.second_implementation import CLASS
from lbproof.lab.base import Capability, Segment
from lbproof.lab.fault import Attachment
from lbproof.witnesses import http, neighbours, transport
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.wait import Violation, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lbproof.lab.base import Lab
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.kube import Kube

Fault: TypeAlias = "Callable[[Both, str, Object], None]"
"""What an implementation does beside its work, given the API server, the path of a Service, and its version."""
OWN = Reference.own_class
FREE = tuple(IPv4Address("192.0.2.160") + n for n in range(48))
CLAIMED = frozenset({"core", "pool", "class", "explicit-ip-annotation", "explicit-ip-field", "pool-select"})
BUDGETS = {"stays_untouched": 0.6, "stays_assigned": 0.1, "stays_silent": 0.1, "address_assigned": 1, "reclaimed": 3}
FILE = "class_/test_side_by_side.py"
CASES = {
    "a": "test_each_service_has_one_owner",
    "b": "test_uninstalling_one_leaves_the_services_of_the_other_alone",
}


class Both(Api):
    """An API server whose judged controller serves its class at once, and may do something else to each Service."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self._fault = fault
        self.is_there = True
        """Whether the judged implementation is installed."""
        self.others: list[str] = []
        """Paths of Services of the second one, in the order of their creation."""
        self.answered: dict[str, list[str]] = {}
        """Who answers for an address beside its host."""
        self._pool = list(FREE[::-1])

    def create(self, path: str, body: Object | None = None) -> Any:  # type: ignore[override] # noqa: ANN401 - as the API
        made: Object = {"metadata": {}, **copy.deepcopy(body or {})}
        own = f"{path}/{made['metadata']['name']}"
        made["metadata"] |= {"uid": f"{own}-{next(self._numbers)}", "namespace": path.split("/")[4]}
        began = self.writes.begin("POST", path)
        stored = self._store(own, made, "ADDED")
        self.writes.end(path, began, stored)
        return stored

    def _store(self, path: str, made: Object, kind: str) -> Object:
        with self._alone:
            stored = super()._store(path, made, kind)
            if kind != "DELETED":
                self._judge(path, stored)
            return stored

    def _judge(self, path: str, made: Object) -> None:
        """Act as the judged controller on a version."""
        spec = made.get("spec", {})
        if spec.get("loadBalancerClass") == CLASS and path not in self.others:
            self.others.append(path)
        if not self.is_there or "deletionTimestamp" in made["metadata"]:
            return
        asks = spec.get("loadBalancerIP") or "metallb.io/loadBalancerIPs" in made["metadata"].get("annotations", {})
        if spec.get("loadBalancerClass") == OWN and not self.address(path) and not asks:
            self.give(path, str(self._pool.pop()))
        self._fault(self, path, made)

    def give(self, path: str, address: str) -> None:
        """Write a status as the judged controller."""
        self.other(path, {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}})

    def apply(self, manifest: Object) -> Object:
        return manifest

    def get(self, path: str) -> Object:
        return self.objects[path]

    def list(self, path: str) -> list[Object]:
        within = path.removesuffix("/services")
        return [made for where, made in list(self.objects.items()) if "/services/" in where and within in where]

    def exists(self, path: str) -> bool:
        return path in self.objects

    def discard(self, path: str) -> None:
        if path in self.objects:
            self.delete(path)


class PaperLab:
    """A lab of a segment, to which hosts can be added."""

    segment = Segment(
        name="lan", subnets=(IPv4Network("192.0.2.0/24"),), free=tuple(IPv4Address("192.0.2.16") + n for n in range(48))
    )
    nodes = ()

    def can(self, capability: Capability) -> bool:
        return capability is Capability.FOREIGN_HOST

    def foreign_host(self, address: IPAddress) -> Attachment:
        host: Any = SimpleNamespace(mac=f"host-{address}")
        return Attachment(kind="foreign-host", target=str(address), began=0.0, undo_with=lambda: None, vantage=host)

    def client(self) -> None:
        return None

    def clocks(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a case on an implementation that does something to each version of a Service while it is there."""
    for module, name, value in (
        (transport, "listening", lambda *_: nullcontext()),
        (http, "connects", lambda *_, **__: "open"),
        (neighbours, "forget", lambda *_: None),
    ):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr("lbproof.context.pools.Pools.put", lambda *_: None)
    monkeypatch.setattr("lbproof.checks.class_.configured.own_class_alone", lambda _: nullcontext())
    monkeypatch.setattr("lbproof.context.check.after_faults", lambda *_: None)
    monkeypatch.setattr(RunContext, "need_families", lambda *_: None)
    monkeypatch.setattr(RunContext, "backends", [])
    monkeypatch.setattr(CheckContext, "stays_silent", lambda *_: None)
    monkeypatch.setattr(CheckContext, "claims", lambda _: nullcontext(SimpleNamespace(of=lambda _: {})))

    def run(case: str, fault: Fault) -> None:
        cluster, journal = Both(fault), Journal(None)
        monkeypatch.setattr(
            CheckContext,
            "who_answers",
            lambda _, *asked: {str(one): [f"host-{one}", *cluster.answered.get(str(one), [])] for one in asked},
        )
        monkeypatch.setattr(CheckContext, "claims", lambda _: Silent())

        @contextmanager
        def uninstalled(_: RunContext) -> Iterator[None]:
            cluster.is_there = False
            yield
            cluster.is_there = True

        monkeypatch.setattr(RunContext, "uninstalled", uninstalled)
        made = RunContext(
            lab=cast("Lab", PaperLab()),
            cluster=cast("Kube", cluster),
            adapter=Reference(),
            journal=journal,
            waiter=Waiter(journal, BUDGETS),
            programs={},
            claimed=CLAIMED,
        )
        restarts: Any = SimpleNamespace(all=[SimpleNamespace(roles={WorkloadRole.CONTROLLER})], restart=lambda _: None)
        made.workloads = restarts
        check = CheckContext(made, f"CLASS-04{case}")
        try:
            run_check(FILE, CASES[case], check)
        finally:
            check.close()
        assert not [path for path in cluster.objects if "/services/" in path]

    return run


class Silent:
    """A recorder of claims that hears none."""

    def __enter__(self) -> Self:
        """Hear nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Keep nothing."""

    def of(self, addresses: list[IPAddress]) -> dict[IPAddress, list[Any]]:
        return {address: [] for address in addresses}


@pytest.mark.parametrize("case", CASES)
def test_who_serves_its_own_alone_is_not_blamed(judged: Callable[..., None], case: str) -> None:
    """Nothing is left behind."""
    judged(case, lambda *_: None)


def second(api: Both, path: str) -> bool:
    """Whether a path is that of the second Service of the other one."""
    return api.others.index(path) == 1 if path in api.others else False


def empties(api: Both, path: str, _: Object) -> None:
    """Empty the status of the second one."""
    if second(api, path) and api.address(path):
        api.other(path, {"status": {"loadBalancer": {"ingress": None}}})


def serves_who_waits(api: Both, path: str, made: Object) -> None:
    """Serve who waits for an address of the other implementation."""
    if path in api.others[3:] and made["spec"].get("loadBalancerClass") == CLASS and not api.address(path):
        api.give(path, "192.0.2.250")


def annotates(api: Both, path: str, made: Object) -> None:
    """Annotate the second one."""
    if second(api, path) and "example.com/pool" not in made["metadata"].get("annotations", {}):
        api.other(path, {"metadata": {"annotations": {"example.com/pool": "one"}}})


def answers(api: Both, path: str, _: Object) -> None:
    """Answer for the address of the second one."""
    if second(api, path) and api.address(path):
        api.answered[api.address(path)] = ["w02"]


def tells(api: Both, path: str, made: Object) -> None:
    """Create an Event about the second one."""
    if second(api, path):
        api.events.append({"about": made["metadata"]["uid"], "reason": "Ignored", "source": {"component": ANOTHER}})


def gives_what_is_asked_for(api: Both, path: str, made: Object) -> None:
    """Give a Service of its own what it asks for."""
    asked = made.get("spec", {}).get("loadBalancerIP")
    if made["spec"].get("loadBalancerClass") == OWN and asked and not api.address(path):
        api.give(path, asked)


FAULTS: dict[Fault, tuple[str, str]] = {
    empties: ("ab", rf"written by {ANOTHER}"),
    serves_who_waits: ("ab", rf"written by {ANOTHER}"),
    annotates: ("ab", rf"versions written by {ANOTHER}: 1\b"),
    answers: ("ab", "answered for or claimed by w02"),
    tells: ("ab", "Events about Services of the second implementation: .*Ignored"),
    gives_what_is_asked_for: ("a", "of the second implementation"),
}


@pytest.mark.parametrize(("case", "fault"), [(case, fault) for fault, (cases, _) in FAULTS.items() for case in cases])
def test_who_touches_what_is_the_others_is_blamed(judged: Callable[..., None], case: str, fault: Fault) -> None:
    """For a status, an annotation, an answer, an Event, or an address; of the second Service too, or of who waits."""
    with pytest.raises(AssertionError, match=FAULTS[fault][1]):
        judged(case, fault)


def test_who_does_so_when_it_is_back_is_blamed(judged: Callable[..., None]) -> None:
    """It removes a finalizer when it serves again."""

    def returns(api: Both, path: str, _: Object) -> None:
        if "control-1" in path:
            api.other(api.others[2], {"metadata": {"finalizers": None}})

    with pytest.raises(Violation, match=f"written by {ANOTHER}"):
        judged("b", returns)
