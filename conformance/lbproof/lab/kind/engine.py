"""Docker engine of a kind lab, by its command `docker`. It is found, never started."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbproof.lab.base import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence

LABEL = "dev.lbproof.lab"
"""Label of every container and network of a lab but kind's nodes; its value is the lab's name."""
CLUSTER_LABEL = "io.x-k8s.kind.cluster"
"""kind's own label of a cluster's nodes."""
_CREDENTIALS = struct.Struct("iII")
"""`struct ucred` of <sys/socket.h>: process, user and group."""
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
"""Variables that kind copies into its nodes, where a proxy on the loopback of this machine does not exist."""
REMEDY = 'start Docker, or, on a machine that has none, in a checkout of lbproof: eval "$(make -s kind-engine)"'


class NoEngineError(LabError):
    """No Docker engine answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Docker engine that answers, and whose containers are processes of this machine."""

    host: str
    """Value of DOCKER_HOST: `unix:///run/docker.sock`."""
    pid: int
    """Process of the engine, or the one that created its socket; it is in the engine's network namespace."""

    @classmethod
    def find(cls, host: str = "") -> Engine:
        """Return the engine at `host` (a value of DOCKER_HOST), else the one that `docker` would use.

        Raises `LabError` when there is none that a lab can use.
        """
        if shutil.which("docker") is None:
            raise NoEngineError("there is no `docker` on PATH")
        host = host or os.environ.get("DOCKER_HOST") or _of_context()
        if not host.startswith("unix://"):
            raise LabError(
                f"the Docker engine at {host} is not on this machine: a lab enters its containers' namespaces, "
                "so DOCKER_HOST must be a unix:// socket"
            )
        engine = cls(host=host, pid=_peer(Path(host.removeprefix("unix://"))))
        engine.run("version", "--format", "{{.Server.Version}}")
        return engine

    @property
    def netns(self) -> str:
        """Network namespace of its bridges."""
        return f"/proc/{self.pid}/ns/net"

    @property
    def apart(self) -> bool:
        """Whether its network namespace is not that of this process, which then cannot reach its published ports."""
        return Path(self.netns).stat().st_ino != Path("/proc/self/ns/net").stat().st_ino

    def inside(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs a program in the engine's network, with this engine and without a proxy."""
        enter = ["nsenter", f"--net={self.netns}", "--"] if self.apart else []
        unset = [word for name in _PROXIES for word in ("-u", name, "-u", name.lower())]
        return [*enter, "env", *unset, f"DOCKER_HOST={self.host}", *argv]

    def run(self, *arguments: str) -> str:
        """Run a docker command and return its output. Raises `LabError` with its last line when it fails."""
        done = subprocess.run(
            ["docker", "--host", self.host, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            raise LabError(f"docker {' '.join(arguments[:2])}: {said[-1]}")
        return done.stdout.strip()

    def inspect(self, *containers: str) -> list[dict[str, Any]]:
        """Return the engine's descriptions of containers. Raises `LabError` when one does not exist."""
        rows: list[dict[str, Any]] = json.loads(self.run("container", "inspect", *containers))
        return rows

    def has_image(self, reference: str) -> bool:
        """Return whether the engine has an image."""
        return bool(self.run("image", "ls", "--quiet", reference))

    def containers(self, label: str) -> list[str]:
        """Return the names of the containers with a label (`key=value`), including stopped ones."""
        return self.run("ps", "--all", "--filter", f"label={label}", "--format", "{{.Names}}").split()

    def networks(self, label: str) -> list[str]:
        """Return the names of the networks with a label."""
        return self.run("network", "ls", "--filter", f"label={label}", "--format", "{{.Name}}").split()


def _of_context() -> str:
    command = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unix:///var/run/docker.sock"


def _peer(path: Path) -> int:
    """Return the process that listens at a socket."""
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError as error:
        raise NoEngineError(f"no Docker engine answers at {path} ({error.strerror})") from None
    pid: int = _CREDENTIALS.unpack(credentials)[0]
    if pid <= 0 or not Path(f"/proc/{pid}/ns/net").exists():
        raise LabError(
            f"the Docker engine behind {path} runs outside this machine or container: its nodes are not seen"
        )
    return pid
