"""The command lines of the real components. Pure: each flag is argued where it is not the obvious one."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from lbproof.lab.netns import plan
from lbproof.spec.families import Family, IPAddress, IPNetwork, host_port

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lbproof.lab.base import Topology
    from lbproof.lab.netns.plan import Place

FOLLOWERS = ("kube-controller-manager", "kube-scheduler")
"""What runs on the control plane's node as clients of the API server, besides kube-proxy."""
API_PORT = 6443
_QPS = ("--kube-api-qps=200", "--kube-api-burst=400")
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # Kubernetes' own controllers, which have ServiceAccounts too
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        {"level": "None"},
    ],
}
"""Who asked what, without bodies, of every ServiceAccount that is not Kubernetes' own: whatever was installed."""


def etcd(data: Path) -> list[str]:
    """One member; its data is in memory, where fsync would only cost time."""
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        "etcd",
        "--name=lab",
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=lab={peer}",
        "--logger=zap",
        "--log-level=warn",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=4294967296",
    ]


def apiserver(topology: Topology, pki: Path, audit: Path | None = None) -> list[str]:
    """Priority and fairness is off: it would slow the suite's bursts, which are not what is measured.

    `audit` is where the audit log goes, by the policy beside the keys; a line is written before
    its request is answered.
    """
    return [
        "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--bind-address={_anywhere(topology)}",
        f"--advertise-address={plan.LAN.hosts(plan.CONTROL_PLANE, topology.families)[0]}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--token-auth-file={pki}/tokens.csv",
        f"--service-account-key-file={pki}/sa.key",
        f"--service-account-signing-key-file={pki}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--authorization-mode=RBAC",
        f"--service-cluster-ip-range={_joined(plan.SERVICES.ranges(topology.families))}",
        "--allow-privileged=true",
        "--profiling=false",
        "--enable-priority-and-fairness=false",
        "--max-requests-inflight=2000",
        "--max-mutating-requests-inflight=1000",
        *_audit(pki, audit),
        "--v=1",
    ]


def _joined(ranges: Iterable[IPNetwork]) -> str:
    return ",".join(map(str, ranges))


def _anywhere(topology: Topology) -> IPAddress:
    """All addresses of a host; Go listens at `::` for both families."""
    return IPv6Address(0) if Family.IPV6 in topology.families else IPv4Address(0)


def _audit(pki: Path, log: Path | None) -> list[str]:
    if log is None:
        return []
    return [
        f"--audit-policy-file={pki}/audit.json",
        f"--audit-log-path={log}",
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=4096",  # MB, so that it is one file
    ]


def controller_manager(topology: Topology, kubeconfig: Path, pki: Path) -> list[str]:
    """Its controllers need credentials of their own: without, the root CA's ConfigMap never appears."""
    return [
        "kube-controller-manager",
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki}/sa.key",
        f"--root-ca-file={pki}/ca.crt",
        "--controllers=*",
        "--bind-address=127.0.0.1",
        f"--node-monitor-grace-period={topology.node_grace:g}s",
        "--node-monitor-period=1s",
        "--concurrent-service-endpoint-syncs=10",
        *_QPS,
        "--v=1",
    ]


def scheduler(kubeconfig: Path) -> list[str]:
    """One scheduler needs no election."""
    return [
        "kube-scheduler",
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        *_QPS,
        "--v=1",
    ]


def proxy(topology: Topology, kubeconfig: Path, place: Place) -> list[str]:
    """The conntrack flags keep it off values that only the machine's first namespace may write."""
    return [
        "kube-proxy",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={place.node.name}",
        f"--proxy-mode={topology.proxy_mode}",
        f"--cluster-cidr={_joined(plan.PODS.ranges(topology.families))}",
        "--conntrack-max-per-core=0",
        "--conntrack-min=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
        f"--healthz-bind-address={host_port(_anywhere(topology), 10256)}",
        "--metrics-bind-address=127.0.0.1:10249",
        "--v=2",
        *topology.proxy_args,
    ]
