"""Checks that something does not happen, on a controller that takes its time: late is not never."""

from __future__ import annotations

import importlib.util
import re
import time
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.suite.slow_controller import FREE, TURN, SlowController

from lbproof import checks
from lbproof.adapters.reference import Reference
from lbproof.checks.class_.configured import own_class_alone
from lbproof.checks.crd.owners import one_each
from lbproof.context import CannotShow, CheckContext, RunContext
from lbproof.lab.base import Segment
from lbproof.spec import Untestable
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.wait import Violation, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lbproof.lab.base import Lab

WITHOUT_CONTROL = frozenset({"core", "pool", "class", "pool-select", "explicit-ip-annotation"})
"""Features by which no pool can be kept for a control."""
CLAIMED = WITHOUT_CONTROL | {"auto-assign"}


class PaperLab:
    """A lab of a segment alone."""

    segment = Segment(name="lan", subnets=(IPv4Network("192.0.2.0/24"),), free=FREE)

    def can(self, _capability: object) -> bool:
        return False

    def clocks(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., CheckContext]:
    """A context of a check, in a cluster whose controller gives addresses to the Services of some names."""
    for name in ("need_families", "opt_in"):
        monkeypatch.setattr(RunContext, name, lambda _, made: made)
    monkeypatch.setattr(RunContext, "ask", lambda *_: None)
    monkeypatch.setattr(RunContext, "ask_pool", lambda *_: None)
    monkeypatch.setattr("lbproof.context.pools.Pools.put", lambda *_: None)
    monkeypatch.setattr(CheckContext, "stays_silent", lambda *_: None)
    monkeypatch.setattr(RunContext, "web", "web")
    monkeypatch.setattr(RunContext, "need_path", lambda _: None)
    monkeypatch.setattr(RunContext, "backends", [])

    def make(gives: Callable[[str], bool], claimed: frozenset[str] = CLAIMED, watch: float = 0.02) -> CheckContext:
        journal = Journal(None)
        run = RunContext(
            lab=cast("Lab", PaperLab()),
            cluster=SlowController(gives).kube,
            adapter=Reference(),
            journal=journal,
            waiter=Waiter(journal, {"stays_pending": watch, "stays_assigned": 0.02, "address_assigned": 2}),
            programs={},
            claimed=claimed,
        )
        return CheckContext(run, "CLASS-01c")

    return make


def run_check(file: str, name: str, *arguments: object) -> None:
    """Call a check by its file below `lbproof/checks` and its name."""
    found = importlib.util.spec_from_file_location("check", Path(checks.__file__).parent / file)
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    getattr(module, name)(*arguments)


CHECKS: dict[str, tuple[str, Callable[[CheckContext], None]]] = {
    "CLASS-01c": (
        "foreign",
        lambda check: run_check(
            "class_/test_own_class.py", "test_a_configured_class_is_the_only_one_served", "acme", check, "c"
        ),
    ),
    "ARTICLE-08": (
        "outside",
        lambda check: run_check("article/test_part_one.py", "test_outside_the_pool_stays_pending", check),
    ),
    "REQ-02": (
        "asks",
        lambda check: run_check(
            "req/test_a_requested_address.py", "test_addresses_outside_every_pool_are_refused", check
        ),
    ),
    "REQ-04a": (
        "wrong",
        lambda check: run_check("req/test_a_requested_address.py", "test_unusable_requests_are_refused", check, "a"),
    ),
    "PEND-01b": (
        "late|oldest",
        lambda check: run_check(
            "pend/test_a_service_that_cannot_be_served_stays_pending.py",
            "test_services_that_cannot_be_served_stay_pending",
            check,
            "b",
        ),
    ),
}


@pytest.mark.parametrize("case", CHECKS)
def test_a_slow_controller_is_seen_to_do_what_it_must_not(
    on: Callable[[Callable[[str], bool]], CheckContext], case: str
) -> None:
    """It gives an address after the shortest watch, and is caught; one as slow that does not is not blamed."""
    left_alone, check = CHECKS[case]

    with pytest.raises(Violation, match=r"stays Pending|changed though nobody asked"):
        check(on(lambda _: True))
    check(on(lambda name: not re.search(left_alone, name)))


@pytest.mark.parametrize("case", ["REQ-02", "ARTICLE-08"])
def test_a_control_that_is_not_served_blames_nobody(
    on: Callable[[Callable[[str], bool]], CheckContext], case: str
) -> None:
    """Another requirement judges whether a Service is given an address."""
    left_alone, check = CHECKS[case]

    with pytest.raises(CannotShow, match=r"control(-1)? is given an address"):
        check(on(lambda name: not re.search(f"{left_alone}|control", name)))


