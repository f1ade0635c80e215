"""Services that change hands: the class is set when a Service becomes a LoadBalancer, and cannot be changed then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import proves
from lbproof.context.objects import points_of
from lbproof.context.unchanged import items_of, without
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Service

FOREIGN = "example.com/another"


def hand_over(service: Service, kind: str) -> None:
    """Have a Service leave the type LoadBalancer, and return to it with a class; `kind`: the type meanwhile."""
    service.patch(spec={"type": kind, "loadBalancerClass": None})
    service.patch(spec={"type": "LoadBalancer", "loadBalancerClass": FOREIGN})


@proves("CLASS-03", "a")
def test_the_old_owner_lets_a_service_go(check: CheckContext) -> None:
    """Services that return with another class, or are created again so, free their addresses for others at once.

    They have no address then, and nothing of them changes while others are given theirs, but that the old owner may
    remove what it has left on them.
    """
    pool = check.pool(3)
    leaving = [check.service(f"web-{n}") for n in range(3)]
    created = {service: items_of(service.known) for service in leaving}
    held = check.all_assigned(*leaving)
    for service, kind in zip(leaving[:2], ("ClusterIP", "NodePort"), strict=True):
        hand_over(service, kind)
    check.delete(leaving[2])
    gone = check.service("web-2", loadBalancerClass=FOREIGN)
    foreign = [*leaving[:2], gone]
    check.one_by_one(
        lambda: {str(service): points_of(service.read()) for service in foreign},
        lambda seen: sum(not held for held in seen.values()),
        len(foreign),
        what=f"one more of {words([str(service) for service in foreign])}, of another class, has no address",
        budget="reclaimed",
    )
    new = [check.service(f"new-{n}", namespace=check.second_namespace) for n in range(3)]
    given = check.all_assigned(*new, budget="reclaimed")
    assert set(given.values()) == set(pool.addresses), (
        f"given {words(list(given.values()))}, while {words(held)} were freed"
    )
    check.statuses(*foreign)  # what is known of them from here on
    left = {s.known["metadata"]["uid"]: items_of(s.known) - created[s] for s in leaving[:2]}
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
        stale = {"status": {"loadBalancer": {"ingress": [{"ip": str(address)}]}}}
        service.known = check.cluster.patch(f"{service.path}/status", stale)
    for service, kind in zip(coming, ("ClusterIP", "NodePort", "ClusterIP"), strict=True):
        check.retype(service, kind)
        check.retype(service, "LoadBalancer")
    held = check.all_assigned(*coming)
    assert len(set(held.values())) == len(coming), f"one address for several: {words(list(held.values()))}"
    if check.run.claims("l2"):
        check.holders(*held.values())
