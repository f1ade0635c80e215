"""Service at addresses: what clients and pods are answered by TCP, HTTP and UDP, and what nodes have on interfaces."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lbproof.context.answers import Answers
from lbproof.context.run import NAMESPACE
from lbproof.lab.base import Capability, LabError
from lbproof.spec.families import host_port
from lbproof.text import words
from lbproof.witnesses import http, neighbours, transport
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import Violation, WaitFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lbproof.context.run import RunContext
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses import neighbour
    from lbproof.witnesses.vantage import Vantage

_HANDSHAKE = 0.25
"""Timeout in seconds of a connection that must not be established. An open port completes the handshake in the kernel,
within milliseconds on a segment; and connections are tried again and again while the port is watched."""


_SERVED_IN_A_ROW = 3
"""Requests in a row that must be answered before a client counts as served again: as many as checks wait for."""


class Served(Answers):
    """Who is served at an address, and who is not."""

    def __init__(self, run: RunContext) -> None:
        """Start without observations."""
        super().__init__(run)
        self._waits = 0
        """Waits that had succeeded when a request was last without an answer."""
        self._of_one_node: list[IPAddress] = []
        """Addresses that are judged for one node alone at present."""

    def serves(
        self, vantage: Vantage, address: IPAddress, port: int = 80, *, in_a_row: int = 1, budget: str = "serves"
    ) -> str:
        """Wait until a vantage is served at an address; return the name of the pod that answered last."""
        what = f"{vantage.name} is served"
        with self._requests(address, WaitFailed):
            answer = self.run.served(vantage, address, port, "/hostname", what=what, in_a_row=in_a_row, budget=budget)
        return answer.text

    def ask_pod(self, vantage: Vantage, address: IPAddress, port: int = 80, *, timeout: float = 1.0) -> str:
        """Send one request and return the name of the backend pod. Raises `http.Unreached`."""
        with self._requests(address):
            answer = http.get(vantage, address, port, "/hostname", timeout=timeout)
        return answer.text if answer.status == http.OK else ""

    @contextmanager
    def _requests(self, address: IPAddress, unanswered: type[Exception] = http.Unreached) -> Iterator[None]:
        """Note whether requests to an address in the block are answered. `unanswered`: error that says they are not."""
        self._forget_before_waits()
        try:
            yield
        except unanswered:
            self._unserved[address] = 0
            raise
        if address in self._unserved:
            self._unserved[address] += 1
            if self._unserved[address] >= _SERVED_IN_A_ROW:
                del self._unserved[address]

    def _forget_before_waits(self) -> None:
        """Forget requests without an answer if a wait succeeded since: what it waited for came about."""
        if self._waits != self.wait.succeeded:
            self._waits = self.wait.succeeded
            self._unserved.clear()

    @contextmanager
    def of_one_node(self, address: IPAddress) -> Iterator[None]:
        """Judge in the block what each node decides on its own, such as the endpoint that a client stays with."""
        self._of_one_node.append(address)
        yield
        self._of_one_node.remove(address)

    def several_answer(self) -> str:
        """Say who answers for an address whose last requests had no answer, or that is judged for one node alone.

        Empty if these are not several nodes. A client that uses one of them may be sent to another in the middle of a
        connection, which knows nothing of it: what fails then says nothing but what L2-01 judges.
        """
        if not self.run.claims("l2"):
            return ""
        self._forget_before_waits()
        for address in dict.fromkeys((*self._unserved, *self._of_one_node)):
            try:
                who = self.who_has(address)
            except (LabError, ProbeError, OSError) as error:
                self.saw("arp", f"not known who answers for {address}, which did not serve", str(error))
                continue
            if len(who) > 1:
                return f"{words(who)} answer for {address}"
        return ""

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
            with self._requests(address):
                return transport.ask(vantage, address, port, "hostname", timeout=timeout, source=source)
        except http.Unreached as error:
            return error.kind

    def source_seen(self, vantage: Vantage, address: IPAddress, port: int = 80) -> str:
        """Return the address from which the backend sees one request come, or the reason for no answer."""
        try:
            with self._requests(address):
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
