"""Services that must not change, seen by a watch; refusals of an admission; waits for several Services."""

from __future__ import annotations

import copy
import threading
from contextlib import nullcontext
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest

from lbproof.context.objects import Service
from lbproof.context.observations import Observations
from lbproof.context.refusal import Refused, admission
from lbproof.context.unchanged import addresses_of, intact, items_of, unchanged, untouched, without
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.kube import ApiError
from lbproof.witnesses.wait import EventuallyFailed, Violation, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lbproof.context.run import RunContext
    from lbproof.witnesses.kube import Kube

Object = dict[str, Any]


def service(name: str = "web", *ips: str, **metadata: str) -> Object:
    """A Service with these IPs in its status."""
    rows = {"ingress": [{"ip": ip} for ip in ips]} if ips else {}
    meta = {"namespace": "ns", "name": name, "uid": name, "resourceVersion": "8", **metadata}
    return {"metadata": meta, "spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": rows}}


class Cluster:
    """An API server with Services, whose watch delivers the given versions and then the marker."""

    def __init__(self, *existing: Object, events: tuple[tuple[str, Object], ...] = ()) -> None:
        self.existing, self.events, self.marker = existing, events, ""
        self.ends = threading.Event()

    def list_with_version(self, _path: str) -> tuple[list[Object], str]:
        return list(self.existing), "7"

    def watch(self, *_: object, **__: object) -> Iterator[Object]:
        for kind, made in self.events:
            yield {"type": kind, "object": made}
        self.ends.wait(5)
        yield {"type": "ADDED", "object": service(self.marker)}

    def create(self, _path: str, made: Object) -> None:
        self.marker = made["metadata"]["name"]
        self.ends.set()

    def delete(self, _path: str) -> None:
        pass

    def known(self, *made: Object) -> tuple[Service, ...]:
        """Handles of Services that a check knows as they are given."""
        found = []
        for one in made:
            found.append(Service(cast("Kube", self), "ns", one["metadata"]["name"]))
            found[-1].known = one
        return tuple(found)


def with_host_name(made: Object) -> Object:
    """It, with a host name in its status."""
    changed = copy.deepcopy(made)
    changed["status"]["loadBalancer"]["ingress"] = [{"hostname": "soon.example"}]
    return changed


def with_spec(made: Object) -> Object:
    """It, with another spec."""
    changed = copy.deepcopy(made)
    changed["spec"]["loadBalancerIP"] = "192.0.2.9"
    return changed


def with_label(made: Object) -> Object:
    """It, with another label."""
    changed = copy.deepcopy(made)
    changed["metadata"]["labels"] = {"seen": "yes"}
    return changed


def by_proxy(made: Object) -> Object:
    """It, with an address that is said to be a proxy's."""
    changed = copy.deepcopy(made)
    changed["status"]["loadBalancer"]["ingress"][0]["ipMode"] = "Proxy"
    return changed


HELD, EMPTY = service("web", "192.0.2.1"), service()


@pytest.mark.parametrize(
    ("before", "versions", "part", "says"),
    [
        (HELD, [EMPTY, HELD], addresses_of, "addresses 192.0.2.1 → nothing"),
        (HELD, [service("web", "192.0.2.1", "192.0.2.2")], addresses_of, "→ 192.0.2.1, 192.0.2.2"),
        (EMPTY, [with_host_name(EMPTY), EMPTY], addresses_of, "nothing → soon.example"),
        (HELD, [by_proxy(HELD)], addresses_of, "192.0.2.1 → 192.0.2.1 (ipMode Proxy)"),
        (EMPTY, [with_spec(EMPTY)], intact, "loadBalancerIP: 192.0.2.9"),
        (EMPTY, [service(deletionTimestamp="2026")], intact, "being deleted no → yes"),
        (EMPTY, [with_label(EMPTY), EMPTY], untouched, "labels nothing → seen: yes"),
    ],
    ids=["blink", "second-address", "host-name", "proxy", "spec", "deletion", "label"],
)
def test_a_change_is_seen_however_short(
    before: Object, versions: list[Object], part: Callable[[Object], Object], says: str
) -> None:
    """Of addresses, spec or everything, as the check asks; what it did not ask about may change."""
    cluster = Cluster(before, events=tuple(("MODIFIED", version) for version in versions))
    with (
        pytest.raises(Violation, match="changed though nobody asked") as failure,
        unchanged(cast("Kube", cluster), cluster.known(before), part),
    ):
        pass
    assert says in str(failure.value)


