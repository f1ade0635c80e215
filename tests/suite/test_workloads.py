"""Workloads by kind and role: when they are ready, and what a restart does to them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.suite.acme import Acme
from tests.suite.fake_cluster import FakeCluster

from lbproof.adapters.base import Workload, WorkloadRole
from lbproof.checks.article import test_part_one as article
from lbproof.context import CannotShow
from lbproof.context.workloads import Workloads
from lbproof.lab.base import Capability
from lbproof.run.adapter_check import example_site
from lbproof.spec import Untestable
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.wait import EventuallyFailed, Violation, Waiter

if TYPE_CHECKING:
    from lbproof.lab.base import Lab

BOTH = frozenset(WorkloadRole)


class FakeLab:
    """Kills pods, which are started again at once."""

    def __init__(self, cluster: FakeCluster, *, able: bool = True) -> None:
        self.cluster, self.able = cluster, able

    def can(self, capability: Capability) -> bool:
        return self.able and capability is Capability.KILL

    def kill(self, namespace: str, name: str) -> None:
        self.cluster.log.append(f"kill {name}")
        pod = self.cluster.objects[f"/api/v1/namespaces/{namespace}/pods/{name}"]
        pod["status"]["containerStatuses"][0]["restartCount"] += 1


def workload(kind: str = "DaemonSet", name: str = "acme", roles: frozenset[WorkloadRole] = BOTH) -> Workload:
    """A workload whose pods have its name as a label."""
    return Workload(kind=kind, namespace="acme", name=name, selector={"app": name}, roles=roles)


def of(cluster: FakeCluster, *workloads: Workload, able: bool = True) -> Workloads:
    """The workloads of an implementation in a cluster."""
    adapter = Acme()
    adapter.workloads = workloads
    waiter = Waiter(Journal(None), {"restarted": 0.1, "reclaimed": 0.1})
    return Workloads(cast("Lab", FakeLab(cluster, able=able)), cluster.kube, adapter, waiter)


def pod(cluster: FakeCluster, name: str, node: str = "w01", *, ready: bool = True) -> None:
    """Put a running pod of the workload that its name begins with."""
    cluster.objects[f"/api/v1/namespaces/acme/pods/{name}"] = {
        "metadata": {"name": name, "labels": {"app": name.partition("-")[0]}},
        "spec": {"nodeName": node},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"restartCount": 0}],
        },
    }


def controlled(cluster: FakeCluster, kind: str, spec: dict[str, Any], status: dict[str, Any]) -> None:
    """Put the object of a workload."""
    path = f"/apis/apps/v1/namespaces/acme/{kind.lower()}s/acme"
    cluster.objects[path] = {"metadata": {"generation": 2}, "spec": spec, "status": status | {"observedGeneration": 2}}


READY = {
    "Deployment": ({"replicas": 1}, {"updatedReplicas": 1, "readyReplicas": 1}),
    "StatefulSet": ({"replicas": 1}, {"updatedReplicas": 1, "readyReplicas": 1}),
    "DaemonSet": ({}, {"desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberReady": 1}),
}


@pytest.mark.parametrize("kind", READY)
def test_a_workload_is_ready_by_its_status_and_its_pods(kind: str) -> None:
    """One whose pods are old, or that has too many, is not."""
    cluster = FakeCluster()
    controlled(cluster, kind, *READY[kind])
    pod(cluster, "acme-1")
    of(cluster, workload(kind)).rolled_out()

    pod(cluster, "acme-2", "w02")
    with pytest.raises(EventuallyFailed, match=f"{kind} acme/acme is ready"):
        of(cluster, workload(kind)).rolled_out()


def test_a_static_pod_is_ready_when_each_of_its_pods_is() -> None:
    """There is no object that says how many there should be; without any it is not ready."""
    cluster = FakeCluster()
    with pytest.raises(EventuallyFailed, match="0 there, 0 ready"):
        of(cluster, workload("StaticPod")).rolled_out()
    pod(cluster, "acme-w01")
    pod(cluster, "acme-w02", "w02")
    of(cluster, workload("StaticPod")).rolled_out()

    pod(cluster, "acme-w03", "w03", ready=False)
    with pytest.raises(EventuallyFailed, match="3 there, 2 ready"):
        of(cluster, workload("StaticPod")).rolled_out()


def test_a_role_that_no_workload_has_is_untestable() -> None:
    """Not unsupported: nobody may leave a MUST out by not naming a workload."""
    found = of(FakeCluster(), workload(roles=frozenset()))
    for ask in (found.of, found.pods, found.restart, lambda role: found.pod_on(role, "w01")):
        with pytest.raises(CannotShow) as caught:
            ask(WorkloadRole.CONTROLLER)
        assert caught.value.reason is Untestable.NO_WORKLOAD


def test_pods_of_a_role_are_those_of_all_its_workloads() -> None:
    """Three workloads, two of which announce."""
    cluster = FakeCluster()
    announcer = frozenset({WorkloadRole.ANNOUNCER})
    for name, node in (("agent-1", "w01"), ("edge-1", "w02"), ("brain-1", "w03")):
        pod(cluster, name, node)
    found = of(cluster, workload(name="agent", roles=announcer), workload(name="edge", roles=announcer), workload())

    assert found.pods(WorkloadRole.ANNOUNCER) == [("w01", "acme", "agent-1"), ("w02", "acme", "edge-1")]
    assert found.pod_on(WorkloadRole.ANNOUNCER, "w02") == ("acme", "edge-1")
    with pytest.raises(CannotShow, match="no announcer runs on w03"):
        found.pod_on(WorkloadRole.ANNOUNCER, "w03")


def test_static_pods_are_restarted_by_killing_them() -> None:
    """The API cannot replace them; a lab that cannot kill cannot show it."""
    cluster = FakeCluster()
    pod(cluster, "acme-w01")
    of(cluster, workload("StaticPod")).restart(WorkloadRole.CONTROLLER)
    assert cluster.log == ["kill acme-w01"]

    with pytest.raises(CannotShow) as caught:
        of(cluster, workload("StaticPod"), able=False).restart(WorkloadRole.CONTROLLER)
    assert caught.value.reason is Untestable.NO_SUCH_FAULT


@pytest.mark.parametrize("ended", [0, 3])
def test_containers_that_end_after_a_restart_are_the_implementation_s_fault(ended: int) -> None:
    """Pods that are merely late are not: their image, their node or Kubernetes may be."""

    class Replacing(FakeCluster):
        """A cluster that makes a new pod for a deleted one, which does not become ready."""

        def discard(self, path: str) -> None:
            super().discard(path)
            pod(self, "acme-2", ready=False)
            status = self.objects["/api/v1/namespaces/acme/pods/acme-2"]["status"]
            status["containerStatuses"] = [{"restartCount": ended}]

    cluster = Replacing()
    spec, status = READY["DaemonSet"]
    controlled(cluster, "DaemonSet", spec, status | {"numberReady": 0})
    pod(cluster, "acme-1")

    with pytest.raises(Violation) as caught:
        of(cluster, workload()).restart(WorkloadRole.CONTROLLER)

    if ended:
        assert str(caught.value) == "containers have ended after a restart: acme/acme-2 on w01 (3 times)"
    assert isinstance(caught.value, EventuallyFailed) == (not ended)


@pytest.mark.parametrize("kinds", [["DaemonSet", "DaemonSet"], ["StatefulSet"]], ids=str)
def test_workloads_unlike_the_article_s_fail_its_claim(kinds: list[str]) -> None:
    """However many have a role: a verdict, and no error of the suite."""
    adapter, cluster, nothing = Acme(), FakeCluster(), cast("Any", None)
    adapter.workloads = (
        workload("Deployment", "controller", frozenset({WorkloadRole.CONTROLLER})),
        *(workload(kind, f"speaker{at}", frozenset({WorkloadRole.ANNOUNCER})) for at, kind in enumerate(kinds)),
    )
    pod(cluster, "controller-1")
    for name in article.CUSTOM:
        cluster.objects[f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"] = {
            "metadata": {"name": name}
        }
    workloads = Workloads(nothing, cluster.kube, adapter, nothing)
    run = SimpleNamespace(workloads=workloads, adapter=adapter, site=example_site({}))
    check = cast("Any", SimpleNamespace(run=run, cluster=cluster))

    with pytest.raises(AssertionError, match=f"the speaker is not one DaemonSet but {', '.join(kinds)}"):
        article.test_installing_gives_what_the_article_lists(check)


class Scaled(FakeCluster):
    """Has as many pods of the workload `acme` as its object says, as soon as that is changed."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.path = f"/apis/apps/v1/namespaces/acme/{kind.lower()}s/acme"
        controlled(self, kind, *READY[kind])
        pod(self, "acme-1")

    def patch(self, path: str, body: dict[str, Any]) -> None:
        assert path == self.path
        spec = body["spec"]
        there = (
            bool(spec["replicas"]) if "replicas" in spec else None in spec["template"]["spec"]["nodeSelector"].values()
        )
        self.log.append("some" if there else "none")
        self.objects.pop("/api/v1/namespaces/acme/pods/acme-1", None)
        if there:
            pod(self, "acme-1")


