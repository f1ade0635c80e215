"""The lab's certificates, tokens and kubeconfigs, by openssl.

Elliptic curves throughout: such a key is made in milliseconds where RSA's takes up to half a second. Identities are
bearer tokens in a file, so no client certificate is needed.
"""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING

from lbproof.lab.netns import plan
from lbproof.lab.netns.processes import output

if TYPE_CHECKING:
    from pathlib import Path

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
_ADDRESSES = ("127.0.0.1", plan.CONTROL_PLANE, plan.API_SERVICE, plan.API_SIDE)

_SCRIPT = """set -e
key() { openssl ecparam -genkey -name prime256v1 -noout -out "$1"; }
key ca.key; key apiserver.key; key sa.key
openssl req -x509 -new -key ca.key -days 3650 -subj /CN=lbproof-lab \
  -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature -out ca.crt
openssl req -new -key apiserver.key -subj /CN=kube-apiserver -out apiserver.csr
openssl x509 -req -in apiserver.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 \
  -extfile apiserver.ext -out apiserver.crt
openssl ec -in sa.key -pubout -out sa.pub
"""


def make(directory: Path) -> dict[str, str]:
    """Fill a directory with the lab's keys and certificates; gives every identity's token."""
    directory.mkdir(mode=0o700)
    names = [f"DNS:{name}" for name in _NAMES] + [f"IP:{address}" for address in _ADDRESSES]
    extensions = f"subjectAltName={','.join(names)}\nextendedKeyUsage=serverAuth\n"
    (directory / "apiserver.ext").write_text(extensions, encoding="ascii")
    output(["sh", "-c", f"cd '{directory}'\n{_SCRIPT}"])
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