def test_what_was_not_asked_about_may_change() -> None:
    """A label of the implementation's own on its own Service, another Service, and nothing at all."""
    cluster = Cluster(HELD, events=(("MODIFIED", with_label(HELD)), ("ADDED", service("other", "192.0.2.7"))))
    with unchanged(cast("Kube", cluster), cluster.known(HELD), intact):
        pass
    with unchanged(cast("Kube", cluster), (), intact):
        pass


def test_a_change_before_the_watch_is_one_since_the_check_knew_the_service() -> None:
    """The answer to the creation counts, and not what is read when the watch begins."""
    cluster = Cluster(HELD)
    with (
        pytest.raises(Violation, match="nothing → "),
        unchanged(cast("Kube", cluster), cluster.known(EMPTY), addresses_of),
    ):
        pass


def test_what_a_former_owner_left_may_go_and_nothing_else() -> None:
    """Neither may it be changed, nor may anything be added."""
    before = with_label(HELD)
    left = items_of(before) - items_of(EMPTY)

    def seen(*versions: Object) -> str:
        cluster = Cluster(before, events=tuple(("MODIFIED", version) for version in versions))
        try:
            with unchanged(cast("Kube", cluster), cluster.known(before), lambda made: without(made, left)):
                pass
        except Violation as failure:
            return str(failure)
        return ""

    assert seen(HELD, EMPTY) == ""
    assert "status nothing → loadBalancer: ingress: " in seen(service("web", "192.0.2.2"))
    assert "loadBalancerIP" in seen(with_spec(HELD))
    assert seen({**EMPTY, "spec": {}}) != ""


def test_a_deletion_is_a_change() -> None:
    """A Service that is gone has kept nothing."""
    cluster = Cluster(HELD, events=(("DELETED", HELD),))
    with pytest.raises(Violation, match="is gone"), unchanged(cast("Kube", cluster), cluster.known(HELD), addresses_of):
        pass


