"""Observations of a check: Services read from the API, and addresses tested on the network.

Every wait has a named budget, and observations are written to the events of the run.
"""

from __future__ import annotations

import functools
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from lbproof.adapters import rendering
from lbproof.adapters.reports import times_of
from lbproof.context.claims import Claims, by_node
from lbproof.context.hops import Hops
from lbproof.context.objects import ingress, points_of
from lbproof.context.run import NAMESPACE, RunContext
from lbproof.context.unchanged import addresses_of, unchanged
from lbproof.lab.base import Capability
from lbproof.spec.families import Family, family_of, host_port, unspecified
from lbproof.text import words
from lbproof.witnesses import http, neighbour, neighbours, transport
from lbproof.witnesses.frames import BROADCAST
from lbproof.witnesses.wait import EVERY, EventuallyFailed, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager

    from lbproof.adapters.base import Cause, Object
    from lbproof.adapters.reports import EventPattern
    from lbproof.context.objects import Service
    from lbproof.lab.base import Lab, Node
    from lbproof.spec.events import Witness
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.kube import Kube
    from lbproof.witnesses.vantage import Vantage
    from lbproof.witnesses.wait import Waiter

T = TypeVar("T")

_ASKS = 3
_QUIET = 1.5
"""Seconds without an announcement after which none is expected: those of one address are about a second apart
(RFC 5227 section 1.1). No verdict depends on it."""
_HANDSHAKE = 0.25
"""Timeout in seconds of a connection that must not be established. An open port completes the handshake in the kernel,
within milliseconds on a segment; and connections are tried again and again while the port is watched."""


