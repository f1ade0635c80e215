"""What counts as more than an implementation needs: rules of accounts, privileges of containers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.adapters.base import WorkloadRole
from lbproof.checks.sec import test_least_privileges as privileges
from lbproof.context import CannotShow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RBAC = privileges.RBAC
POD: dict[str, Any] = {
    "metadata": {"namespace": "acme", "name": "speaker-1"},
    "spec": {
        "serviceAccountName": "speaker",
        "containers": [{"name": "speaker", "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}}],
    },
}


class Cluster:
    """An API server with these objects, which allows what it is told."""

    def __init__(self, objects: Mapping[str, Any], *, allows: Sequence[str] = ()) -> None:
        self.objects, self.allows = objects, allows

    def get(self, path: str) -> Any:  # noqa: ANN401 - an object
        return self.objects[path]

    def find(self, path: str) -> Any:  # noqa: ANN401 - an object
        return self.objects.get(path)

    def list(self, path: str) -> Any:  # noqa: ANN401 - objects
        return self.objects.get(path, [])

    def create(self, _: str, review: Any) -> Any:  # noqa: ANN401 - an object
        return {"status": {"allowed": review["spec"]["resourceAttributes"]["verb"] in self.allows}}


def check(pods: Mapping[str, Any], *, rules: Sequence[Any] = (), allows: Sequence[str] = ()) -> Any:  # noqa: ANN401
    """A check of an implementation whose roles have these pods, all with an account of these rules."""
    subjects = [{"kind": "ServiceAccount", "namespace": "acme", "name": "speaker"}]
    objects: dict[str, Any] = {f"/api/v1/namespaces/acme/pods/{pod['metadata']['name']}": pod for pod in pods.values()}
    reference = {"kind": "ClusterRole", "name": "acme"}
    objects[f"{RBAC}/clusterrolebindings"] = [
        {"metadata": {"name": "acme"}, "subjects": subjects, "roleRef": reference}
    ]
    objects[f"{RBAC}/clusterroles/acme"] = {"rules": list(rules)}
    workloads = SimpleNamespace(pods=lambda role: [("w01", "acme", pods[role]["metadata"]["name"])])
    return SimpleNamespace(
        cluster=Cluster(objects, allows=allows), run=SimpleNamespace(workloads=workloads), namespace="lbproof-x"
    )


def pods(**change: Any) -> dict[str, Any]:  # noqa: ANN401
    """The pods of both roles, with a changed container or spec."""
    changed = POD | {"spec": POD["spec"] | change}
    return dict.fromkeys(WorkloadRole, changed)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]}, "a wildcard"),
        ({"apiGroups": [""], "resources": ["*"], "verbs": ["get"]}, "a wildcard"),
        ({"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}, "a wildcard"),
        ({"nonResourceURLs": ["*"], "verbs": ["get"]}, "a wildcard"),
        ({"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}, "Secrets of all namespaces"),
    ],
)
def test_a_rule_that_is_too_wide_fails(rule: Any, why: str) -> None:  # noqa: ANN401
    """A wildcard anywhere, and the Secrets of all namespaces."""
    with pytest.raises(AssertionError, match=why):
        privileges.test_no_account_has_more_than_it_needs(check(pods(), rules=[rule]))


def test_a_rule_for_what_is_needed_passes() -> None:
    """Named resources and verbs, one Secret by its name."""
    rules = [
        {"apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["key"], "verbs": ["get"]},
    ]
    privileges.test_no_account_has_more_than_it_needs(check(pods(), rules=rules))


def test_an_announcer_that_may_change_services_fails() -> None:
    """One that shares its account with the controller cannot be judged."""
    controller = POD | {
        "metadata": {"namespace": "acme", "name": "controller-1"},
        "spec": POD["spec"] | {"serviceAccountName": "controller"},
    }
    apart: dict[str, Any] = {WorkloadRole.CONTROLLER: controller, WorkloadRole.ANNOUNCER: POD}

    privileges.test_the_announcer_changes_no_service(check(apart))
    with pytest.raises(AssertionError, match="patch status of services"):
        privileges.test_the_announcer_changes_no_service(check(apart, allows=["patch"]))
    with pytest.raises(CannotShow):
        privileges.test_the_announcer_changes_no_service(check(pods(), allows=["patch"]))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"hostPID": True}, "hostPID"),
        ({"containers": [{"name": "x", "securityContext": {"privileged": True}}]}, "privileged"),
        ({"containers": [{"name": "x"}]}, "all capabilities of its runtime"),
        (
            {
                "containers": [
                    {"name": "x", "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}}
                ]
            },
            "SYS_ADMIN",
        ),
    ],
)
def test_a_container_with_more_than_it_needs_fails(change: dict[str, Any], why: str) -> None:
    """Privileged, with its node's processes, with capabilities that no announcer needs, or without dropping any."""
    privileges.test_no_container_has_more_than_it_needs(check(pods()))
    small = {"name": "x", "securityContext": {"capabilities": {"drop": ["all"], "add": ["net_raw"]}}}
    privileges.test_no_container_has_more_than_it_needs(check(pods(containers=[small])))
    with pytest.raises(AssertionError, match=why):
        privileges.test_no_container_has_more_than_it_needs(check(pods(**change)))
