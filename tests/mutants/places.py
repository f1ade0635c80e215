"""Faults of where addresses are announced: of subnets, segments, and pairs of nodes and interfaces."""

from __future__ import annotations

from dataclasses import replace

from tests.mutants.mutant import fault, patch

from lbproof_reference.speaker import loop, plan, segment


@fault("CRD-05c")
def what_no_interface_reaches_is_left_alone() -> None:
    """An address in a subnet of no station of the segment is not announced, and nobody is told."""
    real = plan.plan

    def reached_alone(view: plan.SegmentView) -> plan.Plan:
        nets = [view.subnets, *(peer.subnets for peer in view.peers.values())]
        desired = {a: o for a, o in view.desired.items() if any(plan.reaches(subnets, a) for subnets in nets)}
        return real(replace(view, desired=desired))

    patch(segment, "plan", reached_alone)


@fault("L2-08c")
def announces_on_every_segment() -> None:
    """An address is announced on each segment of the nodes that may announce it, whatever interfaces are selected."""

    def allows(self: plan.Offer, node: str, _interface: str, *, reaches: bool = True) -> bool:  # noqa: ARG001
        return any(node in one.nodes for one in self.allowed)

    patch(plan.Offer, "allows", allows)
    patch(loop, "reaches", lambda _subnets, _address: True)


@fault("L2-09d")
def pairs_are_read_apart() -> None:
    """A node that one advertisement of a pool selects announces on the interfaces that any other one names."""

    def allows(self: plan.Offer, node: str, interface: str, *, reaches: bool = True) -> bool:
        named = any(reaches if one.interfaces is None else interface in one.interfaces for one in self.allowed)
        return named and any(node in one.nodes for one in self.allowed)

    patch(plan.Offer, "allows", allows)
