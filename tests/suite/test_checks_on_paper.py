"""What checks do before they judge, on paper: endpoints of Services, ways to ask, further addresses, the seed."""

from __future__ import annotations

from contextlib import nullcontext
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.suite.acme import Acme
from tests.suite.fake_cluster import FakeCluster, Object
from tests.suite.test_pools import context

from lbproof import checks
from lbproof.adapters.reports import EventPattern
from lbproof.checks.evt import test_events_tell_the_truth as event_checks
from lbproof.checks.l2 import test_exactly_one_node_answers as answer_checks
from lbproof.checks.l2 import test_only_requests_are_answered as frame_checks
from lbproof.checks.pool import test_addresses_come_from_the_pool as pool_checks
from lbproof.checks.req import test_a_requested_address as request_checks
from lbproof.checks.upgr import test_a_controller_restart_moves_nothing as restart_checks
from lbproof.context import CheckContext, RunContext, Service
from lbproof.context.claims import Claim
from lbproof.context.observations import Observations
from lbproof.witnesses import neighbour, neighbours
from lbproof.witnesses.frames import BROADCAST
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.kube import ApiError
from lbproof.witnesses.wait import Violation, Waiter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.vantage import Vantage

ONE, OTHER, BACKEND = (IPv4Address(f"192.0.2.{host}") for host in (160, 161, 7))
UNKNOWN, MAC = IPv4Address("192.0.2.99"), "02:00:00:00:00:01"
WITHOUT_ENDPOINTS = "pool/test_a_service_without_endpoints_is_served.py"


class Cluster(FakeCluster):
    """An API server that creates objects too."""

    def create(self, path: str, made: Object) -> Object:
        self.objects[f"{path}/{made['metadata']['name']}"] = made
        return made


