"""Observations of a check: Services read from the API, beside answers and service on the network.

Every wait has a named budget, and observations are written to the events of the run.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from lbproof.adapters import rendering
from lbproof.adapters.reports import times_of
from lbproof.context.objects import ingress, points_of
from lbproof.context.served import Served
from lbproof.context.unchanged import addresses_of, unchanged
from lbproof.text import words
from lbproof.witnesses.wait import EVERY, EventuallyFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from lbproof.adapters.base import Cause, Object
    from lbproof.adapters.reports import EventPattern
    from lbproof.context.objects import Service
    from lbproof.spec.families import IPAddress

T = TypeVar("T")


class Observations(Served):
    """Observations available to a check."""

    def gone(self, path: str) -> None:
        """Wait until an object no longer exists."""
        self.wait.eventually(
            lambda: "there" if self.cluster.exists(path) else "gone",
            lambda s: s == "gone",
            what=f"{path} is gone",
            budget="reclaimed",
        )

    def wait_out(self, budget: str, *, since: float | None = None) -> None:
        """Give an implementation the time of a budget, after a change that no observation shows to be taken up.

        `since`: moment of the change, now by default.
        """
        what = "an implementation may take a change up"
        self.wait.consistently(lambda: "not judged", bool, what=what, budget=budget, since=since)

    def pools_forgotten(self) -> None:
        """Give an implementation the time to take up that the pools of earlier checks are gone, if it has not had it.

        For checks without a pool, where any address that is given is wrong.
        """
        self.wait_out("pool_applied", since=self.run.acts.pools_since)

    def still_held(self, held: Mapping[Service, IPAddress], *, budget: str) -> list[Service]:
        """Give an implementation as long as a budget to take addresses away; return the Services that keep theirs.

        The budget applies to each further one, as in `one_by_one`.
        """

        def keep() -> list[Service]:
            return [service for service, now in self.statuses(*held).items() if now == [held[service]]]

        with suppress(EventuallyFailed), self.wait.tentative():
            self.one_by_one(
                keep,
                lambda kept: len(held) - len(kept),
                len(held),
                what=f"{words(list(map(str, held)))} no longer have the addresses of before, which is not judged",
                budget=budget,
                show=lambda kept: f"{len(kept)} do",
            )
        return keep()

    def assigned(self, service: Service, *, budget: str = "address_assigned") -> IPAddress:
        """Wait for an address in a Service's status and return it, the first of several."""
        return self.all_assigned(service, budget=budget)[service]

    def all_assigned(self, *services: Service, budget: str = "address_assigned") -> dict[Service, IPAddress]:
        """Wait until each of some Services has an address; return the first of each.

        The budget applies to each further Service, as in `one_by_one`.
        """
        if not services:
            return {}
        names = str(services[0]) if len(services) == 1 else f"one more of {len(services)} Services"
        statuses = self.one_by_one(
            lambda: self.statuses(*services),
            lambda seen: sum(map(bool, seen.values())),
            len(services),
            what=f"{names} is given an address",
            budget=budget,
            show=lambda seen: words(next(iter(seen.values())) if len(seen) == 1 else _few(seen)),
        )
        self.used += {address for held in statuses.values() for address in held} - set(self.used)
        return {service: held[0] for service, held in statuses.items()}

    def assigned_again(self, *services: Service) -> dict[Service, IPAddress]:
        """Return the addresses of Services that have a ready endpoint again: those of before, or others.

        Who gives no address to a Service without endpoints may have taken it away, and may be about to.
        """
        if not self.run.claims("without-endpoints"):
            self.wait_out("reclaimed")
        return self.all_assigned(*services)

    def one_by_one(
        self,
        look: Callable[[], T],
        count: Callable[[T], int],
        wanted: int,
        *,
        what: str,
        budget: str,
        every: float = EVERY,
        show: Callable[[T], str] = words,
    ) -> T:
        """Wait until a count of what is seen has grown to a number; return what was seen then.

        The budget applies to each further one: nothing says that a controller serves several at a time.
        """
        reached = 0
        while True:
            seen = self.wait.eventually(
                look,
                lambda now: count(now) > reached or count(now) >= wanted,  # noqa: B023 - called at once
                what=what,
                budget=budget,
                every=every,
                show=show,
            )
            reached = count(seen)
            if reached >= wanted:
                return seen

    def statuses(self, *services: Service) -> dict[Service, list[IPAddress]]:
        """Read the addresses in the statuses of Services, by one request: all are of one moment. Raises `BadStatus`.

        What is read is what the check knows of them from then on (`Service.known`).
        """
        namespaces = {service.namespace for service in services}
        path = f"/api/v1/namespaces/{services[0].namespace}/services" if len(namespaces) == 1 else "/api/v1/services"
        found = {(made["metadata"]["namespace"], made["metadata"]["name"]): made for made in self.cluster.list(path)}
        for service in services:
            service.known = found.get((service.namespace, service.name)) or service.read()
        return {service: ingress(service.known) for service in services}

    def stays_pending(self, *services: Service) -> None:
        """Verify that the statuses of Services, if there are any, consistently have no address and no host name."""
        if not services:
            return
        self.wait.consistently(
            lambda: {str(service): points_of(service.read()) for service in services},
            lambda seen: not any(seen.values()),
            what=f"{', '.join(map(str, services))} stays Pending",
            budget="stays_pending",
        )

    def keep_assigned(self, *services: Service, budget: str = "stays_assigned") -> None:
        """Verify that Services consistently have some address."""
        self.wait.consistently(
            lambda: {str(s): s.addresses() for s in services},
            lambda seen: all(seen.values()),
            what=f"{', '.join(map(str, services))} keeps its address",
            budget=budget,
        )

    def unchanged(
        self, *services: Service, part: Callable[[Object], Object] = addresses_of
    ) -> AbstractContextManager[None]:
        """Verify that a part of some Services does not change during a block, nor has since the check knew it last.

        `part`: `addresses_of`, `intact` or `untouched`. Raises `Violation`.
        """
        return unchanged(self.cluster, services, part)

    def unchanged_without_endpoints(self, *services: Service) -> AbstractContextManager[None]:
        """Verify that addresses do not change during a block in which Services may have no ready endpoint.

        Only where a Service without endpoints is given an address: elsewhere it may lose what it has.
        """
        return self.unchanged(*(services if self.run.claims("without-endpoints") else ()))

    def event(self, service: Service, pattern: EventPattern, *, says: str = "", budget: str = "event_seen") -> Object:
        """Wait for an Event about a Service whose message contains `says`, and return it."""

        def found() -> list[Object]:
            return [e for e in service.events() if pattern.matches(e) and says in e.get("message", "")]

        seen = self.wait.eventually(
            found,
            bool,
            what=f"{service} has an Event {pattern.type} {pattern.reason}{' that names ' + says if says else ''}",
            budget=budget,
            show=lambda events: _of_events(len(events), service),
        )
        return seen[-1]

    def times_told(self, service: Service, pattern: EventPattern, says: str) -> int:
        """Count how often something was told by Events about a Service whose messages contain `says`."""
        return sum(times_of(e) for e in service.events() if pattern.matches(e) and says in e.get("message", ""))

    def shown(self, service: Service, address: IPAddress) -> None:
        """Wait until an assignment shows wherever the implementation claims to show it: on the wire, by an Event."""
        if self.run.claims("l2"):
            self.holders(address)
        if self.run.claims("allocation-event"):
            self.event(service, self.run.adapter.allocation)

    def refused(self, service: Service, *causes: Cause) -> str:
        """Wait for the Event or condition that explains why a Service has no address, and return its text.

        `causes`: those that an implementation may name. The text is empty where the implementation does not claim to
        explain (`refusal-reason`): that the Service has no address is then seen after a newer one was served.
        """
        if not self.run.claims("refusal-reason"):
            return ""
        patterns = [self.run.adapter.refusals[cause] for cause in causes]

        def found() -> list[str]:
            now = service.read()
            events = self.cluster.events_about(now)
            return [text for pattern in patterns for text in pattern.texts(now, events)]

        return self.wait.eventually(
            found,
            bool,
            what=f"{service} has {' or '.join(dict.fromkeys(map(str, patterns)))}, which says why it has no address",
            budget="refusal_visible",
            show=lambda texts: _of_events(len(texts), service),
        )[-1]

    def named_announcers(self, service: Service) -> Sequence[str]:
        """Return the nodes that the implementation names as announcers of a Service, oldest first."""
        return rendering.announcers(self.run.adapter, self.cluster, service.read())

    def announcers_by_source(self, service: Service) -> dict[str, str]:
        """Return the node that each source names as the announcer of a Service now; several, or nobody, in words."""
        found = service.read()
        named: dict[str, str] = {}
        adapter = self.run.adapter
        for source in (adapter.announcer_status, *adapter.other_announcer_statuses):
            nodes = rendering.named_by(adapter, source, self.cluster, found)
            now = nodes[-1:] if source.keeps_history else sorted(set(nodes))
            named[type(source).__name__] = words(list(now)) if now else "nobody"
        return named

    def pool_marks(self, service: Service) -> list[str | None]:
        """Return the values of the annotations and labels that name a Service's pool."""
        found = service.read()
        return [key.value(found) for key in self.run.adapter.pool_marks]


def _few(statuses: Mapping[Service, Sequence[IPAddress]]) -> str:
    """Return how many Services have an address, and the first ones that have none."""
    waiting = [str(service) for service, held in statuses.items() if not held]
    return f"{len(statuses) - len(waiting)} of {len(statuses)}, not {words(waiting[:3])}"


def _of_events(count: int, service: Service) -> str:
    """Return how many texts were as wanted, and the reasons of all Events about a Service."""
    return f"{count} such, of Events {words([event.get('reason') for event in service.events()])}"
