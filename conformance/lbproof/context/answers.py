"""Answers for addresses, by ARP or NDP, as seen from outside the cluster.

Every wait has a named budget, and observations are written to the events of the run.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from lbproof.context.cannot import CannotShow
from lbproof.context.claims import Claims, by_node
from lbproof.context.hops import Hops
from lbproof.spec import Untestable
from lbproof.spec.families import Family, family_of, unspecified
from lbproof.text import words
from lbproof.witnesses import neighbour
from lbproof.witnesses.frames import BROADCAST
from lbproof.witnesses.wait import EventuallyFailed, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from lbproof.context.run import RunContext
    from lbproof.lab.base import Lab, Node
    from lbproof.spec.events import Witness
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.kube import Kube
    from lbproof.witnesses.vantage import Vantage
    from lbproof.witnesses.wait import Waiter

_ASKS = 3


class Answers:
    """Who answers for an address, and what all observations have in common: run, lab, cluster, waits and events."""

    def __init__(self, run: RunContext) -> None:
        """Start without observations."""
        self.run = run
        self._unserved: dict[IPAddress, int] = {}
        """Address of a request without an answer → those since that had one; empty once who answers was asked."""
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

    def measured(self, what: str, value: float | str, unit: str = "") -> None:
        """Report a figure of a requirement of the level INFO, or what was seen in words."""
        self.run.journal.write("measured", what=what, value=value, unit=unit)

    def saw(self, witness: Witness, what: str, value: object) -> None:
        """Write an observation to the events of the run."""
        self.run.journal.write("saw", witness=witness, what=what, value=value)

    def mac_names(self) -> dict[str, str]:
        """Map hardware addresses to node names."""
        return {node.mac: node.name for node in self.lab.nodes}

    def replies(self, address: IPAddress, *, count: int = 1, wait: float | None = None) -> list[neighbour.Reply]:
        """Ask for an address by ARP or NDP `count` times; return the replies, each awaited by the budget `arp_answer`.

        `wait`: another time in seconds that replies are awaited.
        """
        self._unserved.clear()
        return neighbour.ask(self.client, address, wait=self._reply_timeout(wait), count=count)

    def _reply_timeout(self, wait: float | None) -> float:
        return self.wait.budget("arp_answer") if wait is None else wait

    def who_has(self, address: IPAddress) -> list[str]:
        """Ask for an address some times; return all that reply: nodes, or the MACs of other hosts."""
        names = self.mac_names()
        return sorted({names.get(answer.mac, answer.mac) for answer in self.replies(address, count=_ASKS)})

    def quiet(self, *addresses: IPAddress) -> None:
        """Wait until nobody announces some addresses any more, as is done for seconds after an assignment.

        Raises `CannotShow` where they are announced again and again: what provokes an announcement cannot be told then.
        """
        calm = self.wait.budget("stays_unannounced")
        with neighbour.Listener(self.client) as heard:

            def since() -> float:
                last = max((m.t for one in addresses for m in heard.announcements(one)), default=began)
                return round(time.monotonic() - max(last, began), 1)

            began = time.monotonic()
            try:
                with self.wait.tentative():
                    self.wait.eventually(
                        since,
                        lambda seconds: seconds >= calm,
                        what=f"nobody announces {words(list(map(str, addresses)))} for {calm:g} s",
                        budget="announced_last",
                        every=0.1,
                        show=lambda seconds: "announced lately" if seconds < calm else "not announced",
                    )
            except EventuallyFailed as error:
                raise CannotShow(Untestable.NOT_PROVOKED, f"announced again and again: {error}") from error

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
        self._unserved.clear()
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
        self._unserved.clear()
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
        self._unserved.clear()
        names = self.mac_names()
        found = neighbour.sweep(self.client, addresses, wait=self._reply_timeout(wait))
        return {address: sorted(names.get(mac, mac) for mac in macs) for address, macs in found.items() if macs}