def test_every_service_has_endpoints_unless_it_is_to_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the shared workload: an implementation may give addresses to what can be served alone."""
    cluster = Cluster()
    run = context(Acme(), cluster)
    vars(run).update(backends=[(BACKEND, "w01")], web="web")
    monkeypatch.setattr(RunContext, "pods_of_web", lambda _: [("web-1", BACKEND, "w01")])
    monkeypatch.setattr(RunContext, "need_path", lambda _: None)
    check = CheckContext(run, "POOL-01", capture=False)
    web = check.service("web")
    check.service("bare", endpoints=False)
    check.service("served", serving=True)

    slices = [one for path, one in cluster.objects.items() if "/endpointslices/" in path]
    services = {path.rpartition("/")[2]: one for path, one in cluster.objects.items() if "/services/" in path}
    (found,) = slices
    assert found["metadata"]["labels"]["kubernetes.io/service-name"] == web.name
    assert found["metadata"]["namespace"] == web.namespace
    assert [end["addresses"] for end in found["endpoints"]] == [[str(BACKEND)]]
    assert services["pool-01-served"]["spec"]["selector"] == {"app": "web"}
    assert "selector" not in services["web"]["spec"]


def test_endpoints_have_the_ports_of_their_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """With protocol and name, and only those on the wanted nodes, in the wanted condition."""
    cluster = Cluster()
    run = context(Acme(), cluster)
    pods = [("web-1", BACKEND, "w01"), ("web-2", OTHER, "w02")]
    vars(run).update(backends=[pod[1:] for pod in pods], web="web")
    monkeypatch.setattr(RunContext, "pods_of_web", lambda _: pods)
    check = CheckContext(run, "POOL-01", capture=False)
    ports = [{"name": "dns", "protocol": "UDP", "port": 53, "targetPort": 8080}]
    check.service("dns", ports=ports, nodes=["w02"], share="one")

    (found,) = [one for path, one in cluster.objects.items() if "/endpointslices/" in path]
    (made,) = [one for path, one in cluster.objects.items() if "/services/" in path]
    assert found["ports"] == [{"name": "dns", "port": 8080, "protocol": "UDP"}]
    assert [(end["addresses"], end["nodeName"], end["conditions"]) for end in found["endpoints"]] == [
        ([str(OTHER)], "w02", {"ready": True})
    ]
    assert made["metadata"]["labels"]["acme.example/share"] == "one"


def test_no_other_check_has_services_without_endpoints() -> None:
    """POOL-07 alone needs them, and is behind a feature."""
    home = Path(checks.__file__).parent
    files = {str(path.relative_to(home)) for path in home.rglob("*.py") if "endpoints=False" in path.read_text()}

    assert files == {WITHOUT_ENDPOINTS}


def test_an_address_is_asked_for_in_each_way_in_which_hosts_ask() -> None:
    """By broadcast and unicast, without a sender, from an address never seen before, with a filled target."""
    seen = Observations(cast("RunContext", None))
    ask = neighbour.Question
    unspecified = IPv4Address(0)

    assert list(seen.ways_to_ask(ONE, MAC, unknown=UNKNOWN).values()) == [
        ask(target=ONE),
        ask(target=ONE, to=MAC),
        ask(target=ONE, sender=unspecified),
        ask(target=ONE, sender=UNKNOWN),
        ask(target=ONE, target_mac=MAC),
        ask(target=ONE, target_mac=BROADCAST),
    ]
    six = IPv6Address("2001:db8::1")
    other = IPv6Address("2001:db8::9")
    assert list(seen.ways_to_ask(six, MAC, unknown=other).values()) == [ask(target=six)]
    assert list(seen.ways_to_ask(six, MAC, unknown=other, corners=True).values()) == [
        ask(target=six),
        ask(target=six, to=MAC),
        ask(target=six, sender=IPv6Address(0)),
    ]


@pytest.mark.parametrize("passes", [True, False])
def test_a_frame_of_another_source_counts_where_the_kernel_of_the_node_answers_one(*, passes: bool) -> None:
    """A switch may drop it: then nothing is held against an address that has no answer."""
    node = SimpleNamespace(name="w01", address_for=lambda _: BACKEND)

    def unanswered(questions: Sequence[neighbour.Question]) -> list[neighbour.Question]:
        assert {question.ether_src for question in questions} <= {frame_checks.SENDER}
        return [question for question in questions if not passes or question.target != BACKEND]

    check = SimpleNamespace(
        lab=SimpleNamespace(nodes=[node]),
        unanswered=unanswered,
        saw=lambda *_: None,
        wait=Waiter(Journal(None), {"announced": 0.1}),
    )
    with pytest.raises(Violation, match="another source") if passes else nullcontext():
        frame_checks.answered_whoever_sends(cast("CheckContext", check), {ONE: "w01", OTHER: MAC})


@pytest.mark.parametrize("given", [True, False])
def test_services_that_are_not_seen_to_share_are_left_out_of_a_restart(*, given: bool) -> None:
    """Two Services have a port in common, and each of the others one with each of the two; SHARE-01 judges the rest."""
    made: dict[str, set[int]] = {}
    deleted: list[str] = []
    removed: list[str] = []

    def service(name: str, *, share: str, ports: Sequence[Object]) -> str:
        assert share
        made[name] = {port["port"] for port in ports}
        return name

    def all_assigned(*services: str) -> None:
        if not given and services[0].startswith("shares"):
            raise Violation("Pending")

    wait = Waiter(Journal(None), {})
    check = SimpleNamespace(
        run=SimpleNamespace(claims=lambda *_: True),
        pool=lambda _: "pool",
        service=service,
        services=made,
        wait=wait,
        all_assigned=all_assigned,
        delete_all=lambda *services: deleted.extend(services),
        remove_pool=removed.append,
    )
    found = list(map(str, restart_checks.sharers(cast("CheckContext", check))))
    between, shares = list(made.values())[:2], list(made.values())[2:]

    assert between[0] & between[1]
    assert all(len(ports & one) + len(ports & another) == 1 for ports in shares for one, another in [between])
    assert [sum(bool(ports & one) for ports in shares) for one in between] == [2, 2]
    assert len(set.union(*shares)) == len(shares)
    assert (found, removed) == ((list(made)[2:], []) if given else ([], ["pool"]))
    assert deleted == list(made)[: 2 if given else None]


class Cold(Observations):
    """A host that is served, and an address that is announced while some requests are under way."""

    def __init__(self) -> None:
        self.heard, self.announces = 0, False
        self.forgotten: list[object] = []

    def announcements(self, _: object) -> list[int]:
        return [0] * self.heard

    def ask_pod_or_why(self, *_: object, **__: object) -> str:
        assert self.forgotten, "the entry is removed before the request"
        self.heard += self.announces
        return "web-1"


def test_an_answer_beside_an_announcement_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next hop may have its entry from there, and nobody would have answered it."""
    check, hop = Cold(), cast("Any", SimpleNamespace(name="router"))
    monkeypatch.setattr(neighbours, "forget", lambda _, address: check.forgotten.append(address))

    def answer() -> str:
        return check.cold_answer(hop, ONE, hop=hop, heard=cast("neighbour.Listener", check))

    assert answer() == "web-1"
    check.announces = True
    assert answer().startswith("undecided")
    check.announces = False
    assert answer() == "web-1"
    assert check.forgotten == [ONE] * 3


