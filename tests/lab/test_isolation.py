"""Labs beside each other and the machine around them: what a lab leaves, what it refuses, what `clean` removes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lbproof.lab import provide, registry
from lbproof.lab.base import LabError, Topology
from lbproof.lab.common.netns import entered
from lbproof.lab.netns import leftovers
from lbproof.lab.netns.lab import NetnsLab
from lbproof.witnesses import http
from lbproof.witnesses.kube import Kube
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SMALL = Topology(workers=0)
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
def name() -> Iterator[str]:
    """A name for a lab, of which nothing is left afterwards."""
    name = registry.free_name("beside")
    yield name
    if any(info.name == name for info in registry.labs()):
        provide.clean(name)


def traces() -> set[str]:
    """What of this machine's own bears the names that a lab uses: mounts, links, namespaces, packet filter rules.

    A lab adds nothing to it even while it runs, since all of it is inside the lab's own namespaces.
    """
    named, links = Path("/run/netns"), Path("/sys/class/net")
    ruleset = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    names = [path.name for place in (named, links) if place.exists() for path in place.iterdir()]
    return {
        *(line for line in mounts.splitlines() if "lbproof" in line),
        *(name for name in names if re.fullmatch(r"lan|mgmt|client|router|far|[mw]\d\d|vp?-.*|p-.*", name)),
        *(line for line in ruleset.splitlines() if re.search(r"KUBE-|lbproof|fault-", line)),
    }


@pytest.fixture
def before() -> set[str]:
    """The traces that the machine bore before the test: an engine's or another tool's, which no lab made."""
    return traces()


def spaces(process: Path) -> set[str]:
    """The namespaces that a process lives in; none when it has ended."""
    try:
        return {str((process / "ns" / kind).readlink()) for kind in ("net", "pid", "mnt")}
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # PermissionError: not a lab's, which are ours
        return set()


def processes() -> list[Path]:
    """Every process of the machine, as its directory."""
    return [path for path in Path("/proc").iterdir() if path.name.isdecimal()]


def started(process: Path) -> str:
    """Start time of a process in clock ticks since boot (proc_pid_stat(5)); empty when it has ended or is a zombie."""
    try:
        state, *rest = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if state in "ZX" else rest[18]


def processes_of(name: str) -> set[tuple[Path, str]]:
    """The processes that live in any namespace of a lab, each with its start time, since PIDs are reused.

    Namespaces do not identify a lab afterwards: the kernel reuses their numbers for a lab that boots meanwhile.
    """
    pidns = str(Path(f"/proc/{leftovers.init_of(registry.find(name))}", "ns/pid").readlink())
    found = {process: spaces(process) for process in processes()}
    its_own = set().union(*(those for those in found.values() if pidns in those)) - spaces(Path("/proc/self"))
    return {(process, started(process)) for process, those in found.items() if those & its_own}


def living(those: set[tuple[Path, str]]) -> list[str]:
    """Those of the processes that still live."""
    return [str(process) for process, began in those if began and started(process) == began]


def names() -> dict[str, bool]:
    """The labs of this machine, and whether each is alive."""
    return {info.name: info.alive for info in registry.labs()}


def test_two_labs_do_not_see_each_other(
    lab: NetnsLab, kube: Kube, programs: Mapping[str, Path], name: str, before: set[str]
) -> None:
    """Two labs with the same addresses: what listens in one is refused in the other, and so are their names."""
    other = NetnsLab.up(name, SMALL, programs=programs)
    with entered(lab.client().netns), socket.create_server((str(lab.client().address), 9999)) as listening:
        here = http.connects(lab.node("m01"), lab.client().address, 9999)
        there = http.connects(other.node("m01"), other.client().address, 9999)
        listening.close()
    other.down()

    assert (here, there) == ("open", "refused")
    assert traces() - before == set()
    assert names()[lab.name]
    assert name not in names()
    assert len(kube.list("/api/v1/nodes")) == 3


def test_what_runs_in_a_lab_has_nothing_of_the_user_s_shell(
    programs: Mapping[str, Path], name: str, hostile: Mapping[str, str]
) -> None:
    """Every process of a lab, and a client of its API, with a shell and a home folder that would change them all."""
    lab = NetnsLab.up(name, SMALL, programs=programs)
    process = lab.client().popen(["sleep", "60"])
    pidns = Path(f"/proc/{leftovers.init_of(registry.find(name))}", "ns/pid").readlink()
    inside = [path for path in processes() if str(pidns) in spaces(path)]
    started_with = {path: dict(line.decode().split("=", 1) for line in environ(path) if line) for path in inside}
    maps = "".join((path / "maps").read_text() for path in inside if environ(path))
    nodes = Kube(lab.kubeconfig).list("/api/v1/nodes")
    process.kill()
    process.wait(5)  # the lab cannot end while its dead child is not reaped
    lab.down()

    assert len(inside) > 4
    assert len(nodes) == 1
    assert {variable for variables in started_with.values() for variable in variables} <= {
        *("PATH", "HOME", "TMPDIR", "LC_ALL", "PYTHONPATH", "NODE_NAME", "PWD", "OLDPWD", "SHLVL", "_"),
    }
    assert not {value for variables in started_with.values() for value in variables.values()} & set(hostile.values())
    assert Path(hostile["LD_PRELOAD"]).name not in maps


def called(argument: str) -> list[Path]:
    """The processes of the machine with an argument; the kernel shows none of those that have ended."""
    found = []
    for process in processes():
        try:
            if argument.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(process)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def environ(process: Path) -> list[bytes]:
    """The variables that a process was started with; none when it has ended."""
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def test_nothing_is_left_when_the_supervisor_is_killed(
    lab: NetnsLab, kube: Kube, programs: Mapping[str, Path], name: str, before: set[str]
) -> None:
    """SIGKILL to the supervisor ends every process, namespace, link and mount; `clean` removes the directory."""
    other = NetnsLab.up(name, SMALL, programs=programs)
    sleeper = other.client().popen(["sleep", "60"])
    args = ["netexec", "--http-port=8080", f"--delay-shutdown={os.getpid()}"]  # by which its process is found
    spec = {"nodeName": "m01", "containers": [{"name": "main", "image": "agnhost:2", "args": args}]}
    Kube(other.kubeconfig).create(PODS, {"metadata": {"name": "contained"}, "spec": spec})
    contained = eventually(lambda: called(args[-1]), bool, what="the pod's process runs", within=10).value
    its_own = processes_of(name) | {(process, started(process)) for process in contained}
    os.kill(leftovers.init_of(registry.find(name)), signal.SIGKILL)
    sleeper.wait(5)
    eventually(names, lambda seen: not seen[name], what="the lab is dead", within=5)
    said: list[str] = []
    removed = provide.clean(progress=said.append)
    other._reap()  # noqa: SLF001 - it was killed behind its back

    assert len(its_own) >= 4
    assert living(its_own) == []
    assert traces() - before == set()
    assert [line for line in removed if name in line] == [f"lab {name}: dead already; {registry.directory(name)}"]
    assert said == removed
    assert name not in names()
    assert kube.get("/api/v1/nodes/w01")["metadata"]["name"] == "w01"
    assert lab.run("w01", ["true"]) == ""


def test_a_lab_goes_with_the_process_that_holds_its_lifeline(
    name: str, lab_in_process: Callable[[str], subprocess.Popen[str]], before: set[str]
) -> None:
    """SIGKILL to the starter, and nothing of its lab is there a moment later, not even the directory."""
    starter = lab_in_process(name)
    its_own = processes_of(name)
    starter.kill()
    starter.wait()
    eventually(names, lambda seen: name not in seen, what="the lab is gone", within=10)
    eventually(lambda: living(its_own), lambda left: not left, what="none of its processes lives", within=5)

    assert len(its_own) >= 4
    assert traces() - before == set()


def test_an_interrupted_boot_leaves_nothing(programs: Mapping[str, Path], name: str, before: set[str]) -> None:
    """Ctrl-C while a lab boots takes back all that there is of it."""
    its_own: set[tuple[Path, str]] = set()

    def interrupt(line: str) -> None:
        if "wired" in line:
            its_own.update(processes_of(name))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        NetnsLab.up(name, SMALL, programs=programs, progress=interrupt)

    assert name not in names()
    assert len(its_own) >= 4
    assert living(its_own) == []
    assert traces() - before == set()


def test_a_lab_without_lifeline_is_found_and_taken_down(programs: Mapping[str, Path], name: str) -> None:
    """`lab up`: it stays, another process finds it by name, and `clean` leaves it alone until it is named."""
    lab = NetnsLab.up(name, SMALL, programs=programs, lifeline=False)
    found = NetnsLab.attach(name)
    spared = provide.clean()
    listed = next(info for info in registry.labs() if info.name == name)
    removed = provide.clean(name)
    lab._reap()  # noqa: SLF001 - another has taken it down

    assert found.kubeconfig == lab.kubeconfig
    assert not any(name in line for line in spared)
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
            NetnsLab.up(name, SMALL, programs=programs, api_port=port)

    assert name not in names()


def test_a_component_that_fails_is_named_with_its_log(programs: Mapping[str, Path], name: str) -> None:
    """What cannot boot says which component ended, how, and where its log is."""
    broken = {**programs, "etcd": Path("/bin/false")}
    with pytest.raises(LabError) as failed:
        NetnsLab.up(name, SMALL, programs=broken)

    assert "etcd on m01 ended with 1" in str(failed.value)
    assert f"{registry.directory(name)}/log/etcd-m01.log" in str(failed.value)
    assert names()[name] is False


def test_logs_are_exported_and_bounded(lab: NetnsLab, tmp_path: Path) -> None:
    """The end of each component's log is copied."""
    (lab.state / "log" / "long.log").write_bytes(b"a" * 300_000 + b"end")
    lab.export_logs(tmp_path / "logs")
    copied = {path.name: path.stat().st_size for path in (tmp_path / "logs").iterdir()}

    assert {"etcd-m01.log", "kube-apiserver-m01.log", "kube-proxy-w01.log", "supervisor.log"} <= set(copied)
    assert copied["long.log"] == 256 * 1024
    assert max(copied.values()) <= 256 * 1024
