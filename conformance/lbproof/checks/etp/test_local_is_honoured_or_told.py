"""externalTrafficPolicy Local, which not every implementation can honour: its user is to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.checks.etp.local import assigned
from lbproof.context import proves
from lbproof.spec.families import family_of
from lbproof.text import words
from lbproof.witnesses import neighbours
from lbproof.witnesses.wait import EventuallyFailed

if TYPE_CHECKING:
    from lbproof.context import CheckContext, Service
    from lbproof.spec.families import IPAddress


@proves("ETP-07")
def test_local_is_honoured_or_told(check: CheckContext) -> None:
    """Of several Services each has the policy still, and its backend sees the client; otherwise it is told why not."""
    nodes = check.nodes_with_pods()
    check.pool(1)
    plain = check.service("plain")
    with check.precondition("TIER-01"):
        check.serves(check.client, check.assigned(plain))
    try:
        with check.wait.tentative():
            held = assigned(check, nodes)
    except EventuallyFailed as error:
        check.saw("api", "Services with policy Local are given no address", error.seen)
        local = [service for service in check.services if service is not plain]
        untold = [str(one) for one in local if not one.addresses() and not explained(check, one)]
        assert not untold, f"{words(untold)} are given no address, and no Event or condition says why"
        return
    for service, (address, _) in held.items():
        try:
            with check.wait.tentative():
                check.wait.eventually(
                    lambda service=service, address=address: ignored(check, service, address),  # type: ignore[misc]
                    lambda why: not why,
                    what=f"policy Local of {service} is honoured",
                    budget="serves",
                    in_a_row=3,
                )
        except EventuallyFailed as error:
            check.saw("api", f"policy Local of {service} is not honoured", error.seen)
            told = explained(check, service)
            assert told, f"{service}: {ignored(check, service, address)}, and no Event or condition says so"


def ignored(check: CheckContext, service: Service, address: IPAddress) -> str:
    """Return how a Service's policy Local is not honoured; empty when it is."""
    policy = service.read()["spec"].get("externalTrafficPolicy")
    if policy != "Local":
        return f"the policy is now {policy}"
    neighbours.forget(check.client, address)
    own = str(check.client.address_for(family_of(address)))
    seen = check.source_seen(check.client, address)
    return "" if seen == own else f"the client is {own}, and this is seen of its request: {seen}"


def explained(check: CheckContext, service: Service) -> list[str]:
    """Return the Events and conditions of a Service that are about the policy."""
    now = service.read()
    texts = [
        words([event.get("reason", ""), event.get("message", "")]) for event in check.cluster.events_about(now)
    ] + [
        words([one.get("type", ""), one.get("reason", ""), one.get("message", "")])
        for one in now.get("status", {}).get("conditions", [])
    ]
    return [text for text in texts if "local" in text.lower() or "trafficpolicy" in text.lower().replace(" ", "")]
