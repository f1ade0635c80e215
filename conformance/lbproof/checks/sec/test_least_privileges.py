"""Permissions and privileges of the implementation's pods, as they are in the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters.base import WorkloadRole
from lbproof.context import CannotShow, proves
from lbproof.spec import Untestable
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext

RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
CAPABILITIES = {"NET_RAW", "NET_ADMIN", "NET_BROADCAST", "NET_BIND_SERVICE", "SYS_NICE"}
"""What an announcer may need: raw sockets, addresses and routes, low ports, and a place in the processor's queue."""
WRITES = ("create", "update", "patch", "delete")


def pods_of(check: CheckContext, *roles: WorkloadRole) -> list[Object]:
    """Return the running pods with one of some roles."""
    found = [pod for role in roles for pod in check.run.workloads.pods(role)]
    return [check.cluster.get(f"/api/v1/namespaces/{where}/pods/{name}") for _, where, name in dict.fromkeys(found)]


def account_of(pod: Object) -> tuple[str, str]:
    """Return namespace and name of a pod's ServiceAccount."""
    return pod["metadata"]["namespace"], pod["spec"].get("serviceAccountName", "default")


def rules_of(check: CheckContext, account: tuple[str, str]) -> Iterator[tuple[str, bool, Object]]:
    """Yield the rules bound to a ServiceAccount: name of the binding, whether it holds everywhere, the rule."""
    for kind in ("clusterrolebindings", "rolebindings"):
        for binding in check.cluster.list(f"{RBAC}/{kind}"):
            if not any(names(subject, account) for subject in binding.get("subjects") or []):
                continue
            role, namespace = binding["roleRef"], binding["metadata"].get("namespace")
            below = "/clusterroles" if role["kind"] == "ClusterRole" else f"/namespaces/{namespace}/roles"
            found = check.cluster.find(f"{RBAC}{below}/{role['name']}") or {}
            for rule in found.get("rules") or []:
                yield binding["metadata"]["name"], kind == "clusterrolebindings", rule


def names(subject: Object, account: tuple[str, str]) -> bool:
    """Return whether a subject of a binding is a ServiceAccount, or all of its namespace."""
    namespace, name = account
    if subject["kind"] == "Group":
        return bool(subject["name"] == f"system:serviceaccounts:{namespace}")
    return (subject["kind"], subject.get("namespace"), subject["name"]) == ("ServiceAccount", namespace, name)


def too_wide(rule: Object, *, everywhere: bool) -> str:
    """Say what a rule allows that nobody needs; empty when it is nothing."""
    groups, resources = rule.get("apiGroups") or [], rule.get("resources") or []
    verbs = rule.get("verbs") or []
    if "*" in {*groups, *resources, *verbs, *(rule.get("nonResourceURLs") or [])}:
        return f"a wildcard: {words(verbs)} of {words(resources)} in {words(groups)}"
    if everywhere and "secrets" in resources and not rule.get("resourceNames"):
        return f"{words(verbs)} of the Secrets of all namespaces"
    return ""


@proves("SEC-01", "a")
def test_no_account_has_more_than_it_needs(check: CheckContext) -> None:
    """No rule of the accounts of controller and announcer has a wildcard, and none is for all Secrets."""
    pods = pods_of(check, WorkloadRole.CONTROLLER, WorkloadRole.ANNOUNCER)
    wide = [
        f"{'/'.join(account)} by {binding}: {why}"
        for account in sorted({account_of(pod) for pod in pods})
        for binding, everywhere, rule in rules_of(check, account)
        if (why := too_wide(rule, everywhere=everywhere))
    ]
    assert not wide, f"accounts may do more than they need: {words(wide)}"


@proves("SEC-01", "b")
def test_the_announcer_changes_no_service(check: CheckContext) -> None:
    """The API server would not let the announcer's account change a Service or its status, in any namespace."""
    announcers = pods_of(check, WorkloadRole.ANNOUNCER)
    accounts = {account_of(pod) for pod in announcers}
    if accounts & {account_of(pod) for pod in pods_of(check, WorkloadRole.CONTROLLER)}:
        raise CannotShow(Untestable.NO_WORKLOAD, "controller and announcer have one account")
    may = {
        f"{namespace}/{name}": allowed
        for namespace, name in sorted(accounts)
        if (allowed := allowed_writes(check, namespace, name))
    }
    assert not may, f"the announcer may change Services: {words(may)}"


def allowed_writes(check: CheckContext, namespace: str, name: str) -> Sequence[str]:
    """Return what the API server lets a ServiceAccount change of Services, by its own word."""
    found: list[str] = []
    for subresource in ("", "status"):
        for verb in WRITES:
            asked = {"verb": verb, "resource": "services", "subresource": subresource, "namespace": check.namespace}
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
            user = f"system:serviceaccount:{namespace}:{name}"
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": user, "groups": groups, "resourceAttributes": asked},
            }
            if check.cluster.create(REVIEWS, review)["status"]["allowed"]:
                found.append(f"{verb} {'status of ' if subresource else ''}services")
    return found


@proves("SEC-01", "c")
def test_no_container_has_more_than_it_needs(check: CheckContext) -> None:
    """No container is privileged or shares processes with its node, and each drops what it does not name."""
    wide = [
        f"{pod['metadata']['name']}: {where}: {why}"
        for pod in pods_of(check, WorkloadRole.CONTROLLER, WorkloadRole.ANNOUNCER)
        for where, why in privileges(pod)
    ]
    assert not wide, f"containers may do more than they need: {words(wide)}"


def privileges(pod: Object) -> Iterator[tuple[str, str]]:
    """Yield what a pod's containers may do that nobody needs: where, and what."""
    spec = pod["spec"]
    for shared in ("hostPID", "hostIPC"):
        if spec.get(shared):
            yield "pod", shared
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        context = container.get("securityContext") or {}
        capabilities = context.get("capabilities") or {}
        added = {name.upper().removeprefix("CAP_") for name in capabilities.get("add") or []}
        if context.get("privileged"):
            yield container["name"], "privileged"
        if more := added - CAPABILITIES:
            yield container["name"], f"the capabilities {words(more)}"
        if "ALL" not in map(str.upper, capabilities.get("drop") or []):  # runtimes take it in any case
            yield container["name"], "all capabilities of its runtime, which it does not drop"
