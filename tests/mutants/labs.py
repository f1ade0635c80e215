"""Labs in which mutants are judged one after the other: a lab boots once, not once for each mutant."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

from lbproof.adapters.reference import Reference
from lbproof.context import manifests
from lbproof.lab import registry
from lbproof.lab.base import Topology
from lbproof.lab.netns.provider import NetnsProvider
from lbproof.lab.provider import LabRequest
from lbproof.witnesses.kube import Kube
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.netns.lab import NetnsLab

NAMESPACE = Reference.workloads[0].namespace


class Labs:
    """A number of labs, each lent to one run at a time and booted when it is first needed."""

    def __init__(self, number: int) -> None:
        """Boot nothing yet."""
        self._free: SimpleQueue[_Lab] = SimpleQueue()
        for _ in range(number):
            self._free.put(_Lab())
        self._number = number

    @contextmanager
    def lent(self) -> Iterator[str]:
        """Lend a lab without an implementation; yield its name."""
        lab = self._free.get()
        try:
            yield lab.name()
        finally:
            try:
                lab.renew()
            finally:
                self._free.put(lab)  # `close` waits for every lab

    def close(self) -> None:
        """Take all labs down, after the runs in them."""
        for _ in range(self._number):
            self._free.get().down()


class _Lab:
    """Lab that replaces itself when the implementation in it left something that the suite does not undo."""

    _booting = threading.Lock()

    def __init__(self) -> None:
        self._lab: NetnsLab | None = None
        self._links = ""

    def name(self) -> str:
        """Boot the lab unless it runs; return its name."""
        if self._lab is None:
            with self._booting:  # a name is free until its lab is recorded
                request = LabRequest(
                    name=registry.free_name("mutants"),
                    topology=Topology(),
                    python_modules=Reference.python_modules,
                )
                self._lab, _ = NetnsProvider().boot(request, lambda _: None, lifeline=True)
            self._links = self._addresses(self._lab)
        return self._lab.name

    def renew(self) -> None:
        """Remove the implementation; take the lab down if a run or the implementation left anything else."""
        if self._lab is None:
            return
        kube = Kube(self._lab.kubeconfig)
        try:
            _uninstall(kube)
            registry.note_installed(self._lab.name, "")
            clean = self._addresses(self._lab) == self._links and not _left(kube)
        except Exception:
            self.down()
            raise
        finally:
            kube.close()
        if not clean:
            self.down()

    def down(self) -> None:
        """Take the lab down."""
        if self._lab is not None:
            self._lab.down()
            self._lab = None

    @staticmethod
    def _addresses(lab: NetnsLab) -> str:
        """Return the addresses of all nodes on the segment, and their rules for packets that arrive."""
        shows = [["ip", "-oneline", "address", "show", "to", str(lab.segment.subnets[0])]]
        shows += [["iptables", "-w", "-t", table, "-S", "PREROUTING"] for table in ("mangle", "nat")]
        return "\n".join(lab.run(node.name, show) for node in lab.nodes for show in shows)


def _left(kube: Kube) -> list[str]:
    """Return the namespaces that a run left, as one does that is killed because it took too long."""
    selector = ",".join(f"{key}={value}" for key, value in manifests.OURS.items())
    found = [one["metadata"] for one in kube.list("/api/v1/namespaces", labelSelector=selector)]
    return [meta["name"] for meta in found if "deletionTimestamp" not in meta]


def _uninstall(kube: Kube) -> None:
    """Delete the workloads and pools of the implementation, and wait until its pods are gone."""
    for path in (
        f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments",
        f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets",
        f"/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/ipaddresspools",
        f"/apis/metallb.io/v1beta1/namespaces/{NAMESPACE}/l2advertisements",
    ):
        kube.delete(path)
    eventually(
        lambda: kube.list(f"/api/v1/namespaces/{NAMESPACE}/pods"),
        lambda pods: not pods,
        what=f"no pod in {NAMESPACE}",
        within=30,
    )