@pytest.mark.parametrize("kind", READY)
def test_no_pod_of_a_stopped_workload_is_left_until_the_end_of_the_block(kind: str) -> None:
    """Also when the block fails; it has as many as before then, and both roles are restarting meanwhile."""
    cluster = Scaled(kind)
    found = of(cluster, workload(kind))

    def fails() -> None:
        with found.stopped(WorkloadRole.CONTROLLER):
            assert found.running(*found.all) == []
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert cluster.log == ["none", "some"]
    assert len(found.running(*found.all)) == 1


def test_a_static_pod_cannot_be_stopped() -> None:
    """Its kubelet starts it again, whatever is deleted: that cannot be shown."""
    with pytest.raises(CannotShow) as caught, of(FakeCluster(), workload("StaticPod")).stopped(WorkloadRole.CONTROLLER):
        pass
    assert caught.value.reason is Untestable.NO_SUCH_FAULT


class Counted(FakeCluster):
    """Has as many pods of the Deployment `acme` as it says, but at most some that can run."""

    def __init__(self, replicas: int, most: int = 3) -> None:
        super().__init__()
        self.most = most
        self.path = "/apis/apps/v1/namespaces/acme/deployments/acme"
        self._has(replicas)

    def _has(self, replicas: int) -> None:
        there = min(replicas, self.most)
        spec, status = {"replicas": replicas}, {"updatedReplicas": there, "readyReplicas": there}
        controlled(self, "Deployment", spec, status)
        for n in range(1, self.most + 1):
            self.objects.pop(f"/api/v1/namespaces/acme/pods/acme-{n}", None)
            if n <= there:
                pod(self, f"acme-{n}")

    def patch(self, path: str, body: dict[str, Any]) -> None:
        assert path == self.path
        self.log.append(f"{body['spec']['replicas']} replicas")
        self._has(body["spec"]["replicas"])


