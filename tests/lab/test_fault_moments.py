"""Signals of faults reach all of a pod: a container that is being started, and children with a session of their own."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.lab.test_pod_faults import NODE, Host

from lbproof.lab.base import Image
from lbproof.lab.netns import container
from lbproof.lab.netns import pod as pod_module
from lbproof.lab.netns.faults import Faults
from lbproof.lab.netns.pod import Pod
from lbproof.spec.families import Family
from lbproof.witnesses.wait import consistently, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WITH_CHILD = (
    "import subprocess, threading\n"
    "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    "print(child.pid, flush=True); threading.Event().wait()\n"
)


def state(pid: int) -> str:
    """State of a process (proc(5)): `T` is stopped; empty when there is none."""
    path = Path(f"/proc/{pid}/stat")
    return path.read_text().rpartition(")")[2].split()[0] if path.exists() else ""


class Start:
    """A start of a container that lasts until it is told to go on."""

    def __init__(self) -> None:
        """Nothing is started."""
        self.asked, self.go = threading.Event(), threading.Event()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.pids: list[int] = []

    def __call__(self, *_: object, **__: object) -> subprocess.Popen[bytes]:
        """Start a program in a mount namespace of its own, with a child in another session."""
        self.asked.set()
        assert self.go.wait(10)
        argv = ["unshare", "--mount", sys.executable, "-c", WITH_CHILD]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout is not None
        self.pids += [process.pid, int(process.stdout.readline())]
        self.processes.append(process)
        return process

    def states(self) -> list[str]:
        """States of the program and its child."""
        return [state(pid) for pid in self.pids]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """What `container.run` is meanwhile."""
    made = Start()
    monkeypatch.setattr(container, "run", made)
    monkeypatch.setattr(pod_module, "enter", lambda _: None)
    yield made
    made.go.set()
    for process in made.processes:
        subprocess.run(["kill", "-KILL", *map(str, made.pids)], check=False, capture_output=True)
        process.communicate()


@pytest.fixture
def node(tmp_path: Path, start: Start) -> Iterator[tuple[Pod, Host, Faults]]:
    """A pod that will be started, on a node without a kubelet, and the faults of its cluster."""
    del start
    host = Host(tmp_path)
    host.place.node = SimpleNamespace(name="w01", addresses=(NODE,), families=(Family.IPV4,))
    host.inside = SimpleNamespace(
        work=tmp_path, log=tmp_path, runtime=None, images=[Image(pattern="x", program="/bin/true")]
    )
    metadata = {"uid": "u-1", "namespace": "default", "name": "slow", "resourceVersion": "1"}
    spec = {"hostNetwork": True, "restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}]}
    made = Pod({"metadata": metadata, "spec": spec, "status": {}}, host)  # type: ignore[arg-type]
    kubelet: Any = host
    kubelet.pods, kubelet.beat = {"u-1": made}, lambda: None
    machine = SimpleNamespace(kubelet=kubelet, components={})
    cluster: Any = SimpleNamespace(machines={"w01": machine}, places={"w01": host.place}, pod=lambda *_: made)
    yield made, host, Faults(cluster)
    made.finish(0)
    eventually(lambda: host.forgotten, bool, what="the pod goes", within=10)


FAULTS: dict[str, Callable[[Faults], dict[str, Any]]] = {
    "freeze": lambda faults: faults.freeze("w01"),
    "freeze-pod": lambda faults: faults.freeze_pod("default", "slow"),
    "kill": lambda faults: faults.kill("default", "slow"),
}


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("when", ["during the start", "after it"])
def test_a_fault_reaches_all_processes_of_a_pod(
    node: tuple[Pod, Host, Faults], start: Start, kind: str, when: str
) -> None:
    """Those of a container that is being started too, and those that left the session of its first process."""
    pod, _, faults = node
    pod.start()
    assert start.asked.wait(10)
    if when == "after it":
        start.go.set()
        eventually(lambda: pod.processes, bool, what="the container runs", within=10)
    done: list[dict[str, Any]] = []
    fault = threading.Thread(target=lambda: done.append(FAULTS[kind](faults)))
    fault.start()
    fault.join(0.3)  # a fault that does not wait for the start is over then
    start.go.set()
    fault.join(10)
    wanted = {"", "Z"} if kind == "kill" else {"T"}
    eventually(start.states, lambda seen: seen and set(seen) <= wanted, what=f"all are {wanted}", within=5)
    if kind != "kill":
        faults.undo(done[0]["number"])
        eventually(start.states, lambda seen: "T" not in seen, what="all go on", within=5)


def test_nothing_is_started_on_a_frozen_node(
    node: tuple[Pod, Host, Faults], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by a step that began before the freeze either; it is when the node goes on."""
    pod, host, _ = node
    begun = threading.Event()

    def freeze() -> int:
        host.frozen = not begun.is_set()
        begun.set()
        return -1

    monkeypatch.setattr(container, "available_capabilities", freeze)
    pod.start()
    assert begun.wait(10)
    consistently(start.asked.is_set, lambda asked: not asked, what="nothing is started", during=0.2)
    host.frozen = False
    start.go.set()
    assert start.asked.wait(10)
