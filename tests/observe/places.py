"""A segment of network namespaces with hosts on it, and a way to name an API server.

The hosts' kernels answer ARP and carry the traffic. Names hold the process ID, so that two runs do not meet.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING, Self

from lbproof.lab.common.vantage import NamespaceVantage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.probe import Probe

PORT = 8000
_NUMBERS = itertools.count(1)
"""Of the segments of this process: several may be up at once."""


def ip(*words: str) -> None:
    """Run `ip`; CalledProcessError when it fails."""
    subprocess.run(["ip", *words], check=True)


class Segment:
    """A bridge and hosts `client`, `web` and `twin` at 10.77.0.1, .2 and .3, and fd00:77::1, ::2 and ::3."""

    def __init__(self) -> None:
        """Nothing is made before it is entered."""
        self._tag = f"lbo{os.getpid() % 100000}-{next(_NUMBERS)}"
        self._undo = ExitStack()
        self.hosts: dict[str, NamespaceVantage] = {}

    def __enter__(self) -> Self:
        """Make it."""
        with self._undo:  # what was begun is undone if the rest fails
            lan = self._netns("lan")
            ip("-n", lan, "link", "add", "br0", "type", "bridge", "forward_delay", "0")
            ip("-n", lan, "link", "set", "br0", "address", "02:00:00:00:77:ff", "up")
            self.ports = NamespaceVantage(
                name="ports",
                addresses=(IPv4Address("10.77.0.254"),),
                mac="02:00:00:00:77:ff",
                netns=f"/run/netns/{lan}",
                pidns="/proc/self/ns/pid",
                interface="br0",
            )
            for number, host in enumerate(("client", "web", "twin"), start=1):
                self._host(lan, host, f"10.77.0.{number}", f"02:00:00:00:77:{number:02x}")
            self._undo = self._undo.pop_all()
        return self

    def _host(self, lan: str, host: str, address: str, mac: str) -> None:
        netns = self._netns(host)
        # an IPv6 address is usable at once, and outlives its interface's being down, as an IPv4 address does
        for setting in ("accept_dad=0", "keep_addr_on_down=1"):
            ip("netns", "exec", netns, "sysctl", "-qw", f"net.ipv6.conf.all.{setting}")
            ip("netns", "exec", netns, "sysctl", "-qw", f"net.ipv6.conf.default.{setting}")
        # a closed port says so to whoever asks, each time
        for setting in ("ipv4.icmp_ratelimit", "ipv6.icmp.ratelimit"):
            ip("netns", "exec", netns, "sysctl", "-qw", f"net.{setting}=0")
        ip("-n", lan, "link", "add", host, "type", "veth", "peer", "eth0", "netns", netns)
        ip("-n", lan, "link", "set", host, "master", "br0", "up")
        ip("-n", netns, "link", "set", "eth0", "address", mac, "up")
        ip("-n", netns, "addr", "add", f"{address}/24", "dev", "eth0")
        second = f"fd00:77::{address.rpartition('.')[2]}"
        ip("-n", netns, "addr", "add", f"{second}/64", "dev", "eth0", "nodad")
        self.hosts[host] = NamespaceVantage(
            name=host,
            addresses=(IPv4Address(address), IPv6Address(second)),
            mac=mac,
            netns=f"/run/netns/{netns}",
            pidns="/proc/self/ns/pid",
        )

    def _netns(self, name: str) -> str:
        ip("netns", "add", f"{self._tag}-{name}")
        self._undo.callback(ip, "netns", "del", f"{self._tag}-{name}")
        return f"{self._tag}-{name}"

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        for host in self.hosts.values():
            host.probes.close()
        self.ports.probes.close()
        self._undo.close()

    @contextmanager
    def address(self, host: str, address: IPAddress) -> Iterator[None]:
        """A host has one address more inside the block."""
        words = (str(ip_network(address)), "dev", "eth0")
        ip("-n", f"{self._tag}-{host}", "addr", "add", *words)
        try:
            yield
        finally:
            ip("-n", f"{self._tag}-{host}", "addr", "del", *words)

    @contextmanager
    def unplugged(self, host: str) -> Iterator[None]:
        """A host's cable is out inside the block: both ends lose their carrier."""
        ip("-n", f"{self._tag}-lan", "link", "set", host, "down")
        try:
            yield
        finally:
            ip("-n", f"{self._tag}-lan", "link", "set", host, "up")

    @contextmanager
    def interface_down(self, host: str) -> Iterator[None]:
        """A host's own interface is down inside the block."""
        ip("-n", f"{self._tag}-{host}", "link", "set", "eth0", "down")
        try:
            yield
        finally:
            ip("-n", f"{self._tag}-{host}", "link", "set", "eth0", "up")


def kubeconfig_text(url: str, *, token: str, ca: str = "") -> str:
    """A kubeconfig of one cluster and one user."""
    cluster = {"server": url} | ({"certificate-authority": ca} if ca else {})
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "it", "user": "me"}}],
            "current-context": "here",
        }
    )


@contextmanager
def frozen(probe: Probe, *, after: float = 0.0, during: float | None = None) -> Iterator[None]:
    """Stop a probe by SIGSTOP within the block: `after` so many seconds, and `during` so many, None for all of it."""
    timers = [threading.Timer(after, os.kill, (probe.process.pid, signal.SIGSTOP))] if after else []
    if during is not None:
        timers.append(threading.Timer(after + during, os.kill, (probe.process.pid, signal.SIGCONT)))
    if not after:
        os.kill(probe.process.pid, signal.SIGSTOP)
    for timer in timers:
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
            timer.join()
        os.kill(probe.process.pid, signal.SIGCONT)
