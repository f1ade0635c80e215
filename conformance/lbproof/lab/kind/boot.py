"""Steps of a kind lab's boot before there is a lab object, and their undo."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from lbproof.lab import registry
from lbproof.lab.base import LabError
from lbproof.lab.common import environment
from lbproof.lab.common.commands import output
from lbproof.lab.kind import leftovers, plan
from lbproof.lab.kind.engine import LABEL, Engine
from lbproof.spec.families import Family

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Iterator

    from lbproof.lab.base import Topology

_NARROW = 20
"""Minimum prefix length of a route to a local network; a shorter prefix is a wide area, as of a VPN."""


def require_ipvs() -> None:
    """Raise `LabError` when the kernel lacks IPVS, without which kube-proxy ends and Services do not work."""
    if Path("/proc/net/ip_vs").exists():
        return
    modprobe = shutil.which("modprobe")
    if not modprobe or subprocess.run([modprobe, "--quiet", "ip_vs"], check=False).returncode:
        raise LabError(
            "kube-proxy in mode ipvs: the kernel of this machine lacks ip_vs, so nothing can be shown of it here; "
            "load the module (modprobe ip_vs) or take mode iptables or nftables"
        )


def claim(
    name: str, topology: Topology, engine: Engine, listener: socket.socket | None
) -> tuple[subprocess.Popen[bytes], int]:
    """Claim the name and start the supervisor; return its process and this end of its lifeline."""
    with registry.claim(name) as state:
        (state / "log").mkdir()
        lifeline, own_end = os.pipe()
        given = [lifeline, *([listener.fileno()] if listener else [])]
        with (state / "log" / "supervisor.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lbproof.lab.kind.supervisor", name, *(str(one) for one in given)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=given,
                start_new_session=True,
                env={**environment.python(), "DOCKER_HOST": engine.host},
            )
        os.close(lifeline)
        registry.record(name, process.pid, topology, provider="kind", engine=engine.host)
    return process, own_end


def undo(engine: Engine, name: str, process: subprocess.Popen[bytes], own_end: int, *, keep: bool) -> None:
    """Remove everything of a failed boot, except its logs if `keep`, because the error message names them."""
    process.kill()
    process.wait()
    os.close(own_end)
    leftovers.remove_all(engine, name)
    if not keep:
        shutil.rmtree(registry.directory(name), ignore_errors=True)


def network(engine: Engine, lab: str, families: Collection[Family]) -> plan.Subnet:
    """Create the lab's bridge network on the first unused subnet. Raises `LabError` when all are used.

    The engine refuses a subnet of another of its networks, but not one to which this machine has a route. A route to a
    wide network, as of a VPN, does not count.
    """
    last = ""
    rows = json.loads(output(engine.inside(["ip", "-j", "route"])))
    routes = [IPv4Network(row["dst"]) for row in rows if row["dst"] != "default"]
    routes = [route for route in routes if route.prefixlen >= _NARROW]
    for subnet in plan.Subnet.all():
        ipv4 = subnet.lan.ipv4
        if any(ipv4.overlaps(route) for route in routes):
            last = f"there is a route to {ipv4}"
            continue
        six = ["--ipv6", f"--subnet={subnet.lan.ipv6}"] if Family.IPV6 in families else []
        try:
            engine.run(
                *("network", "create", "--driver", "bridge", "--label", f"{LABEL}={lab}"),
                *(f"--subnet={ipv4}", f"--ip-range={subnet.nodes}", f"--gateway={ipv4[1]}", *six),
                plan.cluster_name(lab),
            )
        except LabError as error:
            last = str(error)
            if "overlap" not in last:
                raise
        else:
            return subnet
    raise LabError(f"no subnet of 192.168.{plan.FIRST}.0/24 and the {plan.SUBNETS - 1} after it is free: {last}")


def server(kubeconfig: Path) -> str:
    """Return `HOST:PORT` of the API server in a kubeconfig."""
    found = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    return str(found["clusters"][0]["cluster"]["server"]).removeprefix("https://")


def serve_at(kubeconfig: Path, server: str) -> None:
    """Set `HOST:PORT` of the API server in a kubeconfig."""
    found = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    found["clusters"][0]["cluster"]["server"] = f"https://{server}"
    kubeconfig.write_text(yaml.safe_dump(found), encoding="utf-8")


@contextlib.contextmanager
def told(log: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Report each completed stage of kind, read from its log, during the block."""
    over = threading.Event()

    def follow() -> None:
        told = 0
        while True:
            last = over.wait(0.2)
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
            done = [line.split("✓")[1].split("\x1b")[0].strip(" …🖼📦📜🕹️🔌💾🚜") for line in lines if "✓" in line]
            for line in done[told:]:
                say(line)
            told = len(done)
            if last:
                return

    thread = threading.Thread(target=follow, name="kind's log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
