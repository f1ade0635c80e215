"""Vantages that are network namespaces of this machine."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Protocol

from lbproof.lab.base import Host, LabError
from lbproof.lab.common import environment
from lbproof.lab.common.commands import killed_with_parent, start_for_life
from lbproof.lab.common.netns import entered, namespace_identity
from lbproof.lab.common.probes import Probes
from lbproof.witnesses.probe import Probe
from lbproof.witnesses.stream import ProbeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof.lab.base import Node, Segment
    from lbproof.spec.families import IPAddress
    from lbproof.witnesses.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceVantage(Host):
    """Network namespace of a lab."""

    name: str
    addresses: tuple[IPAddress, ...]
    """Its addresses, that of the lab's primary family first."""
    mac: str
    netns: str
    """Path of the network namespace in this process's mount namespace."""
    pidns: str
    """Path of the lab's PID namespace, in which programs are started, so that they die with the lab."""
    interface: str = "eth0"
    probes: Probes = field(default_factory=Probes, repr=False, compare=False)
    """Probes of the lab."""

    def probe(self) -> Probe:
        """Return the probe of the namespace, started at the first use."""
        try:
            found = namespace_identity(self.netns)
        except OSError as error:
            raise ProbeError(f"probe at {self.name}: its namespace is not there: {error}") from error
        return self.probes.shared(self.name, found, self._start)

    def start_probe(self) -> Probe:
        """Start another probe in the namespace; the caller closes it."""
        return self.probes.start(self.name, self._start)

    def _start(self) -> Probe:
        return Probe(self.name, self.popen)

    def popen(
        self,
        argv: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
        stderr: IO[bytes] | int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program of this machine in the namespace, in its own session; it dies with the lab or this process.

        Raises `OSError` when it cannot be started.
        """

        def start() -> subprocess.Popen[bytes]:
            with ExitStack() as there:
                there.enter_context(entered(self.netns))
                there.enter_context(entered(self.pidns, kind="pid_for_children"))
                return subprocess.Popen(
                    killed_with_parent(argv),
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                    env=environment.python(),
                )

        return start_for_life(start)


class Places(Protocol):
    """Vantages of a lab with namespaces, each by the name that a user types."""

    name: str
    probes: Probes
    """Probes of its vantages."""
    segments: tuple[Segment, ...]

    def clocks(self) -> Mapping[str, Clock]:
        """Return the clock of each vantage at which a probe was started."""
        return self.probes.clocks()

    @property
    def segment(self) -> Segment:
        """First segment: that of the nodes and the outside client."""
        return self.segments[0]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Nodes: control plane first, then workers in order."""
        ...

    def client(self) -> NamespaceVantage:
        """Return the outside client on the segment."""
        ...

    def routed_client(self) -> NamespaceVantage:
        """Return the client behind the router."""
        ...

    def router(self) -> NamespaceVantage:
        """Return the router."""
        ...

    def node(self, name: str) -> NamespaceVantage:
        """Return a node."""
        ...

    def pod(self, namespace: str, name: str) -> NamespaceVantage:
        """Return a running pod."""
        ...

    def exec_argv(self, where: str, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs a program of this machine at a node, `client`, `far`, or `NAMESPACE/POD`.

        Raises `LabError` for an unknown place, and for a program that this machine does not have.
        """
        place = self._place(where)
        if not shutil.which(argv[0], path=environment.path()):
            raise LabError(
                f"there is no program {argv[0]} on this machine, whose programs run in lab {self.name}: install it"
            )
        return ["nsenter", f"--net={place.netns}", f"--pid={place.pidns}", "--", *argv]

    def _place(self, where: str) -> NamespaceVantage:
        namespace, slash, pod = where.partition("/")
        if slash:
            return self.pod(namespace, pod)
        named = {"client": self.client, "far": self.routed_client}
        if where in named:
            return named[where]()
        names = [node.name for node in self.nodes]
        if where in names:
            return self.node(where)
        places = ", ".join([*named, *names])
        raise LabError(f"no place {where!r} in lab {self.name}: there are {places}, and NAMESPACE/POD")
