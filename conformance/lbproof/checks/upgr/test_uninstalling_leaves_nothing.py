"""Removal of the implementation, and its return: nothing is left on the nodes, and nothing is given anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.checks.fail.moves import assigned
from lbproof.context import proves
from lbproof.context.draws import amid
from lbproof.lab.base import Role
from lbproof.text import words

if TYPE_CHECKING:
    from lbproof.context import CheckContext


@proves("UPGR-05", "a", disruptive=True)
def test_an_uninstalled_implementation_leaves_nothing(check: CheckContext) -> None:
    """No address is answered for or on an interface, the tiers below serve, and Services can be deleted."""
    check.pool(3)
    services = [check.service("web", serving=True), check.service("other"), check.service("leaves")]
    held = check.all_assigned(*services)
    with check.precondition("L2-01"):
        check.holders(*held.values())
    with check.run.uninstalled():
        check.goes_silent(*held.values())
        check.on_no_interface(*held.values())
        worker = next(node for node in check.lab.nodes if node.role is Role.WORKER)
        check.serves(check.client, worker.address, services[0].node_port())
        pod, _, _ = check.run.pods_of_web()[0]
        check.serves(check.pod(pod), services[0].cluster_ip())
        check.delete(services[-1])


@proves("UPGR-05", "b", disruptive=True)
def test_a_reinstalled_implementation_gives_the_same_addresses(check: CheckContext) -> None:
    """Services have the addresses of before when the implementation is installed again, and are answered; new ones too.

    So they are when one was deleted meanwhile, and another created that takes the free address: who gives addresses out
    anew, in some order, gives others. A finalizer on the deleted one may keep it until the implementation is back:
    UPGR-05a judges that.
    """
    services = assigned(check)
    with check.precondition("L2-01"):
        check.holders(*services)
    leaving = check.random.choice(amid({address: address for address in services}))
    gone = services.pop(leaving)
    with check.run.uninstalled():
        check.cluster.discard(gone.path)
        new = check.service("new")
    given = check.assigned(new, budget="restarted")
    check.gone(gone.path)
    now = check.statuses(*services.values())
    moved = {str(service): words(now[service]) for address, service in services.items() if now[service] != [address]}
    assert not moved, f"another address after the implementation was installed again: {words(moved)}"
    assert given == leaving, f"{new} was given {given}, while {leaving} alone was free"
    check.holders(*services, given)
    check.keep_assigned(*services.values())