@pytest.mark.parametrize("case", ["REQ-02", "REQ-04a", "ARTICLE-08", "PEND-01b"])
def test_a_control_that_is_not_served_hides_nothing(
    on: Callable[[Callable[[str], bool]], CheckContext], case: str
) -> None:
    """What must be left alone was given an address meanwhile."""
    _, check = CHECKS[case]

    with pytest.raises(Violation, match=r"stays Pending|changed though nobody asked"):
        check(on(lambda name: "control" not in name))


def test_a_prerequisite_names_the_requirement_that_judges_it(
    on: Callable[[Callable[[str], bool]], CheckContext],
) -> None:
    """What fails in it is `untestable` and says for which requirement; it is no failure of the one that is judged."""
    check = on(lambda _: True)
    with (
        pytest.raises(CannotShow, match=r"did not hold: prerequisite L2-01: two answer") as caught,
        check.precondition("L2-01"),
    ):
        raise Violation("two answer")
    assert caught.value.reason is Untestable.PREREQUISITE


@pytest.mark.parametrize("case", ["a", "b"])
def test_without_a_pool_apart_the_watch_ends_after_something_newer_too(
    on: Callable[..., CheckContext], case: str
) -> None:
    """An address that becomes free, or a new pool, goes to one Service, and not to all that wait."""
    file, name = (
        "pend/test_a_service_that_cannot_be_served_stays_pending.py",
        "test_services_that_cannot_be_served_stay_pending",
    )
    run_check(file, name, on(lambda name: not re.search("late|oldest", name), WITHOUT_CONTROL), case)
    with pytest.raises(CannotShow, match="is given to a Service that waits or is new"):
        run_check(file, name, on(lambda name: not re.search("late|oldest|newer", name), WITHOUT_CONTROL), case)

    def woken(name: str) -> bool:
        return not re.search("late|oldest", name) or any("newer" in path for path in cluster.objects)

    check = on(woken, WITHOUT_CONTROL, watch=4 * TURN)
    cluster = cast("SlowController", check.cluster)
    with pytest.raises(Violation, match="is all that is given"):
        run_check(file, name, check, case)


ELECTION = 0.6
"""Seconds that a controller takes to become the leader after its start."""
QUICK = 0.02
"""Seconds that one takes for a Service where many are created."""


RESTARTED = [
    ("test_five_restarts_with_a_full_pool_move_nothing", CLAIMED),
    ("test_five_restarts_with_a_full_pool_move_nothing", WITHOUT_CONTROL),
    ("test_five_restarts_with_a_full_pool_move_nothing", WITHOUT_CONTROL - {"pool-select", "explicit-ip-annotation"}),
    ("test_a_restart_moves_nothing", CLAIMED),
]


@pytest.mark.parametrize(("check", "claimed"), RESTARTED)
def test_a_restarted_controller_is_waited_for_until_it_acts(
    on: Callable[..., CheckContext], check: str, claimed: frozenset[str]
) -> None:
    """It elects a leader first; then it takes the addresses of holders away, or does not.

    Each one, and not the last one alone, whether pools can be kept apart or not: one that is restarted before it acts
    is not judged. Services whose deletion a finalizer holds back go when it acts, which is no failure.
    """
    file = "upgr/test_a_controller_restart_moves_nothing.py"

    def judged(*, wrong_at: int = 0) -> None:
        acts: list[float] = []
        """When the controller that was started last acts, for each start."""

        def gives(name: str) -> bool:
            is_held = name.startswith(("web", "b-web"))
            return not name.startswith(("asker", "waits")) and not (is_held and len(acts) == wrong_at and acted())

        def acted() -> bool:
            return bool(acts) and time.monotonic() >= acts[-1]

        made = on(gives, claimed)
        made.run.wait = Waiter(
            made.run.journal, {"reclaimed": ELECTION / 2, "stays_pending": 0.02, "stays_assigned": 0.02}
        )
        cluster = cast("SlowController", made.cluster)
        cluster.turn = QUICK

        def restart(_role: object) -> None:
            assert not acts or acted(), f"start {len(acts)} is not waited for"
            cluster.busy_until = time.monotonic() + ELECTION
            acts.append(cluster.busy_until)

        made.run.workloads = cast("Any", SimpleNamespace(restart=restart))
        run_check(file, check, made)
        assert acted()

    judged()
    for start in (1, 2):
        with pytest.raises(Violation, match=r"changed though nobody asked|keeps its address"):
            judged(wrong_at=start)


@pytest.mark.parametrize(("count", "is_waited_for"), [(7, True), (4, False)])
def test_the_next_check_waits_for_no_backlog_of_many_services(
    on: Callable[..., CheckContext], monkeypatch: pytest.MonkeyPatch, *, count: int, is_waited_for: bool
) -> None:
    """A controller that takes its time may still be at the Services of a check that has ended."""
    monkeypatch.setattr("lbproof.context.check.MANY", 5)
    check = on(lambda _: True)
    for n in range(count):
        check.service(f"web-{n}")
    behind = time.monotonic() + count * TURN / 2

    check.close()

    assert (time.monotonic() > behind) == is_waited_for
    assert not [path for path in cast("SlowController", check.cluster).objects if "/services/" in path]


