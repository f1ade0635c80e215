"""Faults of the data path: what is announced of a Service by its ports, policy and endpoints; rules of kube-proxy."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections import Counter
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from tests.mutants.mutant import fault, patch

from lbproof_reference.controller import loop as controller
from lbproof_reference.services import ingress_ips
from lbproof_reference.speaker import source
from lbproof_reference.speaker.offers import AnnouncementPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lbproof_reference.kube import Object
    from lbproof_reference.speaker.plan import Offer

IPTABLES = "LBPROOF_TEST_IPTABLES"
"""Environment variable: path of the program that kube-proxy uses on this machine."""


_OPEN: list[socket.socket] = []
"""Sockets that stay open as long as the process."""


def _announce_only(wanted: Callable[[Object], bool]) -> None:
    """Announce nothing for the Services that are not wanted."""
    real = AnnouncementPolicy.offers

    def offers_of(self: AnnouncementPolicy, key: str, service: Object, *rest: Any) -> dict[bytes, Offer]:  # noqa: ANN401
        return real(self, key, service, *rest) if wanted(service) else {}

    patch(AnnouncementPolicy, "offers", offers_of)


def _first_seen(part: Callable[[Object], Any]) -> Callable[[Object], Any]:
    """Return a function that returns a part of a Service as it was when the Service was seen first."""
    known: dict[str, Any] = {}
    return lambda service: known.setdefault(service["metadata"]["uid"], part(service))


def _protocols(service: Object) -> set[str]:
    return {port.get("protocol", "TCP") for port in service["spec"]["ports"]}


def _numbers(service: Object) -> list[int]:
    return [port["port"] for port in service["spec"]["ports"]]


def _node_ports(service: Object) -> list[int]:
    return [port["nodePort"] for port in service["spec"]["ports"] if port.get("nodePort")]


@fault("TIER-07a")
def udp_is_not_announced() -> None:
    """A Service that has UDP ports alone is given an address, and is not announced."""
    _announce_only(lambda service: _protocols(service) != {"UDP"})


@fault("TIER-07b")
def mixed_protocols_are_not_announced() -> None:
    """A Service that has TCP and UDP ports is given an address, and is not announced."""
    _announce_only(lambda service: len(_protocols(service)) == 1)


@fault("TIER-08a")
def services_without_node_ports_are_not_announced() -> None:
    """A Service is announced only if it has node ports."""
    _announce_only(lambda service: all(port.get("nodePort") for port in service["spec"]["ports"]))


@fault("TIER-08b")
def node_ports_end_the_announcement() -> None:
    """A Service whose node ports come later is no longer announced."""
    first = _first_seen(_node_ports)
    _announce_only(lambda service: bool(first(service)) == bool(_node_ports(service)))


@fault("TIER-11a")
def change_of_ports_ends_the_announcement() -> None:
    """A Service whose port numbers change is no longer announced."""
    first = _first_seen(_numbers)
    _announce_only(lambda service: first(service) == _numbers(service))


@fault("RECL-04a")
def address_of_another_is_not_announced() -> None:
    """An address is announced for the first Service alone that had it."""
    first: dict[bytes, str] = {}
    real = AnnouncementPolicy.offers

    def offers_of(self: AnnouncementPolicy, key: str, service: Object, *rest: Any) -> dict[bytes, Offer]:  # noqa: ANN401
        uid = service["metadata"]["uid"]
        found = real(self, key, service, *rest)
        return {address: offer for address, offer in found.items() if first.setdefault(address, uid) == uid}

    patch(AnnouncementPolicy, "offers", offers_of)


@fault("ETP-01a", "ETP-01b", "ETP-03a", "ETP-07")
def local_is_announced_elsewhere() -> None:
    """With policy Local, the workers announce that have no endpoint."""
    real = AnnouncementPolicy._ready_nodes  # noqa: SLF001 - a fault replaces private functions
    workers = frozenset({"w01", "w02", "w03"})
    patch(AnnouncementPolicy, "_ready_nodes", lambda self, slices: workers - real(self, slices))


def _tell(told: Callable[[Object, list[Object]], list[Object]]) -> None:
    """Have a policy decide by other slices: those that are returned for a Service and its slices of now."""
    real = AnnouncementPolicy.offers

    def offers_of(
        self: AnnouncementPolicy,
        key: str,
        service: Object,
        found: Any,  # noqa: ANN401
        slices: Iterable[Object],
    ) -> dict[bytes, Offer]:
        return real(self, key, service, found, told(service, list(slices)))

    patch(AnnouncementPolicy, "offers", offers_of)


@fault("ETP-03c")
def last_endpoint_announces_for_good() -> None:
    """With policy Local, a node whose endpoint was the last one goes on to announce without it."""
    known: dict[str, list[Object]] = {}

    def told(service: Object, now: list[Object]) -> list[Object]:
        uid = service["metadata"]["uid"]
        ends = [end for one in now for end in one.get("endpoints") or []]
        if any(end["conditions"].get("ready") for end in ends):
            known[uid] = now
        return known.get(uid, now)

    _tell(told)


@fault("ETP-03b", "ETP-03d")
def first_endpoint_decides() -> None:
    """With policy Local, the nodes announce for good that had an endpoint when there was one first."""
    known: dict[str, list[Object]] = {}

    def told(service: Object, now: list[Object]) -> list[Object]:
        is_served = any(one.get("endpoints") for one in now)
        return known.setdefault(service["metadata"]["uid"], now) if is_served else now

    _tell(told)


@fault("ETP-05a")
def first_policy_counts() -> None:
    """A Service that changes from policy Cluster to Local is announced by any node, as before."""
    first = _first_seen(lambda service: service["spec"].get("externalTrafficPolicy"))
    real = AnnouncementPolicy.offers

    def offers_of(self: AnnouncementPolicy, key: str, service: Object, *rest: Any) -> dict[bytes, Offer]:  # noqa: ANN401
        return real(self, key, {**service, "spec": {**service["spec"], "externalTrafficPolicy": first(service)}}, *rest)

    patch(AnnouncementPolicy, "offers", offers_of)


@fault("ETP-05b")
def left_policy_local_is_not_announced() -> None:
    """A Service that changes from policy Local to Cluster is no longer announced."""
    first = _first_seen(lambda service: service["spec"].get("externalTrafficPolicy"))
    _announce_only(lambda service: first(service) != "Local" or service["spec"].get("externalTrafficPolicy") == "Local")


@fault("ETP-06b")
def terminating_endpoints_do_not_count() -> None:
    """With policy Local, a node whose last endpoint is ending announces no longer, though the endpoint still serves."""
    real = AnnouncementPolicy._ready_nodes  # noqa: SLF001 - a fault replaces private functions

    def ready_nodes(self: AnnouncementPolicy, slices: Iterable[Object]) -> frozenset[str]:
        ready = [
            {**one, "endpoints": [end for end in one.get("endpoints") or [] if end["conditions"].get("ready")]}
            for one in slices
        ]
        return real(self, ready)

    patch(AnnouncementPolicy, "_ready_nodes", ready_nodes)


def _iptables(*arguments: str) -> str:
    """Run iptables on the node; return its output, whatever its exit code."""
    return subprocess.run([os.environ[IPTABLES], "-w", *arguments], capture_output=True, text=True, check=False).stdout


def _again_and_again(act: Callable[[], None]) -> None:
    """Run a function of a few milliseconds five times a second, beside everything else of a speaker."""
    real = source.Source.run

    async def run(self: source.Source, *arguments: Any) -> None:  # noqa: ANN401
        def loop() -> None:
            while True:
                act()
                threading.Event().wait(0.2)

        threading.Thread(target=loop, daemon=True).start()
        await real(self, *arguments)

    patch(source.Source, "run", run)


def _delete_rules(table: str, *marks: str) -> None:
    """Delete the rules of kube-proxy that have all of some texts, by number: iptables finds some not by their text."""
    numbers: Counter[str] = Counter()
    found: list[tuple[str, int]] = []
    for rule in _iptables("-t", table, "-S").splitlines():
        if rule.startswith("-A KUBE-"):
            chain = rule.split()[1]
            numbers[chain] += 1
            if all(mark in rule for mark in marks):
                found.append((chain, numbers[chain]))
    for chain, number in reversed(found):
        _iptables("-t", table, "-D", chain, str(number))


@fault("RECL-03", "TIER-06d")
def routes_pools_in_a_circle() -> None:
    """Each node has a route for the addresses of pools by way of the next one: what none serves goes round."""
    real, lan, workers = source.Source.run, "192.168.{}.{}", 3

    def route(action: str) -> None:
        shown = subprocess.run(
            ["/usr/sbin/ip", "-4", "-o", "addr", "show", "dev", "eth0"], capture_output=True, text=True, check=True
        )
        _, _, third, own = shown.stdout.split()[3].partition("/")[0].split(".")
        following = lan.format(third, 151 + (int(own) - 150) % workers)
        for block in ("160/27", "192/27", "224/28"):
            subprocess.run(["/usr/sbin/ip", "route", action, lan.format(third, block), "via", following], check=False)

    async def run(self: source.Source, *arguments: Any) -> None:  # noqa: ANN401
        route("replace")
        try:
            await real(self, *arguments)
        finally:
            route("delete")

    patch(source.Source, "run", run)


@fault("TIER-10a", "TIER-10c")
def kube_proxy_uses_the_last_endpoint() -> None:
    """A node removes the rules of kube-proxy that choose between endpoints: all connections go to the last one."""
    _again_and_again(lambda: _delete_rules("nat", "-m statistic"))


@fault("TIER-10b", "TIER-10c")
def kube_proxy_remembers_no_client() -> None:
    """A node removes the rules of kube-proxy that keep a client with its endpoint."""
    _again_and_again(lambda: _delete_rules("nat", "--rcheck"))


@fault("TIER-09a")
def kube_proxy_admits_everybody() -> None:
    """A node has the rules of kube-proxy admit clients outside the ranges too."""

    def admit() -> None:
        rules = _iptables("-t", "nat", "-S").splitlines()
        for chain, to in {(rule.split()[1], rule.split()[-1]) for rule in rules if rule.startswith("-A KUBE-FW-")}:
            if to.startswith("KUBE-EXT-") and f"-A {chain} -j {to}" not in rules:
                _iptables("-t", "nat", "-I", chain, "-j", to)

    _again_and_again(admit)


@fault("TIER-09b")
def first_source_ranges_count() -> None:
    """A node drops on its own what is not in the ranges that a Service had first."""
    done: set[str] = set()
    real = AnnouncementPolicy.offers

    def offers_of(self: AnnouncementPolicy, key: str, service: Object, *rest: Any) -> dict[bytes, Offer]:  # noqa: ANN401
        ranges = service["spec"].get("loadBalancerSourceRanges")
        for address in ingress_ips(service) if ranges else ():
            if address not in done and ip_address(address).version == 4:
                done.add(address)
                _iptables("-t", "mangle", "-A", "PREROUTING", "-d", address, "-j", "DROP")
                for one in ranges or ():
                    _iptables("-t", "mangle", "-I", "PREROUTING", "-d", address, "-s", one, "-j", "ACCEPT")
        return real(self, key, service, *rest)

    patch(AnnouncementPolicy, "offers", offers_of)


@fault("TIER-11b")
def closed_ports_are_still_open() -> None:
    """A node accepts connections to the ports that a Service no longer has."""
    known: dict[str, set[int]] = {}
    real = AnnouncementPolicy.offers
    _OPEN.append(socket.create_server(("", 0)))
    to = str(_OPEN[0].getsockname()[1])

    def offers_of(self: AnnouncementPolicy, key: str, service: Object, *rest: Any) -> dict[bytes, Offer]:  # noqa: ANN401
        numbers = {port["port"] for port in service["spec"]["ports"]}
        before = known.setdefault(service["metadata"]["uid"], set())
        for address in ingress_ips(service):
            for number in before | numbers:
                rule = ("-d", address, "-p", "tcp", "--dport", str(number), "-j", "REDIRECT", "--to-ports", to)
                _iptables("-t", "nat", "-D", "PREROUTING", *rule)
                if number not in numbers:
                    _iptables("-t", "nat", "-I", "PREROUTING", *rule)
        before |= numbers
        return real(self, key, service, *rest)

    patch(AnnouncementPolicy, "offers", offers_of)


@fault("RECL-04a", "RECL-04b")
def first_endpoint_of_an_address_stays() -> None:
    """A node sends what arrives for an address to the endpoint of the first Service that had it."""
    first: dict[str, tuple[str, str]] = {}
    done: set[str] = set()

    def told(service: Object, now: list[Object]) -> list[Object]:
        uid = service["metadata"]["uid"]
        ends = [
            f"{end['addresses'][0]}:{port['port']}"
            for one in now
            for end in one.get("endpoints") or []
            for port in one.get("ports") or []
        ]
        for address in ingress_ips(service) if ends else ():
            owner, end = first.setdefault(address, (uid, ends[0]))
            if owner != uid and address not in done:
                done.add(address)
                _iptables("-t", "nat", "-I", "PREROUTING", "-d", address, "-p", "tcp", "-j", "DNAT", "--to", end)
        return now

    _tell(told)


@fault("ETP-04a", "ETP-07")
def policy_is_rewritten() -> None:
    """The controller changes policy Local to Cluster, and says nothing."""
    real = controller.Controller._assign  # noqa: SLF001 - a fault replaces private functions

    async def assign(self: controller.Controller, key: str, service: Object, *rest: Any) -> None:  # noqa: ANN401
        if service["spec"].get("externalTrafficPolicy") == "Local":
            namespace, name = key.split("/")
            body = {"spec": {"externalTrafficPolicy": "Cluster"}}
            await self._kube.call("PATCH", f"/api/v1/namespaces/{namespace}/services/{name}", body)
        await real(self, key, service, *rest)

    patch(controller.Controller, "_assign", assign)


@fault("TIER-12")
def endpoints_are_changed_in_two_steps() -> None:
    """A node drops what arrives for an address while it takes in a change of the endpoints, for a second or two."""
    known: dict[str, str] = {}

    def told(service: Object, now: list[Object]) -> list[Object]:
        key, ends = service["metadata"]["uid"], str([one.get("endpoints") for one in now])
        before, known[key] = known.get(key), ends
        for address in ingress_ips(service) if before not in {None, ends} else ():
            _iptables("-t", "mangle", "-I", "PREROUTING", "-d", address, "-j", "DROP")
            arguments = ("-t", "mangle", "-D", "PREROUTING", "-d", address, "-j", "DROP")
            threading.Timer(1.5, _iptables, arguments).start()
        return now

    _tell(told)


@fault("L2-10")
def announces_without_endpoints() -> None:
    """An address is announced whether or not its Service has a ready endpoint: the reference as it is."""