@pytest.mark.parametrize(
    ("status", "message", "own_kind", "refused"),
    [
        (403, 'admission webhook "acme.example" denied the request: no', False, True),
        (422, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", False, True),
        (422, "spec.addresses: Invalid value", True, True),
        (422, "spec.ports: Required value", False, False),
        (403, 'pools is forbidden: User "lbproof" cannot create', True, False),
        (500, "failed calling webhook", True, False),
    ],
)
def test_a_refusal_of_the_implementation_is_its_answer(
    status: int, message: str, *, own_kind: bool, refused: bool
) -> None:
    """Its admission's, and of its own kinds its schema's; anything else stays an error of the request."""
    words = message.partition("'")[0].partition('"')[0]
    with pytest.raises(Refused if refused else ApiError, match=words), admission("it", own_kind=own_kind):
        raise ApiError("POST /x", status, "Reason", message)


@pytest.mark.parametrize("claimed", [True, False])
def test_a_status_may_be_withdrawn_with_the_endpoints_where_an_address_needs_them(*, claimed: bool) -> None:
    """Then its Service has another address afterwards, or the same, once the withdrawal has had its time."""

    class Run:
        def __init__(self, cluster: Cluster) -> None:
            self.cluster, self.journal = cluster, Journal(None)
            self.wait = Waiter(self.journal, {"reclaimed": 0.01})

        def claims(self, *needs: str) -> bool:
            return claimed and needs == ("without-endpoints",)

    class Check(Observations):
        waited: ClassVar[list[str]] = []

        def wait_out(self, budget: str, *, since: float | None = None) -> None:  # noqa: ARG002
            self.waited.append(budget)

        def all_assigned(self, *services: Service, budget: str = "address_assigned") -> Any:  # noqa: ANN401, ARG002
            return dict.fromkeys(services, self.waited)

    cluster = Cluster(HELD, events=(("MODIFIED", EMPTY),))
    check = Check(cast("RunContext", Run(cluster)))
    (service,) = cluster.known(HELD)
    with (
        pytest.raises(Violation, match=r"192\.0\.2\.1 → nothing") if claimed else nullcontext(),
        check.unchanged_without_endpoints(service),
    ):
        pass

    assert check.assigned_again(service) == {service: [] if claimed else ["reclaimed"]}


class OneAtATime:
    """An API server whose controller gives an address with each second read."""

    def __init__(self, count: int, most: int) -> None:
        self.names, self.reads, self.most = [f"web-{n}" for n in range(count)], 0, most

    def list(self, _path: str) -> list[Object]:
        self.reads += 1
        given = min(self.reads // 2, self.most)
        return [service(name, *([f"192.0.2.{n}"] if n < given else [])) for n, name in enumerate(self.names)]


def test_each_further_service_has_the_time_of_one() -> None:
    """Nothing says that a controller serves several at once; one that stops is late by the time of one."""

    class Run:
        def __init__(self, cluster: OneAtATime) -> None:
            self.cluster, self.wait = cluster, Waiter(Journal(None), {"address_assigned": 0.2})

    def check(most: int) -> tuple[Observations, list[Service]]:
        cluster = OneAtATime(20, most)
        return Observations(cast("RunContext", Run(cluster))), [
            Service(cast("Kube", cluster), "ns", name) for name in cluster.names
        ]

    patient, services = check(most=20)
    assert [str(address) for address in patient.all_assigned(*services).values()] == [f"192.0.2.{n}" for n in range(20)]
    assert services[3].known["metadata"]["name"] == "web-3"

    stuck, services = check(most=5)
    with pytest.raises(EventuallyFailed, match=r"one more of 20 Services is given an address.*5 of 20"):
        stuck.all_assigned(*services)


class Stepwise:
    """A controller that takes a step with each second look, up to some number of them."""

    def __init__(self, most: int) -> None:
        self.looks, self.most = 0, most

    def done(self) -> int:
        self.looks += 1
        return min(self.looks // 2, self.most)


def observing(budget: str) -> Observations:
    """Observations that have half a second for a budget."""

    class Run:
        wait = Waiter(Journal(None), {budget: 0.5})

    return Observations(cast("RunContext", Run()))


def test_whatever_is_counted_has_the_time_of_one_for_each() -> None:
    """Five steps are in time, though they take longer than one may; a controller that stops is late."""
    seen = observing("pool_applied")
    steps: dict[str, Any] = {"what": "one more", "budget": "pool_applied", "every": 0.1}

    assert seen.one_by_one(Stepwise(10).done, int, 5, **steps) == 5
    with pytest.raises(EventuallyFailed, match="one more: not within"):
        seen.one_by_one(Stepwise(2).done, int, 3, **steps)


def test_what_is_counted_and_lost_again_is_no_progress() -> None:
    """A count that goes up and down does not earn further time."""
    counts = iter([1, 0] * 1000)
    with pytest.raises(EventuallyFailed, match="one more"):
        observing("pool_applied").one_by_one(lambda: next(counts), int, 2, what="one more", budget="pool_applied")


def test_addresses_that_go_one_by_one_have_the_time_of_one_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have all gone then; where none goes, all are held after the time of one."""
    for most, kept in ((8, 0), (0, 8)):
        seen, controller = observing("pool_applied"), Stepwise(most)
        held = {Service(cast("Kube", None), "ns", f"web-{n}"): ip_address(f"192.0.2.{n}") for n in range(8)}

        def statuses(*services: Service, controller: Stepwise = controller, held: Any = held) -> object:  # noqa: ANN401
            threading.Event().wait(0.08)
            gone = controller.done()
            return {service: [held[service]] if n >= gone else [] for n, service in enumerate(services)}

        monkeypatch.setattr(seen, "statuses", statuses)
        assert len(seen.still_held(held, budget="pool_applied")) == kept
