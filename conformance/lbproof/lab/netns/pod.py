"""One pod on one node: its namespace, volumes and containers, from the first sight of it to its last.

Everything about a pod happens in its own thread, which lives in the node's network namespace, so there is nothing to
lock: whoever wants something of it leaves a word and wakes it. It waits for what comes first of a container's end, a
probe, a restart, a refresh of its volumes, or such a word.
"""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lbproof.lab.base import LabError
from lbproof.lab.common.netns import enter
from lbproof.lab.netns import container, images, network, security, status
from lbproof.lab.netns.api import STRATEGIC, UNREACHABLE, ApiError
from lbproof.lab.netns.pod_container import PodContainer
from lbproof.lab.netns.probe import ContainerProbe
from lbproof.lab.netns.processes import end, namespace, send, send_inside
from lbproof.lab.netns.volumes import NotYetError, Source

if TYPE_CHECKING:
    import subprocess

    from lbproof.lab.netns.pod_host import PodHost

_log = logging.getLogger(__name__)

RETRY = 0.3
"""Seconds until something that the pod waits for is looked for again."""
NEVER = 3600.0
"""Seconds until the next look at something that will not change by itself."""
REFRESH_UNREADY, REFRESH = 0.5, 10.0
"""Seconds between refreshes of the volumes: a program may wait for its Secret before it is Ready."""
BACKOFF = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Seconds until a container that ended is started again, by how often in a row it did."""
STEADY = 60.0
"""Seconds after which a container's next end counts as its first."""


@dataclass(slots=True)
class _Word:
    """What others want of the pod; written by them, read by its thread."""

    grace_until: float | None = None
    """End by then (`time.monotonic()`)."""
    lost: bool = False
    """The node died: the processes are gone, and nothing is to be said to anybody."""


