"""Test segment: a bridge in a network namespace, and one namespace for each node.

Names contain the process ID, so that parallel runs do not collide. Processes start with nsenter, which calls exec.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lbproof_reference.frames import ARP, BROADCAST, ETH_P_ARP, ETHERNET, REPLY, arp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

KEY = "ours, 16 bytes at least"
SPEAKER = Path(__file__).with_name("fake_speaker.py")


def run(*command: str) -> str:
    """Run a command and return its output. Raises CalledProcessError when it fails."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class SegmentOfTests:
    """LAN 10.9.0.0/24 with nodes n1..nN at .1 to .N; this test is the client, on a port of the bridge."""

    def __init__(self, nodes: int, log: Path) -> None:
        """Create bridge and namespaces; `close` removes them."""
        self.tag = f"lbr{os.getpid() % 100000}"
        self.lan = f"{self.tag}-lan"
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self.speakers: dict[str, subprocess.Popen[str]] = {}
        self._log = log
        self._undo = contextlib.ExitStack()
        self._netns(self.lan)
        self._in(self.lan, "ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        self._in(self.lan, "ip", "link", "set", "br0", "up")
        self._in(self.lan, "sysctl", "-qw", "net.bridge.bridge-nf-call-arptables=0")
        for number, node in enumerate([*self.nodes, "client"], start=1):
            self._netns(f"{self.tag}-{node}")
            self._in(self.lan, "ip", "link", "add", node, "type", "veth", "peer", "eth0", "netns", f"{self.tag}-{node}")
            self._in(self.lan, "ip", "link", "set", node, "master", "br0", "up")
            mac = f"02:00:00:00:00:{number:02x}"
            self._in(f"{self.tag}-{node}", "ip", "link", "set", "eth0", "address", mac, "up")
            self._in(f"{self.tag}-{node}", "ip", "addr", "add", f"10.9.0.{number}/24", "dev", "eth0")

    def __enter__(self) -> Self:
        """Return the segment."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove everything."""
        self.close()

    def start(self, node: str, addresses: Iterable[str], key: str = KEY) -> None:
        """Start the speaker of a node with these addresses."""
        self._spawn(node, addresses, key)
        self._release(node)

    def start_all(self, addresses: Iterable[str]) -> None:
        """Start all speakers; they get the addresses when all are ready. Raises AssertionError if one is not."""
        addresses = list(addresses)
        for node in self.nodes:
            self._spawn(node, addresses, KEY)
        deadline = time.monotonic() + 30  # includes the start of the interpreters
        for node in self.nodes:
            out = self.speakers[node].stdout
            assert out
            assert select.select([out], [], [], max(0.0, deadline - time.monotonic()))[0], f"{node} is not ready"
            assert out.readline() == "ready\n", f"{node} ended: see {self._log}"
        for node in self.nodes:
            self._release(node)

    def _release(self, node: str) -> None:
        given = self.speakers[node].stdin
        assert given
        given.close()

    def _spawn(self, node: str, addresses: Iterable[str], key: str) -> None:
        with self._log.open("a") as log:
            self.speakers[node] = subprocess.Popen(
                [
                    "nsenter", f"--net=/run/netns/{self.tag}-{node}",
                    sys.executable, str(SPEAKER), node, key, *addresses, "--", *self.nodes,
                ],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env={"PYTHONPATH": ":".join(sys.path)},
            )  # fmt: skip

    def stop(self, node: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End a speaker."""
        speaker = self.speakers.pop(node)
        speaker.send_signal(how)
        speaker.wait(5)
        for pipe in (speaker.stdin, speaker.stdout):
            assert pipe
            pipe.close()

    def cut(self, node: str, *, silent: bool = False) -> None:
        """Disconnect a node; with `silent`, carrier stays and frames are dropped."""
        if silent:
            self._in(self.lan, "bridge", "link", "set", "dev", node, "state", "0")
        else:
            self._in(self.lan, "ip", "link", "set", node, "down")

    def heal(self, node: str, *, silent: bool = False) -> None:
        """Connect the node again."""
        if silent:
            self._in(self.lan, "bridge", "link", "set", "dev", node, "state", "3")
        else:
            self._in(self.lan, "ip", "link", "set", node, "up")

    def snoop(self) -> None:
        """Have the bridge send multicast of IPv6 only to ports whose hosts report the group when it asks (MLD)."""
        self._in(self.lan, "ip", "addr", "add", "fe80::1/64", "dev", "br0", "nodad")  # it asks from this address
        options = {"mcast_query_response_interval": "20", "mcast_snooping": "1", "mcast_querier": "1"}  # 0.2 s
        for name, value in options.items():
            self._in(self.lan, "ip", "link", "set", "br0", "type", "bridge", name, value)

    def flap(self, node: str) -> None:
        """Set a node's interface down and up twice without a pause, and restore its address."""
        address = f"10.9.0.{self.nodes.index(node) + 1}/24"
        script = f"ip link set eth0 down; ip link set eth0 up; ip addr replace {address} dev eth0"
        self._in(f"{self.tag}-{node}", "sh", "-c", f"{script}; {script}")

    def client(self) -> Client:
        """Return a raw ARP client on the segment."""
        return self._undo.enter_context(contextlib.closing(Client(f"/run/netns/{self.tag}-client")))

    def close(self) -> None:
        """End every speaker and remove every namespace."""
        for node in list(self.speakers):
            self.speakers[node].send_signal(signal.SIGCONT)
            self.stop(node)
        self._undo.close()

    def _netns(self, name: str) -> None:
        run("ip", "netns", "add", name)
        self._undo.callback(run, "ip", "netns", "del", name)

    def _in(self, netns: str, *command: str) -> None:
        run("nsenter", f"--net=/run/netns/{netns}", *command)


class Client:
    """ARP client that sends requests and receives every reply and announcement."""

    MAC = b"\x02\0\0\0\0\xfe"

    def __init__(self, netns: str) -> None:
        """Open a raw socket in a network namespace; the socket stays in it."""
        import ctypes  # noqa: PLC0415 - Python 3.11 has no os.setns

        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as home, open(netns) as there:  # noqa: PTH123 - descriptors
            libc.setns(there.fileno(), 0)
            try:
                self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP))
                self.socket.bind(("eth0", ETH_P_ARP))
            finally:
                libc.setns(home.fileno(), 0)
        self.socket.setblocking(False)
        self.mac = self.socket.getsockname()[4]
        self.address = socket.inet_aton("10.9.0.254")

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def ask(self, address: str) -> None:
        """Send one ARP request."""
        target = socket.inet_aton(address)
        self.socket.send(arp(to=BROADCAST, op=1, mac=self.mac, sender=self.address, target_mac=bytes(6), target=target))

    def heard(self, seconds: float) -> list[tuple[float, int, str, str, bool]]:
        """Receive for `seconds`; return (time, op, node by MAC, sender's address, whether unicast to this client)."""
        found = []
        until = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            while (left := until - time.monotonic()) > 0:
                if not selector.select(left):
                    break
                frame = self.socket.recv(2048)
                to, _, _ = ETHERNET.unpack_from(frame)
                *_, op, mac, sender, _, _ = ARP.unpack_from(frame, ETHERNET.size)
                found.append((time.monotonic(), op, f"n{mac[5]}", socket.inet_ntoa(sender), to == self.mac))
        return found

    def answerers(self, address: str, seconds: float = 0.01) -> list[str]:
        """Send one request; return the nodes that reply, in the order of their replies."""
        while select.select([self.socket], [], [], 0)[0]:  # discard frames from before the request
            self.socket.recv(2048)
        self.ask(address)
        answers = [node for _, op, node, ip, mine in self.heard(seconds) if op == REPLY and mine and ip == address]
        return list(dict.fromkeys(answers))

    def owner(self, address: str) -> str:
        """Return the node that replies; wait until there is one."""
        self.wait_for(address, bool)
        return self.answerers(address, 0.2)[0]

    def census(self, address: str, seconds: float, every: float = 0.005) -> list[tuple[float, list[str]]]:
        """Send requests for `seconds`; return (time, nodes that replied) for each."""
        until = time.monotonic() + seconds
        return [
            (time.monotonic(), self.answerers(address, every)) for _ in iter(lambda: time.monotonic() < until, False)
        ]

    def wait_for(self, address: str, fine: Callable[[list[str]], bool], seconds: float = 5) -> float:
        """Return the seconds until `fine(nodes)` is true. Raises AssertionError after `seconds`."""
        begin = time.monotonic()
        seen: list[str] = []
        while time.monotonic() < begin + seconds:
            seen = self.answerers(address, 0.005)
            if fine(seen):
                return time.monotonic() - begin
        raise AssertionError(f"{address} answered by {seen} after {seconds} s")
