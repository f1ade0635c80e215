"""Supervisor of a netns lab: init of its PID namespace. When it ends, everything in the lab ends.

It consists of two processes. The first is the init: it reaps orphaned processes, forwards SIGTERM, and ends when the
second ends; then the kernel kills the rest. The second boots the cluster, acts as the kubelets and answers the suite's
requests. It reads a pipe, the lifeline: end of file (the starter died, even by SIGKILL) takes the lab down; one byte
lets the lab outlive its starter.

Called as `python -m lbproof.lab.netns.supervisor STATE LISTEN REPORT LIFELINE`: the state directory, three descriptors.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from lbproof.lab.base import LabError, Topology
from lbproof.lab.common.commands import output
from lbproof.lab.netns import plan, processes, rpc
from lbproof.lab.netns.cluster import Cluster, image_of
from lbproof.lab.netns.faults import Faults

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from types import FrameType

_log = logging.getLogger(__name__)


def _init(supervisor: int) -> NoReturn:
    """Reap processes as init until the supervisor ends, and end with it."""

    def pass_on(number: int, _: FrameType | None) -> None:
        os.kill(supervisor, number)

    signal.signal(signal.SIGTERM, pass_on)
    while True:
        pid, status = os.wait()
        if pid == supervisor:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


class Supervisor:
    """Second process: cluster, kubelets, requests of the suite."""

    def __init__(self, state: Path, listen: int, report: int, lifeline: int) -> None:
        """Read the request that the starter has written into the state directory."""
        self._state, self._listen, self._lifeline = state, listen, lifeline
        self._report: IO[str] = os.fdopen(report, "w", encoding="utf-8")
        self._over = threading.Event()
        request = json.loads((state / "request.json").read_text(encoding="utf-8"))
        self._cluster = Cluster(
            state,
            Topology.of(request["topology"]),
            {name: Path(path) for name, path in request["programs"].items()},
            [image_of(row) for row in request["images"]],
            request["port"],
        )
        self._began = time.monotonic()
        self._api_proxy: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Boot, run until the lab is taken down, and remove everything; return the exit code."""
        signal.signal(signal.SIGTERM, lambda *_: self._over.set())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=self._watch_lifeline, name="lifeline", daemon=True).start()
        try:
            self._boot()
        except LabError as error:
            self._say(error=str(error))
            return 1
        except Exception as error:  # noqa: BLE001 - reported to the starter, which would wait otherwise
            _log.exception("boot")
            self._say(
                error=f"the supervisor failed: {type(error).__name__}: {error}; see {self._state}/log/supervisor.log"
            )
            return 1
        self._say(ready=True)
        self._report.close()
        self._over.wait()
        self._leave()
        return 0

    def _boot(self) -> None:
        mount = ["mount", "-t", "tmpfs", "-o", "mode=755", "lbproof"]
        os.makedirs(processes.NAMESPACES, exist_ok=True)  # noqa: PTH103 - a path of iproute2's, kept as text
        output([*mount, processes.NAMESPACES])
        output([*mount, str(self._cluster.work)])
        self._cluster.boot(self._stage)
        self._api_proxy = self._forward()
        faults = Faults(self._cluster)
        commands: dict[str, Callable[..., Any]] = {
            **faults.commands(),
            "pod": self._pod,
            "map_images": self._cluster.map_images,
            "status": self._status,
        }
        rpc.serve(self._state / "ctl.sock", commands)

    def _forward(self) -> subprocess.Popen[bytes]:
        argv = [
            sys.executable,
            "-P",
            "-m",
            "lbproof.lab.common.api_proxy",
            str(self._listen),
            str(plan.API_SIDE),
            "6443",
        ]
        return processes.start_here(argv, log=self._cluster.log / "forward.log", descriptor=self._listen)

    def _stage(self, text: str) -> None:
        if self._over.is_set():
            raise LabError("told to stop while booting")
        self._say(stage=text, seconds=round(time.monotonic() - self._began, 2))

    def _say(self, **fields: Any) -> None:  # noqa: ANN401 - it is JSON
        self._report.write(json.dumps(fields) + "\n")
        self._report.flush()

    def _watch_lifeline(self) -> None:
        if os.read(self._lifeline, 1):
            return
        self._leave()
        os._exit(1)

    def _leave(self) -> None:
        """End all processes before the kernel would, so that the state directory can be removed."""
        for machine in list(self._cluster.machines.values()):
            machine.kubelet.stop()
            processes.end(machine.components.values())
        if self._api_proxy:
            processes.end([self._api_proxy])
        output(["umount", "--lazy", str(self._cluster.work)])
        shutil.rmtree(self._state, ignore_errors=True)

    # commands
    def _pod(self, namespace: str, name: str) -> dict[str, Any]:
        pod = self._cluster.pod(namespace, name)
        return {
            "netns": pod.netns,
            "addresses": [str(address) for address in pod.addresses],
            "mac": pod.mac,
            "node": pod.host.place.node.name,
            "pids": pod.processes,
        }

    def _status(self) -> dict[str, Any]:
        return {
            "version": self._cluster.version,
            "nodes": {name: name in self._cluster.machines for name in self._cluster.places},
        }


def main() -> NoReturn:
    """Fork into init and supervisor."""
    state, *descriptors = sys.argv[1:]
    os.umask(0o022)  # that of the user must not decide what the users of containers can read
    supervisor = os.fork()
    if supervisor:
        _init(supervisor)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(threadName)s %(message)s"
    )
    code = Supervisor(Path(state), *(int(number) for number in descriptors)).run()
    logging.shutdown()
    # skips the interpreter's finalization, which would wait for daemon threads in system calls
    os._exit(code)


if __name__ == "__main__":
    main()
