"""Vantage that is a pod of any cluster, reached by `kubectl exec` alone."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import IO, TYPE_CHECKING, Any, Self

from lbproof.lab.base import Host, LabError
from lbproof.lab.common.commands import killed_with_parent, start_for_life
from lbproof.lab.common.probes import Probes
from lbproof.witnesses import bootstrap
from lbproof.witnesses.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof.spec.families import IPAddress

_MAC_WITHIN = 1.0
"""Seconds that the kernel of the pod may take to tell a hardware address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecVantage(Host):
    """Container with `python3`, and with CAP_NET_RAW for frames. Nothing of lbproof has to be in its image."""

    name: str
    addresses: tuple[IPAddress, ...]
    """Addresses of the pod, that of the cluster's primary family first."""
    argv: tuple[str, ...]
    """Command line that runs a program in the container with this process's pipes: `kubectl exec -i POD --`."""
    container: str
    """ID of the running container: another one after a restart."""
    mac: str = ""
    """Hardware address of the interface, in lower case with colons."""
    interface: str = "eth0"
    probes: Probes = field(default_factory=Probes, repr=False, compare=False)
    """Probes of the lab."""

    @classmethod
    def of_pod(cls, pod: Mapping[str, Any], kubectl: Sequence[str], probes: Probes) -> Self:
        """Return the first container of a pod, an object of the API. `kubectl`: the command and its kubeconfig.

        Raises `LabError` when it does not run, `ProbeError` when it has no `python3` or no such interface.
        """
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        statuses = pod["status"].get("containerStatuses", [])
        if not statuses or "running" not in statuses[0]["state"]:
            raise LabError(f"pod {namespace}/{name} does not run")
        found = cls(
            name=f"pod {namespace}/{name}",
            addresses=tuple(ip_address(row["ip"]) for row in pod["status"]["podIPs"]),
            argv=(
                *kubectl,
                "exec",
                "--stdin",
                f"--namespace={namespace}",
                f"--container={statuses[0]['name']}",
                name,
                "--",
            ),
            container=statuses[0]["containerID"],
            probes=probes,
        )
        (found_link,) = found.probe().call("interface", within=_MAC_WITHIN, interface=found.interface).records
        return replace(found, mac=found_link["mac"])

    def probe(self) -> Probe:
        """Return the probe of the container, started at the first use and again after a restart."""
        return self.probes.shared(self.name, self.container, self._start)

    def start_probe(self) -> Probe:
        """Start another probe in the container; the caller closes it."""
        return self.probes.start(self.name, self._start)

    def _start(self) -> Probe:
        return Probe(self.name, self._run, argv=bootstrap.ARGV, code=bootstrap.code())

    def _run(self, argv: Sequence[str], *, stdin: int, stdout: int, stderr: IO[bytes] | int) -> subprocess.Popen[bytes]:
        command = killed_with_parent([*self.argv, *argv])
        return start_for_life(
            lambda: subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True)
        )