class Given(Service):
    """A Service that has two addresses."""

    def __init__(self) -> None:
        super().__init__(FakeCluster().kube, "ns", "web")

    def addresses(self) -> list[IPAddress]:
        return [ONE, OTHER]


class Statuses:
    """A check whose Services have these addresses."""

    def __init__(self, *held: IPv4Address) -> None:
        self.held = list(held)

    def all_assigned(self, *services: Service) -> dict[Service, IPv4Address]:
        return dict.fromkeys(services, self.held[0])

    def statuses(self, *services: Service) -> dict[Service, list[IPv4Address]]:
        return dict.fromkeys(services, self.held)


def test_further_addresses_of_a_status_are_judged() -> None:
    """The second one lies outside the pools, or was not asked for."""
    service = Given()
    good, bad = (cast("CheckContext", Statuses(*held)) for held in ((ONE,), (ONE, OTHER)))

    pool_checks.inside(good, [service], [ONE])
    with pytest.raises(AssertionError, match=r"192\.0\.2\.161 was given; the pools have 192\.0\.2\.160"):
        pool_checks.inside(bad, [service], [ONE])
    with pytest.raises(AssertionError, match="another address was given"):
        request_checks.exactly(bad, {service: ONE})


def test_sizes_and_orders_are_drawn_from_the_seed_and_the_case() -> None:
    """The same ones for the same two, and others for another seed or case."""

    def drawn(seed: int, case: str) -> list[float]:
        run = context(Acme(), FakeCluster())
        run.seed = seed
        check = CheckContext(run, case, capture=False)
        return [check.random.random() for _ in range(3)]

    assert drawn(1, "POOL-01") == drawn(1, "POOL-01")
    assert len({tuple(drawn(seed, case)) for seed in (1, 2) for case in ("POOL-01", "POOL-02a")}) == 4


class Asking(CheckContext):
    """A check on paper, in a lab with every vantage, some of which are answered by the node that has the address."""

    def __init__(self, *silent: str) -> None:
        journal = Journal(None)
        places: dict[str, Any] = {name: SimpleNamespace(name=name) for name in ("client", "router", "w01", "w02")}
        node = [SimpleNamespace(name=name, mac=f"02:00:00:00:00:0{name[-1]}") for name in ("w01", "w02")]
        lab = SimpleNamespace(
            nodes=node, can=lambda _: True, client=lambda: places["client"], router=lambda: places["router"]
        )
        lab.node = places.__getitem__
        wait = Waiter(journal, {"arp_answer": 0.01, "one_answerer_watch": 0.01})
        self.run: Any = SimpleNamespace(lab=lab, journal=journal, wait=wait, addresses=lambda *_: [UNKNOWN], seed=1)
        self.case, self.silent = "L2-01", silent
        self.asked: list[str] = []
        self._unserved = {}

    def ask_each(
        self, vantage: Vantage, questions: Sequence[neighbour.Question], **_: float
    ) -> list[list[neighbour.Reply]]:
        self.asked.append(vantage.name)
        reply = neighbour.Reply(mac=MAC, ether_src=MAC, seconds=0.001)
        return [[] if vantage.name in self.silent else [reply] for _ in questions]


