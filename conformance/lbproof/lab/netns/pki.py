"""The lab's certificates, tokens and kubeconfigs, by trustme.

Elliptic curves throughout: such a key is made in milliseconds where RSA's takes up to half a second. Identities are
bearer tokens in a file, so no client certificate is needed.
"""

from __future__ import annotations

import base64
import json
import secrets
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import trustme

from lbproof.lab.netns import plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lbproof.spec.families import Family

IDENTITIES = {
    "admin": 'lbproof-admin,admin,"system:masters"',
    "kubelet": 'lbproof-kubelet,kubelet,"system:masters"',
    "kube-controller-manager": "system:kube-controller-manager,kcm",
    "kube-scheduler": "system:kube-scheduler,scheduler",
    "kube-proxy": "system:kube-proxy,proxy",
}
"""Who asks the API server, as the user, uid and groups of a line of its token file."""

_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
)


def make(directory: Path, families: Sequence[Family]) -> dict[str, str]:
    """Fill a directory with the lab's keys and certificates, and return the token of each identity.

    Files: `ca.crt`, `apiserver.crt`, `apiserver.key`, and `sa.key`, by which tokens of service accounts are signed.
    """
    directory.mkdir(mode=0o700)
    authority = trustme.CA(organization_name="lbproof-lab")
    node = plan.LAN.hosts(plan.CONTROL_PLANE, families)
    service = plan.SERVICES.hosts(plan.API_SERVICE, families)
    addresses = map(str, (IPv4Address("127.0.0.1"), plan.API_SIDE, *node, *service))
    server = authority.issue_cert(*_NAMES, *addresses, common_name="kube-apiserver")
    authority.cert_pem.write_to_path(str(directory / "ca.crt"))
    server.cert_chain_pems[0].write_to_path(str(directory / "apiserver.crt"))
    server.private_key_pem.write_to_path(str(directory / "apiserver.key"))
    trustme.CA().private_key_pem.write_to_path(str(directory / "sa.key"))
    tokens = {identity: secrets.token_hex(16) for identity in IDENTITIES}
    lines = [f"{tokens[identity]},{who}\n" for identity, who in IDENTITIES.items()]
    (directory / "tokens.csv").write_text("".join(lines), encoding="ascii")
    return tokens


def kubeconfig(path: Path, *, server: str, token: str, ca: Path) -> None:
    """Write a kubeconfig that holds everything it needs, as JSON, which YAML contains; readable by its owner alone."""
    authority = base64.b64encode(ca.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": "lab", "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1) + "\n", encoding="ascii")
