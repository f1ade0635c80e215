"""Services that change hands: the class is set when a Service becomes a LoadBalancer, and cannot be changed then."""

from __future__ import annotations

import functools
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.checks.recl.released import given_to_new
from lbproof.context import proves
from lbproof.context.objects import points_of
from lbproof.context.unchanged import items_of, without
from lbproof.lab.base import Capability
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.context import CheckContext, Service

FOREIGN = "example.com/another"
KINDS = ("ClusterIP", "NodePort")
"""Types of Services that are no LoadBalancers meanwhile."""


def hand_over(service: Service, kind: str) -> None:
    """Have a Service leave the type LoadBalancer, and return to it with a class; `kind`: the type meanwhile."""
    service.patch(spec={"type": kind, "loadBalancerClass": None})
    service.patch(spec={"type": "LoadBalancer", "loadBalancerClass": FOREIGN})


@contextmanager
def standing_still(check: CheckContext) -> Iterator[None]:
    """Have the allocator stand still during the block, so that it may process all that changes there as one change.

    It goes on where the lab cannot do that, or where the allocator announces too.
    """
    pods = check.run.workloads.pods(WorkloadRole.CONTROLLER)
    both = set(pods) & set(check.run.workloads.pods(WorkloadRole.ANNOUNCER))
    if both or not check.lab.can(Capability.FREEZE_POD):
        check.saw("api", "the allocator goes on while Services change hands", sorted(name for *_, name in both))
        pods = []
    with ExitStack() as still:
        for _, namespace, name in pods:
            freeze = functools.partial(check.lab.freeze_pod, namespace, name)
            still.enter_context(check.fault(Capability.FREEZE_POD, freeze))
        yield


@proves("CLASS-03", "a", disruptive=True)
def test_the_old_owner_lets_a_service_go(check: CheckContext) -> None:
    """Services that return with another class, or are created again so, free their addresses for others at once.

    For some that ask for them, and for some that do not. Also those that did while the old owner saw nothing of it.
    They have no address then, and nothing of them changes while others are given theirs, but that the old owner may
    remove what it has left on them.
    """
    pool = check.pool(2 * len(KINDS) + 2)
    *leaving, deleted, replaced = [check.service(f"web-{n}") for n in range(len(pool.addresses))]
    created = {service: items_of(service.known) for service in leaving}
    check.all_assigned(*leaving, deleted, replaced)
    for service, kind in zip(leaving[: len(KINDS)], KINDS, strict=True):
        hand_over(service, kind)
    check.delete(deleted)
    again = [check.service(deleted.name, loadBalancerClass=FOREIGN)]
    with standing_still(check):
        for service, kind in zip(leaving[len(KINDS) :], KINDS, strict=True):
            hand_over(service, kind)
        check.cluster.discard(replaced.path)
        if not check.cluster.exists(replaced.path):  # no finalizer keeps it, which its owner has to remove
            again.append(check.service(replaced.name, loadBalancerClass=FOREIGN))
    if len(again) == 1:
        check.delete(replaced)
    foreign = [*leaving, *again]
    check.one_by_one(
        lambda: {str(service): points_of(service.read()) for service in foreign},
        lambda seen: sum(not held for held in seen.values()),
        len(foreign),
        what=f"one more of {words([str(service) for service in foreign])}, of another class, has no address",
        budget="reclaimed",
    )
    new = given_to_new(check, pool.addresses, "new", namespace=check.second_namespace)
    check.statuses(*foreign)  # what is known of them from here on
    left = {s.known["metadata"]["uid"]: items_of(s.known) - created[s] for s in leaving}
    with check.unchanged(
        *foreign, part=lambda service: without(service, left.get(service["metadata"]["uid"], frozenset()))
    ):
        check.delete(new[0])
        check.control()


@proves("CLASS-03", "b")
def test_the_new_owner_takes_a_service(check: CheckContext) -> None:
    """Services of another class that return as the implementation's own are given addresses, and are answered.

    So are those to which the former owner had given an address.
    """
    check.pool(3)
    coming = [check.service(f"web-{n}", serving=True, loadBalancerClass=FOREIGN) for n in range(3)]
    for service, address in zip(coming, check.run.addresses(2), strict=False):
        service.write_address(address)
    for service, kind in zip(coming, ("ClusterIP", "NodePort", "ClusterIP"), strict=True):
        check.retype(service, kind)
        check.retype(service, "LoadBalancer")
    held = check.all_assigned(*coming)
    assert len(set(held.values())) == len(coming), f"one address for several: {words(list(held.values()))}"
    if check.run.claims("l2"):
        check.holders(*held.values())