def test_an_address_is_asked_for_from_client_router_and_every_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence towards one of them is told, once the question was repeated."""
    check, deaf = Asking(), Asking("router")
    monkeypatch.setattr(neighbour, "ask_each", check.ask_each)
    assert answer_checks.asked(check, {ONE: "w01"}) == {}
    assert answer_checks.asked_by_nodes(check, [ONE]) == {ONE: {"w01": 2}}
    assert set(check.asked) == {"client", "router", "w01", "w02"}

    monkeypatch.setattr(neighbour, "ask_each", deaf.ask_each)
    assert answer_checks.asked(deaf, {ONE: "w01"}) == {"from the router": 1}
    assert deaf.asked.count("router") == 2


def claims_of(*rows: tuple[float, str]) -> list[Claim]:
    """Claims of one address: moment and node of each."""
    return [Claim(cast("Any", SimpleNamespace(t=t)), node, node) for t, node in rows]


@pytest.mark.parametrize(
    ("rows", "who"),
    [
        ([(0.1, "w02"), (0.2, "w01"), (2, "w01")], {}),
        ([(0.1, "w01"), (0.2, "w02"), (0.3, "w01"), (2, "w01")], {"w01": 2, "w02": 1}),
        ([(2, "w01"), (3, "w02"), (9, "w02")], {"w01": 1, "w02": 2}),
        ([(2, "w01"), (11, "w01"), (11.1, "w02"), (12.5, "w02"), (12.6, "w01")], {}),
        ([(2, "w01"), (11, "w01"), (11.1, "w02"), (11.2, "w01")], {"w01": 2, "w02": 1}),
    ],
    ids=["before-the-first-answer", "two-at-first", "at-rest", "moves-in-order", "two-during-changes"],
)
def test_an_address_may_move_in_order_while_pools_change_and_not_at_rest(
    rows: list[tuple[float, str]], who: dict[str, int]
) -> None:
    """At rest, from second 1 to 10, one node alone claims it; at no time do two have it."""
    found = answer_checks.claimed_by_several({ONE: claims_of(*rows)}, {ONE: {}}, (1, 10))

    assert found == ({str(ONE): who} if who else {})


def test_an_answer_of_a_second_node_to_a_node_is_one_at_rest() -> None:
    """It is seen at the node alone."""
    answers = {"w01": 1, "w02": 1}
    found = answer_checks.claimed_by_several({ONE: claims_of((2, "w01"))}, {ONE: answers}, (1, 10))

    assert found == {str(ONE): answers}


@pytest.mark.parametrize(
    ("answers", "who"),
    [
        (["a", "a", "b", "b"], ""),
        (["a", "ab", "b"], "ab"),
        (["ab"], "ab"),
        (["a", "", "ab", "b"], ""),
        (["a", "aa", "b"], ""),
    ],
    ids=["moves", "both", "both-at-first", "late", "one-twice"],
)
def test_one_request_has_one_answer_also_while_an_address_moves(answers: list[str], who: str) -> None:
    """Unless the first of two is late: it answers the request before, which had none."""
    replies = [[neighbour.Reply(mac=mac, ether_src=mac, seconds=0.01) for mac in macs] for macs in answers]

    assert answer_checks.answered_twice(replies) == set(who)


class Terminating(Cluster):
    """An API server where a Service that is deleted stays for some reads, and its name is taken until then."""

    def create(self, path: str, made: Object) -> Object:
        if f"{path}/{made['metadata']['name']}" in self.objects:
            raise ApiError(f"POST {path}", HTTPStatus.CONFLICT, "AlreadyExists", "already exists")
        return super().create(path, made)


@pytest.mark.parametrize("reads", [0, 3])
def test_a_name_that_a_finalizer_holds_is_waited_for(monkeypatch: pytest.MonkeyPatch, reads: int) -> None:
    """A Service that is created again is there at once, or when its former one is gone; no error blames the suite."""
    cluster = Terminating()
    run = context(Acme(), cluster)
    vars(run).update(backends=[(BACKEND, "w01")])
    monkeypatch.setattr(RunContext, "pods_of_web", lambda _: [("web-1", BACKEND, "w01")])
    check = CheckContext(run, "POOL-02c", capture=False)
    former = check.service("web")
    cluster.finalizers[former.path] = reads
    cluster.discard(former.path)

    again = check.service_again(former)

    assert (again.path, cluster.finalizers[former.path]) == (former.path, 0)
    assert cluster.exists(again.path)


def test_refusals_are_compared_without_the_names_of_their_services() -> None:
    """The same words about two Services are the same."""
    pattern = EventPattern(type="Warning", reason="Failed")
    texts = []
    for name in ("late", "outside"):
        cluster = FakeCluster()
        service = Service(cluster.kube, "ns", name)
        told = [{"type": "Warning", "reason": "Failed", "message": f'cannot allocate for "ns/{name}": none is free'}]
        cluster.objects[service.path] = {"metadata": {"namespace": "ns", "name": name}, "events": told}
        texts.append(event_checks.worded(service, pattern))

    assert texts == [{'cannot allocate for "-": none is free'}] * 2