class Observations:
    """Observations available to a check."""

    def __init__(self, run: RunContext) -> None:
        """Start without observations."""
        self.run = run
        self.used: list[IPAddress] = []
        """Addresses that this check put into pools, requested or was assigned; its evidence is filtered by them."""

    @property
    def lab(self) -> Lab:
        """Lab of the run."""
        return self.run.lab

    @property
    def cluster(self) -> Kube:
        """API client of the cluster."""
        return self.run.cluster

    @property
    def wait(self) -> Waiter:
        """Waiter of the run, with `eventually` and `consistently`."""
        return self.run.wait

    @property
    def client(self) -> Vantage:
        """External client on the segment."""
        return self.lab.client()

    # --- API

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
            show=lambda events: f"{len(events)} such of {[e.get('reason') for e in service.events()]}",
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

    def refused(self, service: Service, cause: Cause) -> str:
        """Wait for the Event or condition that explains why a Service has no address, and return its text.

        The text is empty where the implementation does not claim to explain (`refusal-reason`): that the Service has no
        address is then seen after a newer one was served.
        """
        if not self.run.claims("refusal-reason"):
            return ""
        pattern = self.run.adapter.refusals[cause]

        def found() -> list[str]:
            now = service.read()
            return pattern.texts(now, self.cluster.events_about(now))

        return self.wait.eventually(
            found,
            bool,
            what=f"{service} has {pattern}, which says why it has no address",
            budget="refusal_visible",
            show=lambda texts: f"{len(texts)} such of {[e.get('reason') for e in service.events()]}",
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

    # --- network

    def mac_names(self) -> dict[str, str]:
        """Map hardware addresses to node names."""
        return {node.mac: node.name for node in self.lab.nodes}

    def replies(self, address: IPAddress, *, count: int = 1, wait: float | None = None) -> list[neighbour.Reply]:
        """Ask for an address by ARP or NDP `count` times; return the replies, each awaited by the budget `arp_answer`.

        `wait`: another time in seconds that replies are awaited.
        """
        return neighbour.ask(self.client, address, wait=self._reply_timeout(wait), count=count)

    def _reply_timeout(self, wait: float | None) -> float:
        return self.wait.budget("arp_answer") if wait is None else wait

    def who_has(self, address: IPAddress) -> list[str]:
        """Ask for an address some times; return all that reply: nodes, or the MACs of other hosts."""
        names = self.mac_names()
        return sorted({names.get(answer.mac, answer.mac) for answer in self.replies(address, count=_ASKS)})

    def quiet(self, *addresses: IPAddress) -> None:
        """Wait until nobody announces some addresses any more, as is done for seconds after an assignment."""
        with neighbour.Listener(self.client) as heard:

            def since() -> float:
                last = max((m.t for one in addresses for m in heard.announcements(one)), default=began)
                return round(time.monotonic() - max(last, began), 1)

            began = time.monotonic()
            self.wait.eventually(
                since,
                lambda seconds: seconds >= _QUIET,
                what=f"nobody announces {words(list(map(str, addresses)))}",
                budget="at_rest",
                every=0.1,
                show=lambda seconds: "announced lately" if seconds < _QUIET else "not announced",
            )

    def who_answers(self, *addresses: IPAddress) -> dict[str, list[str]]:
        """Ask for addresses once, all at a time; return the nodes that reply for each, or the MACs of other hosts."""
        found = self.sweep(addresses)
        return {str(address): found.get(address, []) for address in addresses}

    def answerers(self, address: IPAddress, *, wait: float | None = None) -> set[str]:
        """Ask for an address once; return the names of the nodes that reply, or the MAC of any other host."""
        names = self.mac_names()
        return {names.get(answer.mac, answer.mac) for answer in self.replies(address, wait=wait)}

    def announcer(self, address: IPAddress, *, but: str = "", budget: str = "announced") -> Node:
        """Wait until exactly one node answers for an address, three times in a row, and return that node.

        `but`: name of a node that is not accepted. A check that does not judge whether one node answers calls it in a
        `precondition("L2-01")`, or takes any of those that answer (`holders`).
        """
        name = self.sole_holders(address, but=but, budget=budget)[address]
        by_name = {node.name: node for node in self.lab.nodes}
        if name not in by_name:
            raise Violation(f"{address} is answered for by {name}, which is the MAC of no node")
        return by_name[name]

    def sole_holders(self, *addresses: IPAddress, but: str = "", budget: str = "announced") -> dict[IPAddress, str]:
        """Wait until one host answers for each address, three times in a row; return its node, or the MAC of another.

        `but`: name of a node that is not accepted.
        """
        seen = self._answered(addresses, lambda who: len(who) == 1 and who[0] != but, "one node", but, budget)
        return {address: who[0] for address, who in seen.items()}

    def holders(self, *addresses: IPAddress, but: str = "", budget: str = "announced") -> dict[IPAddress, list[str]]:
        """Wait until somebody answers for each address, three times in a row; return who: nodes, or MACs of others.

        `but`: name of a node that does not suffice.
        """
        return self._answered(addresses, lambda who: bool({*who} - {but}), "a node", but, budget)

    def _answered(
        self,
        addresses: Sequence[IPAddress],
        good: Callable[[Sequence[str]], bool],
        who: str,
        but: str,
        budget: str,
    ) -> dict[IPAddress, list[str]]:
        waits = neighbour.patience(self.wait.budget("arp_answer"))
        seen = self.wait.eventually(
            lambda: self.sweep(addresses, wait=next(waits)),
            lambda seen: all(good(seen.get(address, [])) for address in addresses),
            what=f"{who}{' other than ' + but if but else ''} answers for {', '.join(map(str, addresses))}",
            budget=budget,
            in_a_row=3,
            show=lambda seen: words({str(address): seen.get(address, []) for address in addresses}),
        )
        return {address: seen[address] for address in addresses}

    def holders_within(
        self, allowed: Mapping[IPAddress, Collection[str]], *, budget: str = "announced"
    ) -> dict[IPAddress, list[str]]:
        """Wait until somebody answers for each address, three times in a row, and only nodes that are allowed do.

        By broadcast, and by unicast to each node. `allowed`: names of nodes by address, which may be none.
        """

        def good(seen: Mapping[IPAddress, list[str]]) -> bool:
            return all(
                set(seen.get(address, [])) <= set(nodes) and bool(seen.get(address)) == bool(nodes)
                for address, nodes in allowed.items()
            )

        shown = words({str(address): sorted(nodes) or "nobody" for address, nodes in allowed.items()})
        return self.wait.eventually(
            lambda: self._asked_in_each_way(list(allowed)),
            good,
            what=f"those who answer are among {shown}",
            budget=budget,
            in_a_row=3,
            show=lambda seen: words({str(address): seen.get(address, []) for address in allowed}),
        )

    def claims(self) -> Claims:
        """Return a recorder of who says where addresses are, for use as a context manager."""
        return Claims(self.lab)

    def hops(self, *addresses: IPAddress) -> Hops:
        """Return a recorder of where packets to some addresses go, for use as a context manager."""
        return Hops(self.lab, addresses)

    def ways_to_ask(
        self, address: IPAddress, mac: str, *, unknown: IPAddress, corners: bool = False
    ) -> dict[str, neighbour.Question]:
        """Return a question for an address in each way in which hosts ask, by a name of the way.

        `mac`: hardware address that the asker has in an old entry. `unknown`: address of the asker in one of the ways.
        `corners`: also those ways of NDP whose answers L2-12 judges.
        """
        ask = functools.partial(neighbour.Question, target=address)
        ways = {
            "by broadcast": ask(),
            "by unicast to the MAC of an old entry": ask(to=mac),
            "by a probe without a sender": ask(sender=unspecified(family_of(address))),
        }
        if family_of(address) is Family.IPV6:  # a sender that answers no solicitation itself may get no answer
            return ways if corners else {"by multicast": ask()}
        return ways | {
            "from an address never seen before": ask(sender=unknown),
            "with the MAC of an old entry as target": ask(target_mac=mac),
            "with the broadcast address as target": ask(target_mac=BROADCAST),
        }

    def unanswered(
        self, questions: Sequence[neighbour.Question], *, vantage: Vantage | None = None
    ) -> list[neighbour.Question]:
        """Ask questions, and return those that have no answer; a check asks these again before it blames anybody.

        `vantage`: who asks, the client by default. A single frame may be lost on any segment: hosts ask three times
        (RFC 4861 section 10, and Linux for ARP too).
        """
        if not questions:
            return []
        within = self.wait.budget("arp_answer")
        asker = vantage or self.client
        replies = neighbour.ask_each(asker, questions, every=within / len(questions), within=within)
        return [question for question, found in zip(questions, replies, strict=True) if not found]

    def stays_answered(self, *addresses: IPAddress) -> None:
        """Ask for addresses for as long as silence is watched for, so that whoever else answers has the time to."""
        self.wait.consistently(
            lambda: {str(address): self.who_has(address) for address in addresses},
            lambda seen: all(seen.values()),
            what=f"{', '.join(map(str, addresses))} are answered for",
            budget="stays_silent",
        )

    def goes_silent(self, *addresses: IPAddress) -> None:
        """Wait until no host answers for the addresses, then verify that this lasts."""
        self.wait.eventually(
            lambda: self._asked_in_each_way(addresses),
            lambda seen: not seen,
            what=f"nobody answers for {', '.join(map(str, addresses))}",
            budget="silent",
        )
        self.stays_silent(*addresses)

    def stays_silent(self, *addresses: IPAddress) -> None:
        """Verify that no host answers for the addresses, however it is asked, and that no node claims one unasked."""
        with self.claims() as claims:

            def seen() -> dict[IPAddress, list[str]]:
                answered = self._asked_in_each_way(addresses)
                claimed = {address: sorted(who) for address, who in by_node(claims.of(addresses)).items() if who}
                return claimed | answered

            self.wait.consistently(
                seen,
                lambda seen: not seen,
                what=f"nobody answers for {', '.join(map(str, addresses))}",
                budget="stays_silent",
            )

    def stays_unannounced(self, *addresses: IPAddress, claims: Claims, since: float) -> None:
        """Verify that no node claims one of the addresses. `claims`: recorder that was entered then."""
        self.wait.consistently(
            lambda: {address: sorted(who) for address, who in by_node(claims.of(addresses)).items() if who},
            lambda seen: not seen,
            what=f"nobody announces {', '.join(map(str, addresses))}",
            budget="stays_unannounced",
            since=since,
        )

    def _asked_in_each_way(self, addresses: Sequence[IPAddress]) -> dict[IPAddress, list[str]]:
        """Ask for addresses by broadcast, by a probe, and each node by unicast; return who answers."""
        names = self.mac_names()
        found: dict[IPAddress, set[str]] = {}
        for family in Family:
            questions = [
                question
                for address in addresses
                if family_of(address) is family
                for question in (
                    neighbour.Question(target=address),
                    neighbour.Question(target=address, sender=unspecified(family)),
                    *(neighbour.Question(target=address, to=mac) for mac in names),
                )
            ]
            wait = self.wait.budget("arp_answer")
            replies = neighbour.ask_each(self.client, questions, every=0.0, within=wait) if questions else []
            for question, answers in zip(questions, replies, strict=True):
                for answer in answers:
                    found.setdefault(question.target, set()).add(names.get(answer.mac, answer.mac))
        return {address: sorted(who) for address, who in found.items()}

    def sweep(self, addresses: Sequence[IPAddress], *, wait: float | None = None) -> dict[IPAddress, list[str]]:
        """Ask for each address once from the client; return the names of who answers, of those that are answered."""
        names = self.mac_names()
        found = neighbour.sweep(self.client, addresses, wait=self._reply_timeout(wait))
        return {address: sorted(names.get(mac, mac) for mac in macs) for address, macs in found.items() if macs}

    def serves(
        self, vantage: Vantage, address: IPAddress, port: int = 80, *, in_a_row: int = 1, budget: str = "serves"
    ) -> str:
        """Wait until a vantage is served at an address; return the name of the pod that answered last."""
        what = f"{vantage.name} is served"
        return self.run.served(vantage, address, port, "/hostname", what=what, in_a_row=in_a_row, budget=budget).text

    def ask_pod(self, vantage: Vantage, address: IPAddress, port: int = 80, *, timeout: float = 1.0) -> str:
        """Send one request and return the name of the backend pod. Raises `http.Unreached`."""
        answer = http.get(vantage, address, port, "/hostname", timeout=timeout)
        return answer.text if answer.status == http.OK else ""

    def not_served(self, vantage: Vantage, address: IPAddress, *ports: int) -> None:
        """Verify that no connection to these ports of an address is established."""
        self.none_served(vantage, {address: ports})

    def none_served(self, vantage: Vantage, closed: Mapping[IPAddress, Sequence[int]]) -> None:
        """Verify that no connection to these ports of each address is established."""
        self.none_open([(vantage, address, port) for address, ports in closed.items() for port in ports])

    def none_open(self, places: Sequence[tuple[Vantage, IPAddress, int]]) -> None:
        """Verify that no connection of a vantage to an address and a port is established, at each of some places."""
        shown = [f"{vantage.name} to {host_port(address, port)}" for vantage, address, port in places]
        self.wait.consistently(
            lambda: {
                name: http.connects(*place, timeout=_HANDSHAKE) for name, place in zip(shown, places, strict=True)
            },
            lambda seen: "open" not in seen.values(),
            what=f"no connection is established: {words(shown)}",
            budget="stays_unserved",
        )

    def cold_answer(self, vantage: Vantage, address: IPAddress, *, hop: Vantage, heard: neighbour.Listener) -> str:
        """Send one request when the next hop knows nothing of the address; return the pod that answered, or why none.

        `hop`: host whose neighbour entry decides, which is removed before. `heard`: listener there. An answer is none
        when an announcement came meanwhile, which may have made the entry instead of an answer.
        """
        before = len(heard.announcements(address))
        neighbours.forget(hop, address)
        pod = self.ask_pod_or_why(vantage, address)
        if len(heard.announcements(address)) > before:
            return "undecided, since the address was announced meanwhile"
        return pod

    def ask_pod_or_why(self, vantage: Vantage, address: IPAddress, port: int = 80, *, timeout: float = 1.0) -> str:
        """Return the name of the pod that answers one request, or the reason for no answer."""
        try:
            return self.ask_pod(vantage, address, port, timeout=timeout)
        except http.Unreached as error:
            return error.kind

    def ask_pod_by_udp_or_why(
        self, vantage: Vantage, address: IPAddress, port: int, *, timeout: float = 1.0, source: int = 0
    ) -> str:
        """Return the name of the pod that answers one datagram, or the reason for no answer. `source`: own port."""
        try:
            return transport.ask(vantage, address, port, "hostname", timeout=timeout, source=source)
        except http.Unreached as error:
            return error.kind

    def source_seen(self, vantage: Vantage, address: IPAddress, port: int = 80) -> str:
        """Return the address from which the backend sees one request come, or the reason for no answer."""
        try:
            answer = http.get(vantage, address, port, "/clientip", timeout=1.0)
        except http.Unreached as error:
            return error.kind
        return answer.text.rpartition(":")[0].strip("[]") if answer.status == http.OK else f"status {answer.status}"

    def clients(self) -> list[Vantage]:
        """Return the clients outside the cluster: that on the segment, and that behind a router if there is one."""
        return [self.client, *([self.lab.routed_client()] if self.lab.can(Capability.ROUTED_CLIENT) else [])]

    def pod(self, name: str) -> Vantage:
        """Return a vantage in a pod of the suite's namespace."""
        self.run.need(Capability.POD_VANTAGE)
        return self.lab.pod(NAMESPACE, name)

    def interfaces_with(self, address: IPAddress) -> list[str]:
        """List `node/interface` for each interface that has an address, except IPVS's own, which answers no ARP."""
        return self.interfaces_with_any(address).get(str(address), [])

    def interfaces_with_any(self, *addresses: IPAddress) -> dict[str, list[str]]:
        """List the interfaces that have one of the addresses, as `interfaces_with` does, by address."""
        self.run.need(Capability.NODE_VANTAGE)
        found: dict[str, list[str]] = {}
        for node in self.lab.nodes:
            for link in json.loads(self.lab.run(node.name, ["ip", "-j", "addr", "show"])):
                for has in link.get("addr_info", []):
                    if has.get("local") in map(str, addresses) and link["ifname"] != "kube-ipvs0":
                        found.setdefault(has["local"], []).append(f"{node.name}/{link['ifname']}")
        return found

    def on_no_interface(self, *addresses: IPAddress) -> None:
        """Verify that no interface of any node has one of the addresses. Raises `Violation`."""
        if found := self.interfaces_with_any(*addresses):
            shown = "; ".join(f"{address} is on {', '.join(places)}" for address, places in found.items())
            raise Violation(f"{shown}, expected on no interface")

    def measured(self, what: str, value: float | str, unit: str = "") -> None:
        """Report a figure of a requirement of the level INFO, or what was seen in words."""
        self.run.journal.write("measured", what=what, value=value, unit=unit)

    def saw(self, witness: Witness, what: str, value: object) -> None:
        """Write an observation to the events of the run."""
        self.run.journal.write("saw", witness=witness, what=what, value=value)


def _few(statuses: Mapping[Service, Sequence[IPAddress]]) -> str:
    """Return how many Services have an address, and the first ones that have none."""
    waiting = [str(service) for service, held in statuses.items() if not held]
    return f"{len(statuses) - len(waiting)} of {len(statuses)}, not {words(waiting[:3])}"
