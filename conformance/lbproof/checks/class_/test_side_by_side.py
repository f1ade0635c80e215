"""Two implementations side by side, each with a class of its own: the one that is judged, and one that the suite plays.

The second one is the suite's (`SecondImplementation`): a controller that serves Services of another class, by a watch,
and writes back what somebody else changes, with hosts on the segment that answer for its addresses and serve there.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import WorkloadRole
from lbproof.checks.class_.configured import own_class_alone
from lbproof.context import proves
from lbproof.context.objects import points_of
from lbproof.context.precedence import judging
from lbproof.context.second_implementation import CLASS, SecondImplementation
from lbproof.context.unchanged import untouched
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lbproof.context import CheckContext, Pool, Service

SIZE = 3
"""Number of addresses of the second implementation."""
KINDS = ("ClusterIP", "NodePort")
"""Types of Services that are no LoadBalancers meanwhile."""


class SideBySide:
    """Both implementations during a check, and what is seen of them."""

    def __init__(self, check: CheckContext, own: Sequence[Service]) -> None:
        """Start the second one beside some Services of the judged one. Raises `CannotShow` where no host can join."""
        self.check, self.own = check, [*own]
        self.own_class = check.run.adapter.own_class
        self.second = SecondImplementation(check, SIZE)
        check.undo.enter("the second implementation", self.second)
        self.theirs: list[Service] = []
        """Services of the second one that are there."""
        self._claims = check.claims()

    def create(self, name: str, class_: str, **fields: Any) -> Service:  # noqa: ANN401 - of `CheckContext.service`
        """Create a Service of one of the two."""
        made = self.check.service(name, loadBalancerClass=class_, **fields)
        (self.theirs if class_ == CLASS else self.own).append(made)
        return made

    def ask(self, name: str, class_: str, **asks: Any) -> None:  # noqa: ANN401 - of `CheckContext.service`
        """Create a Service of one of the two that asks for what is the other's; its creation may be refused."""
        made = self.check.unusable(name, loadBalancerClass=class_, **asks)
        (self.theirs if class_ == CLASS else self.own).extend(made)

    def remove(self, service: Service) -> None:
        """Delete a Service of one of the two."""
        with self.check.precondition():
            self.check.delete(service)
        for mine in (self.own, self.theirs):
            if service in mine:
                mine.remove(service)

    def settled(self) -> None:
        """Wait until the second one has given its Services what it can, and serves them."""
        self.second.settled(*self.theirs)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Verify at the end of the block that nobody but its owner has touched a Service or an address."""
        with self._claims, judging(self._judge):
            yield

    def _judge(self) -> None:
        found = self.disturbed()
        assert not found, f"Services and addresses have not one owner each: {words(found)}"
        told = self.second.told()
        assert not told, f"Events about Services of the second implementation: {words(told)}"

    def disturbed(self) -> dict[str, str]:
        """Return what was done to Services and addresses by another than their owner, by what it was done to."""
        found = self.second.disturbed(self._claims)
        for service, given in self.check.statuses(*self.own).items():
            if taken := set(given) & set(self.second.addresses):
                found[str(service)] = f"given {words(taken)}, of the second implementation"
        return found

    def stay(self, budget: str, *, since: float | None = None) -> None:
        """Verify for the time of a budget that each Service and each address has one owner."""
        self.check.wait.consistently(
            self.disturbed,
            lambda found: not found,
            what="Services and addresses of two implementations have one owner each",
            budget=budget,
            since=since,
            every=0.2,
        )


@proves("CLASS-04", "a", disruptive=True)
def test_each_service_has_one_owner(check: CheckContext) -> None:
    """Services of both keep what their owner gave them for a minute, and when the judged controller has restarted.

    They are namesakes in two namespaces. Meanwhile others of both come, go, change their type and return; those of each
    ask for what the other one gives; and some of the second one wait, while the judged one has free addresses. Nobody
    but its owner writes to a Service, tells of it by an Event, or answers for its address.
    """
    check.undo.enter("the own class alone", own_class_alone(check.run))
    pool, places = check.pool(8), (check.namespace, check.second_namespace)
    first = check.service("first", loadBalancerClass=check.run.adapter.own_class)
    with check.precondition("CLASS-01"):
        check.assigned(first, budget="restarted")
    both = SideBySide(check, [first])
    with check.room(loadBalancerClass=both.own_class):
        for name, other, place in (("web", "api", places[0]), ("api", "web", places[1])):
            both.create(name, both.own_class, namespace=place)
            both.create(other, CLASS, namespace=place)
        staying = [*both.own]
        check.all_assigned(*staying)
    with both.watched():
        both.settled()
        marked(both)
        began = time.monotonic()
        with check.unchanged(*staying):
            come_and_go(both)
            ask_for_the_others(both, pool)
            both.settled()
            both.stay("stays_untouched", since=began)
        if any(WorkloadRole.CONTROLLER in workload.roles for workload in check.run.workloads.all):
            check.run.workloads.restart(WorkloadRole.CONTROLLER)
        check.pool(1)
        check.control(budget="restarted", seen=True, loadBalancerClass=both.own_class)
        both.stay("stays_assigned")


def marked(both: SideBySide) -> None:
    """Give Services of the second one, which stay, the marks of the judged one too, as one that is compatible does.

    Those that leave the type have none: whose they are then, nothing says.
    """
    if both.check.run.claims("pool-mark"):
        for service in both.theirs:
            for mark in both.check.run.adapter.pool_marks:
                service.patch(metadata=mark.patch(CLASS))


def come_and_go(both: SideBySide) -> None:
    """Have Services of both come, go, and leave the type and return."""
    check = both.check
    for whose, name in (("own", both.own_class), ("other", CLASS)):
        leaves, returns = [both.create(f"{whose}-{n}", name) for n in range(2)]
        if name == both.own_class:
            check.all_assigned(leaves, returns)
        both.remove(leaves)
        for kind in KINDS:
            returns.patch(spec={"type": kind, "loadBalancerClass": None})
            returns.patch(spec={"type": "LoadBalancer", "loadBalancerClass": name})
        if name == both.own_class:
            with check.precondition("CLASS-01"):
                check.assigned(returns)


def ask_for_the_others(both: SideBySide, pool: Pool) -> None:
    """Have Services of each ask for an address that the other one has given, or has free, and for the judged pool."""
    check = both.check
    held = {address for given in check.statuses(*both.own).values() for address in given}
    free = [address for address in pool.addresses if address not in held]
    for n, how in enumerate(check.run.ways):
        for kind, address in (("free", free[n]), ("held", check.random.choice(sorted(held)))):
            both.ask(f"other-asks-{kind}-{n}", CLASS, ask=address, how=how)
        both.ask(f"own-asks-{n}", both.own_class, ask=both.second.addresses[n], how=how)
    if check.run.claims("pool-select"):
        both.ask("other-names", CLASS, pool=pool)


@proves("CLASS-04", "b", disruptive=True)
def test_uninstalling_one_leaves_the_services_of_the_other_alone(check: CheckContext) -> None:
    """Services of the second one are served, come and go while the judged one is uninstalled, and when it is back.

    Then the second one is uninstalled: its Services stay as it left them, nobody answers for their addresses, and those
    of the judged one keep theirs.
    """
    check.undo.enter("the own class alone", own_class_alone(check.run))
    check.pool(4)
    own = [check.service(f"own-{n}", loadBalancerClass=check.run.adapter.own_class) for n in range(3)]
    with check.precondition("CLASS-01"):
        check.all_assigned(*own, budget="restarted")
    check.delete(own.pop(0))  # the others could be given its address
    both = SideBySide(check, own)
    for n in range(SIZE + 1):  # one waits
        both.create(f"other-{n}", CLASS, namespace=(check.namespace, check.second_namespace)[n % 2])
    with both.watched():
        both.settled()
        with check.run.uninstalled():
            both.remove(check.random.choice([service for service in both.theirs if points_of(service.known)]))
            both.create("other-new", CLASS)
            both.settled()
            both.stay("stays_silent")
        check.control(budget="restarted", seen=True, loadBalancerClass=both.own_class)
        both.stay("stays_assigned")
    with check.precondition("UPGR-05"):
        check.all_assigned(*both.own)
    check.statuses(*both.theirs)
    with both.second.away(), check.unchanged(*both.own), check.unchanged(*both.theirs, part=untouched):
        check.control(loadBalancerClass=both.own_class)
        check.stays_silent(*both.second.addresses)