@pytest.mark.parametrize(("replicas", "during"), [(1, 2), (3, 3)])
def test_several_pods_run_until_the_end_of_the_block(replicas: int, during: int) -> None:
    """As many as wanted, or as there are if these are more; also when the block fails, as many as before then."""
    cluster = Counted(replicas)
    found = of(cluster, workload("Deployment"))

    def fails() -> None:
        with found.copies(WorkloadRole.CONTROLLER, 2):
            assert len(found.running(*found.all)) == during
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert cluster.log == [f"{during} replicas", f"{replicas} replicas"]


def test_several_pods_that_cannot_be_had_are_untestable() -> None:
    """A DaemonSet has as many as nodes; of a Deployment not all may find a place, and it has as many as before then."""
    cluster = Counted(1, most=1)
    for found, reason in (
        (of(FakeCluster(), workload("DaemonSet")), Untestable.NO_WORKLOAD),
        (of(FakeCluster(), workload("StaticPod")), Untestable.NO_WORKLOAD),
        (of(cluster, workload("Deployment")), Untestable.NOT_PROVOKED),
    ):
        with pytest.raises(CannotShow) as caught, found.copies(WorkloadRole.CONTROLLER, 2):
            pass
        assert caught.value.reason is reason
    assert cluster.log == ["2 replicas", "1 replicas"]


def test_one_pod_of_a_workload_is_killed_or_deleted() -> None:
    """The others go on."""
    cluster = Counted(2)
    found = of(cluster, workload("Deployment"))
    found.kill_pod(WorkloadRole.CONTROLLER, "acme-2")
    found.delete_pod(WorkloadRole.CONTROLLER, "acme-1")

    assert cluster.log == ["kill acme-2", "delete acme-1"]
