"""Labs beside each other and the machine around them: what a lab leaves, what it refuses, what `clean` removes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lbproof.lab import registry
from lbproof.lab.base import LabError, Topology
from lbproof.lab.netns import NetnsLab
from lbproof.observe import http
from lbproof.observe.wait import settles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lbproof.observe.kube import Kube

SMALL = Topology(workers=0)


@pytest.fixture
def name() -> Iterator[str]:
    """A name for a lab, of which nothing is left afterwards."""
    name = registry.free_name("beside")
    yield name
    if any(info.name == name for info in registry.labs()):
        registry.clean(name)


def census() -> dict[str, list[str]]:
    """Everything of the machine that a lab could leave: namespaces that a process lives in, mounts, links, names."""
    spaces = set()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                spaces |= {os.readlink(process / "ns" / kind) for kind in ("net", "pid", "mnt")}
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
    named = Path("/run/netns")
    return {
        "namespaces": sorted(spaces),
        "mounts": sorted(Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()),
        "links": sorted(os.listdir("/sys/class/net")),
        "named": sorted(os.listdir(named)) if named.exists() else [],
        "rules": subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout.splitlines(),
    }


def names() -> dict[str, bool]:
    """The labs of this machine, and whether each is alive."""
    return {info.name: info.alive for info in registry.labs()}


def test_two_labs_do_not_see_each_other(lab: NetnsLab, kube: Kube, programs: Mapping[str, Path], name: str) -> None:
    """Two labs with the same addresses: what listens in one is refused in the other, and so are their names."""
    other = NetnsLab.up(name, SMALL, programs=programs)
    with lab.client().inside(), socket.create_server((lab.client().address, 9999)) as listening:
        here = http.connects(lab.node("m01"), lab.client().address, 9999)
        there = http.connects(other.node("m01"), other.client().address, 9999)
        listening.close()
    other.down()

    assert (here, there) == ("open", "refused")
    assert names()[lab.name]
    assert name not in names()
    assert len(kube.list("/api/v1/nodes")) == 3


def test_nothing_is_left_when_the_keeper_is_killed(
    lab: NetnsLab, kube: Kube, programs: Mapping[str, Path], name: str
) -> None:
    """SIGKILL to the keeper ends every process, namespace, link and mount; `clean` finds and removes the directory."""
    before = census()
    other = NetnsLab.up(name, SMALL, programs=programs)
    sleeper = other.client().popen(["sleep", "60"])
    during = census()
    os.kill(registry.find(name).keeper, signal.SIGKILL)
    sleeper.wait(5)
    settles(names, lambda seen: not seen[name], what="the lab is dead", within=5)
    said: list[str] = []
    removed = registry.clean(progress=said.append)
    other._reap()  # noqa: SLF001 - it was killed behind its back

    assert during["namespaces"] != before["namespaces"]
    assert census() == before
    assert len(removed) == 1
    assert name in removed[0]
    assert said == removed
    assert name not in names()
    assert kube.get("/api/v1/nodes/w01")["metadata"]["name"] == "w01"
    assert lab.run("w01", ["true"]) == ""


def test_a_lab_goes_with_the_process_that_holds_its_lifeline(
    name: str, lab_in_process: Callable[[str], subprocess.Popen[str]]
) -> None:
    """SIGKILL to the starter, and nothing of its lab is there a moment later, not even the directory."""
    before = census()
    starter = lab_in_process(name)
    kubeconfig = registry.find(name).kubeconfig
    starter.kill()
    starter.wait()
    settles(names, lambda seen: name not in seen, what="the lab is gone", within=10)
    settles(census, lambda seen: seen == before, what="the machine is as before", within=5)

    assert not kubeconfig.exists()


def test_an_interrupted_boot_leaves_nothing(programs: Mapping[str, Path], name: str) -> None:
    """Ctrl-C while a lab boots takes back all that there is of it."""
    before = census()

    def interrupt(line: str) -> None:
        if "wired" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        NetnsLab.up(name, SMALL, programs=programs, progress=interrupt)

    assert name not in names()
    assert census() == before


def test_a_lab_without_lifeline_is_found_and_taken_down(programs: Mapping[str, Path], name: str) -> None:
    """`lab up`: it stays, another process finds it by name, and `clean` leaves it alone until it is named."""
    lab = NetnsLab.up(name, SMALL, programs=programs, lifeline=False)
    found = NetnsLab.attach(name)
    spared = registry.clean()
    listed = next(info for info in registry.labs() if info.name == name)
    removed = registry.clean(name)
    lab._reap()  # noqa: SLF001 - another has taken it down

    assert found.kubeconfig == lab.kubeconfig
    assert spared == []
    assert (listed.alive, listed.nodes, listed.provider) == (True, 1, "netns")
    assert len(removed) == 1
    with pytest.raises(LabError, match=f"no lab {name} is up"):
        NetnsLab.attach(name)


def test_a_taken_name_is_refused(lab: NetnsLab, programs: Mapping[str, Path]) -> None:
    """A second lab of a name that is up would be a mistake."""
    with pytest.raises(LabError, match=f"lab {lab.name} is up already"):
        NetnsLab.up(lab.name, SMALL, programs=programs)


def test_a_taken_port_is_refused_before_anything_is_made(programs: Mapping[str, Path], name: str) -> None:
    """The API server's port on this machine belongs to another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LabError, match=f"port {port} is taken"):
            NetnsLab.up(name, Topology(workers=0, api_port=port), programs=programs)

    assert name not in names()


def test_a_component_that_fails_is_named_with_its_log(programs: Mapping[str, Path], name: str) -> None:
    """What cannot boot says which component ended, how, and where its log is."""
    broken = {**programs, "etcd": Path("/bin/false")}
    with pytest.raises(LabError) as failed:
        NetnsLab.up(name, SMALL, programs=broken)

    assert "etcd on m01 ended with 1" in str(failed.value)
    assert f"{registry.directory(name)}/log/etcd-m01.log" in str(failed.value)
    assert names()[name] is False


def test_logs_are_exported_and_bounded(lab: NetnsLab, kube: Kube, tmp_path: Path) -> None:
    """The end of each component's log is copied."""
    (lab.state / "log" / "long.log").write_bytes(b"a" * 300_000 + b"end")
    lab.export_logs(tmp_path / "logs")
    copied = {path.name: path.stat().st_size for path in (tmp_path / "logs").iterdir()}

    assert {"etcd-m01.log", "kube-apiserver-m01.log", "kube-proxy-w01.log", "keeper.log"} <= set(copied)
    assert copied["long.log"] == 256 * 1024
    assert max(copied.values()) <= 256 * 1024