def test_an_implementation_that_never_rests_is_no_error(on: Callable[..., CheckContext]) -> None:
    """It is written down; what it did to the check was judged there."""
    check = on(lambda name: name != "rest")
    check.run.wait = Waiter(check.run.journal, {"at_rest": 0.1, "address_assigned": 2})
    rows: list[dict[str, Any]] = []
    check.run.journal.listeners.append(rows.append)
    for n in range(20):
        check.service(f"web-{n}")

    check.close()

    assert [row["what"] for row in rows if row["event"] == "saw"] == ["not at rest after 20 Services"]


def test_the_next_check_meets_no_controller_that_is_being_elected(
    on: Callable[..., CheckContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that has started again with the configuration of before serves a Service first; nothing is left of it."""
    check = on(lambda _: True)
    cluster = cast("SlowController", check.cluster)

    @contextmanager
    def only_own_class(_: RunContext) -> Iterator[str]:
        yield "acme"
        cluster.busy_until = time.monotonic() + ELECTION

    monkeypatch.setattr(RunContext, "only_own_class", only_own_class)
    with own_class_alone(check.run) as name:
        assert name == "acme"

    assert time.monotonic() > cluster.busy_until
    assert not [path for path in cluster.objects if "/services/" in path]


class Sharing(SlowController):
    """A controller that takes Services of several namespaces by what a function says of a namespace and a name."""

    def __init__(self, gives: Callable[[str, str], bool]) -> None:
        super().__init__(lambda _: True)
        self._gives_in = gives

    def _with_status(self, path: str, made: dict[str, Any]) -> dict[str, Any]:
        meta = made["metadata"]
        given = self._gives_in(meta.get("namespace", ""), meta["name"])
        return super()._with_status(path, made) if given else made | {"status": {"loadBalancer": {}}}


def test_who_shares_with_no_other_namespace_is_not_blamed(on: Callable[..., CheckContext]) -> None:
    """Nor who shares by the key alone, as long as it does not when only one of the two has that; else it is blamed."""
    file, name = (
        "sec/test_sharing_across_namespaces.py",
        "test_an_address_is_shared_across_namespaces_only_if_all_allow_it",
    )

    def judged(gives: Callable[[str, str], bool]) -> None:
        check = on(lambda _: True)
        check.run.cluster = Sharing(gives).kube
        run_check(file, name, check)

    def is_apart(place: str, name: str) -> bool:
        return bool(re.search(r"-[0-9a-f]{4}-\d+$", place)) or name.startswith("asks")

    judged(lambda place, name: not is_apart(place, name) and "joins" not in name)
    with pytest.raises(Violation, match=r"joins-0 has the address, or Services of the other namespace"):
        judged(lambda place, name: not is_apart(place, name))
    with pytest.raises(Violation, match="stays Pending"):
        judged(lambda place, name: "joins" not in name and (not is_apart(place, name) or name == "sharer-0-8081"))


def test_a_check_without_a_pool_waits_until_earlier_ones_are_forgotten(on: Callable[..., CheckContext]) -> None:
    """For the rest of the time that an implementation has to take a change up, and no longer."""
    check = on(lambda _: False)
    check.run.wait = Waiter(check.run.journal, {"pool_applied": 0.3})
    for ago, least, most in ((0.1, 0.15, 5), (5, 0, 0.25)):
        began = time.monotonic()
        check.run.acts.set_pools({}, at=began - ago)
        check.pools_forgotten()
        assert least <= time.monotonic() - began <= most


class Doubling(SlowController):
    """A controller that gives one address twice, once it has acted on something newer than both Services."""

    def _with_status(self, path: str, made: dict[str, Any]) -> dict[str, Any]:
        if "second" in path and any(re.search("control|newest", one) for one in self._given):
            held = next(address for one, address in self._given.items() if one.endswith("/first"))
            return made | {"status": {"loadBalancer": {"ingress": [{"ip": str(held)}]}}}
        return super()._with_status(path, made)


@pytest.mark.parametrize("claimed", [CLAIMED, WITHOUT_CONTROL])
def test_an_address_that_is_given_twice_late_is_seen(on: Callable[..., CheckContext], claimed: frozenset[str]) -> None:
    """The watch ends after something newer was acted on; who gives each once is not blamed."""

    def judged(kind: type[SlowController]) -> None:
        check = on(lambda _: True, claimed)
        check.run.cluster = kind(lambda _: True).kube
        check.all_assigned(check.service("first"), check.service("second"))
        one_each(check)

    judged(SlowController)
    with pytest.raises(AssertionError, match="given to two Services"):
        judged(Doubling)