class Pod:
    """A pod bound to a node."""

    def __init__(self, obj: dict[str, Any], host: PodHost) -> None:
        """The pod as the API has it; `start` makes it real."""
        self.obj, self.host = obj, host
        metadata, spec = obj["metadata"], obj["spec"]
        self.uid: str = metadata["uid"]
        self.namespace: str = metadata["namespace"]
        self.name: str = metadata["name"]
        self.host_network: bool = spec.get("hostNetwork", False)
        self.netns = host.place.node.name if self.host_network else f"p-{self.uid[:8]}"
        self.addresses = host.place.node.addresses if self.host_network else ()
        self._number = 0
        self._directory = host.inside.work / "pods" / self.uid
        self._word = _Word()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        self._source = Source(host.api, obj, host.place.node.addresses)
        self._set = self._mounted = False
        self._refresh_at = 0.0
        self._lock = threading.Lock()
        self.starting = threading.Lock()
        """Held while a container is being started, which no signal would reach, and while a fault signals the pod."""
        self._started_at: str = self._status.get("startTime") or status.now()
        self._init = [self._container(row, "initContainerStatuses") for row in spec.get("initContainers", [])]
        self._containers = [self._container(row, "containerStatuses") for row in spec["containers"]]

    def _container(self, spec: dict[str, Any], before: str) -> PodContainer:
        """A container; one that ran before (its node was off) goes on counting its restarts."""
        state = status.Container(name=spec["name"], image=spec["image"])
        old = next((row for row in self._status.get(before, []) if row["name"] == spec["name"]), None)
        if old and old.get("containerID"):
            state.restarts = old["restartCount"] + 1
        return PodContainer(spec=spec, state=state)

    # what others ask of it
    def start(self) -> None:
        """Begin, in a thread of its own."""
        threading.Thread(target=self._main, name=f"pod {self.namespace}/{self.name}", daemon=True).start()

    def update(self, obj: dict[str, Any]) -> None:
        """Take in the object as the API has it: its metadata may show in volumes, and others may write its status."""
        version = int(obj["metadata"]["resourceVersion"])
        with self._lock:
            if version <= int(self.obj["metadata"]["resourceVersion"]):
                return  # a watch event that is older than the answer to this pod's own write
            self.obj.update(metadata=obj["metadata"], status=obj.get("status", {}))
        self.wake()

    @property
    def _status(self) -> dict[str, Any]:
        """Its status as the API has it."""
        return dict(self.obj.get("status", {}))

    def finish(self, grace: float) -> None:
        """End it within `grace` seconds, and say so."""
        until = time.monotonic() + grace
        earlier = self._word.grace_until
        self._word.grace_until = until if earlier is None else min(until, earlier)
        self.wake()

    def lose(self) -> None:
        """Crash with its node: kill all processes at once and forget them."""
        self._word.lost = True
        self.signal(signal.SIGKILL)
        self.wake()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the pod."""
        rows = [row.process for row in (*self._init, *self._containers)]
        processes = [process for process in rows if process and process.returncode is None]
        send_inside(processes, number)  # first: the namespaces of a process that has ended cannot be looked up
        send(processes, number)

    def wake(self) -> None:
        """Have it look around now, if it still is."""
        with self._lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    @property
    def running(self) -> bool:
        """Whether it has its address and runs a container."""
        return bool(self.addresses) and any(row.state.running for row in self._containers)

    @property
    def mac(self) -> str:
        """Hardware address of its interface."""
        return self.host.place.node.mac if self.host_network else self.host.place.pod_mac(self._number)

    @property
    def processes(self) -> list[int]:
        """The first process of each container that runs, as the lab numbers them."""
        return [row.state.pid for row in self._containers if row.state.pid]

    # its own thread
    def _main(self) -> None:
        for work in (self._live, self._terminate):
            try:
                work()
            except Exception:  # noqa: BLE001 - the thread's edge: no other pod suffers, and the log says why
                _log.exception("pod %s/%s", self.namespace, self.name)
        with self._lock:
            os.close(self._wake)
            self._wake = -1

    def _live(self) -> None:
        enter(namespace(self.host.place.node.name))
        while self._word.grace_until is None and not self._word.lost:
            self._wait(RETRY if self.host.frozen else self._step())

    def _set_up(self) -> None:
        """Its namespace and address. `LabError` when it cannot have them."""
        if not self.host_network:
            number = self.host.take_number(self._status.get("podIP", ""))
            try:
                network.pod(self.host.place, self.netns, number)
            except Exception:
                network.forget_pod(self.host.place, self.netns)
                self.host.give_number_back(number)
                raise
            self._number, self.addresses = number, self.host.place.pod_addresses(number)
        self._set = True
        self._source.pod_addresses = self.addresses

    def _step(self) -> float:
        """Do what is due; gives the seconds until something is again."""
        try:
            if not self._set:
                self._set_up()
            due = self._advance()
            self._post()
        except NotYetError as reason:
            self._waits("ContainerCreating", str(reason))
        except (LabError, ApiError, *UNREACHABLE) as error:
            _log.warning("pod %s/%s: %s", self.namespace, self.name, error)
        except Exception as error:  # noqa: BLE001 - as a kubelet: said, and tried again; the pod can still be deleted
            _log.exception("pod %s/%s", self.namespace, self.name)
            self._waits("CreateContainerError", f"{type(error).__name__}: {error}")
            return BACKOFF[-1]
        else:
            return due - time.monotonic()
        return RETRY

    def _waits(self, reason: str, message: str) -> None:
        """Say what the pod waits for; a server that cannot be reached is told at the next step."""
        for row in (*self._init, *self._containers):
            if row.process is None and not row.state.exited:
                row.state.waiting = (reason, message)
        try:
            self._post()
        except (ApiError, *UNREACHABLE) as error:
            _log.warning("pod %s/%s: %s", self.namespace, self.name, error)

    def _advance(self) -> float:
        now = time.monotonic()
        if now >= self._refresh_at:
            self._refresh(now)
        due = [self._refresh_at]
        for row in self._init:
            due.append(self._attend(row, now, "OnFailure"))
            if not (row.state.exited and row.state.exited["exitCode"] == 0):
                return min(due)
        policy = self.obj["spec"].get("restartPolicy", "Always")
        due += [self._attend(row, now, policy) for row in self._containers]
        return min(due)

    def _refresh(self, now: float) -> None:
        """Make the volumes; once they are there, one that cannot be refreshed stays as it is."""
        try:
            self._source.populate(self._directory / "volumes")
        except (NotYetError, ApiError, *UNREACHABLE) as error:
            if not self._mounted:
                raise
            _log.info("pod %s/%s: volumes stay as they are: %s", self.namespace, self.name, error)
        self._mounted = True
        ready = all(row.state.ready for row in self._containers)
        self._refresh_at = now + (REFRESH if ready else REFRESH_UNREADY)

    def _attend(self, row: PodContainer, now: float, policy: str) -> float:
        """See to one container; gives when to look at it again."""
        if row.process is not None:
            if row.process.poll() is None:
                return self._probe(row, now)
            self._ended(row, row.process, now)
        code = row.state.exited["exitCode"] if row.state.exited else None
        if code is not None and (policy == "Never" or (policy == "OnFailure" and code == 0)):
            return now + NEVER
        if now >= row.start_at:
            return now if self._start(row, now) else row.start_at
        if row.ends > 1 and row.state.exited:
            row.state.backs_off(row.start_at - now)
        return row.start_at

    def _ended(self, row: PodContainer, process: subprocess.Popen[bytes], now: float) -> None:
        """A container's program has ended: what is left of it goes, and the time of its next start is set."""
        send([process], signal.SIGKILL)
        os.close(row.pidfd)
        row.ends = 0 if now - row.began > STEADY else row.ends
        row.start_at = now + BACKOFF[min(row.ends, len(BACKOFF) - 1)]
        row.ends += 1
        row.state.exited = status.terminated(process.returncode, row.state.started, status.now(), process.pid)
        row.state.ready = False
        row.process, row.pidfd = None, -1

    def _start(self, row: PodContainer, now: float) -> bool:
        """Start a container, or say why it waits; whether it runs."""
        state, inside = row.state, self.host.inside
        image = images.find(inside.images, state.image)
        if image is None:
            known = ", ".join(sorted({one.pattern for one in inside.images}))
            again = state.waiting is not None and state.waiting[0] == "ErrImagePull"
            state.waiting = (
                "ImagePullBackOff" if again else "ErrImagePull",
                f"this lab runs programs, not images, and has none for {state.image}; it knows {known}",
            )
            row.start_at = now + 2
            return False
        hostname = self.host.place.node.name if self.host_network else self.name
        base = container.base_environment(image, hostname, self.host.place.node.families)
        spec = self.obj["spec"]
        try:
            env = self._source.environment(row.spec, base)
            row.settings = container.Settings(
                runtime=inside.runtime,
                privileges=security.privileges(spec, row.spec, image, container.available_capabilities()),
                env=env,
                directory=row.spec.get("workingDir") or "/",
                host_ipc=spec.get("hostIPC", False),
                host_pid=spec.get("hostPID", False),
            )
            with self.starting:
                if self.host.frozen or self._word.lost:
                    row.start_at = now + RETRY
                    return False
                row.process = container.run(
                    row.settings,
                    container.argv(image, row.spec, env),
                    image=image,
                    mounts=container.mounts_of(spec, row.spec, self._directory / "volumes", self.host.files, env),
                    sysctls=security.sysctls(spec),
                    netns=self.netns,
                    hostname=hostname,
                    addresses=self.addresses,
                    log=inside.log / f"{self.namespace}_{self.name}_{state.name}.log",
                )
        except (NotYetError, security.ConfigError) as reason:
            state.waiting = ("CreateContainerConfigError", str(reason))
            row.start_at = now + RETRY
            return False
        except container.ContainerError as error:
            state.waiting = (error.reason, str(error))
            row.start_at = now + 2
            return False
        row.pidfd = os.pidfd_open(row.process.pid)
        row.began = now
        state.runs(row.process.pid, status.now())
        ready, live = row.spec.get("readinessProbe"), row.spec.get("livenessProbe")
        row.readiness = ContainerProbe(ready, row.spec, quick=True) if ready else None
        row.liveness = ContainerProbe(live, row.spec, quick=False) if live else None
        if row.liveness:
            row.liveness.due = now + row.liveness.spec.get("initialDelaySeconds", 0) + 1
        state.ready = row.readiness is None
        return True

    def _probe(self, row: PodContainer, now: float) -> float:
        """Ask the probes that are due; a container that is no longer alive is ended, and so started again."""
        due = now + NEVER
        for probe in (row.readiness, row.liveness):
            if probe is None:
                continue
            if now >= probe.due:
                probe.answered(probe.ask(str(self.addresses[0]), row.execute), time.monotonic())
            due = min(due, probe.due)
        if row.readiness:
            row.state.ready = row.readiness.passed
        if row.liveness and row.liveness.failed and row.process:
            _log.warning("pod %s/%s: %s failed its liveness probe", self.namespace, self.name, row.state.name)
            send([row.process], signal.SIGKILL)
            row.liveness = None
        return due

    def _post(self) -> None:
        """Write the status, when the API has another one: this pod changed, or somebody else wrote it.

        A kubelet does the same (status manager, `needsReconcile`): the node controller sets Ready=False while a node is
        not heard, and nobody but the kubelet undoes it.
        """
        said = status.pod_status(
            node=self.host.place.node.addresses,
            addresses=self.addresses,
            started=self._started_at,
            init=[row.state for row in self._init],
            containers=[row.state for row in self._containers],
            restart=self.obj["spec"].get("restartPolicy", "Always"),
            before=self._status,
        )
        if status.shows(self._status, said):
            return
        body = {"metadata": {"uid": self.uid}, "status": said}
        self.update(self.host.api("PATCH", f"{self._path}/status", body, content=STRATEGIC))

    def _wait(self, seconds: float) -> None:
        """Until a container ends, somebody wakes the pod, or the time is over."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        for row in (*self._init, *self._containers):
            if row.pidfd >= 0:
                poll.register(row.pidfd, select.POLLIN)
        if any(fd == self._wake for fd, _ in poll.poll(max(0.0, seconds) * 1000)):
            os.eventfd_read(self._wake)

    def _terminate(self) -> None:
        """SIGTERM, the grace, SIGKILL; then nothing of the pod is left here, and the API hears so.

        After a crash of the node there is no grace period and no report.
        """
        processes = [row.process for row in (*self._init, *self._containers) if row.process]
        for process in processes:
            if process.poll() is None and not self._word.lost:
                process.send_signal(signal.SIGTERM)
        while not self._word.lost and any(process.poll() is None for process in processes):
            left = (self._word.grace_until or 0.0) - time.monotonic()
            if left <= 0:
                break
            self._wait(left)
        end(processes)
        if self._word.lost:
            return
        try:
            if self._set and not self.host_network:
                network.forget_pod(self.host.place, self.netns)
                self.host.give_number_back(self._number)
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)
            self.host.forget(self.obj)
