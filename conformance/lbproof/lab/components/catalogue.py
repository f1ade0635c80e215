"""Which components there are, at which version, and the recipes to get each. Data; nothing here acts."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = Path(__file__).parent
_PINS = tomllib.loads((_HERE / "versions.toml").read_text(encoding="utf-8"))
SHA256: dict[str, str] = _PINS.pop("sha256")
"""Path of a released file below its host → its pinned SHA-256."""
VERSIONS: dict[str, str] = _PINS


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A file that the makers publish, pinned in `SHA256`."""

    host: str
    """Base URL, which a mirror replaces."""
    path: str
    """Below the host; `{arch}` is the machine's architecture as Go spells it (`amd64`)."""
    sums: str
    """Path of the published checksum: a bare digest, or lines of digest and file name. Read only to pin a version."""
    member: str = ""
    """The program's path inside the archive, when the file is a .tar.gz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoTree:
    """Sources with their own go.mod and go.sum: a folder, or a module of a proxy (`name@vX.Y.Z`) with its hash."""

    folder: Path | None = None
    module: str = ""
    sum: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How to make a program from Go sources, or a plain file of them."""

    tree: GoTree
    package: str = ""
    """What `go build` is told; empty for a plain file."""
    file: str = ""
    """Path of a plain file in the tree."""
    program: str = ""
    """Name of the program when several components are one program, which looks at the name it is called by."""
    ldflags: str = "-s -w"
    tags: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """Something that a lab runs, or an implementation needs in it."""

    name: str
    version: str
    release: Release | None = None
    build: Build | None = None
    debian: tuple[str, ...] = ()
    """Debian or Ubuntu packages that hold it, the first that does; it is never built or downloaded otherwise."""

    @property
    def executable(self) -> bool:
        """Whether it is a program and not a plain file."""
        return self.build is None or not self.build.file


KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubectl")
LAB = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "agnhost", "nginx")
"""Components of a lab without images: a cluster and the workloads of the suite. An adapter names its own."""
GOMOD = _HERE / "gomod"
"""The Go module that is ours: it pins what it builds, and holds programs of ours."""
OURS = GoTree(folder=GOMOD)


def kube_ldflags(version: str) -> str:
    """What makes a program of Kubernetes say its version."""
    major, minor, _ = version.split(".", 2)
    return (
        f"-s -w -X k8s.io/component-base/version.gitVersion=v{version} "
        f"-X k8s.io/component-base/version.gitMajor={major} -X k8s.io/component-base/version.gitMinor={minor} "
        f"-X k8s.io/client-go/pkg/version.gitVersion=v{version}"
    )


def catalogue(kubernetes: str = VERSIONS["kubernetes"]) -> Mapping[str, Component]:
    """Every component by its name, for a version of Kubernetes; one that is not pinned has no recipe to build it."""
    pinned = kubernetes == VERSIONS["kubernetes"]
    etcd, metallb = VERSIONS["etcd"], VERSIONS["metallb"]
    release = f"/release/v{kubernetes}/bin/linux/{{arch}}"
    kube = Build(tree=OURS, package="./cmd/kube", program="kube", ldflags=kube_ldflags(kubernetes))
    folder = f"etcd-v{etcd}-linux-{{arch}}"
    download = f"/etcd-io/etcd/releases/download/v{etcd}"
    tree = GoTree(module=f"go.universe.tf/metallb@v{metallb}", sum=VERSIONS["metallb-sum"])
    found = [
        Component(
            name=name,
            version=kubernetes,
            release=Release(host="https://dl.k8s.io", path=f"{release}/{name}", sums=f"{release}/{name}.sha256"),
            build=kube if pinned else None,
        )
        for name in KUBERNETES
    ]
    found += [
        Component(
            name="etcd",
            version=etcd,
            release=Release(
                host="https://github.com",
                path=f"{download}/{folder}.tar.gz",
                sums=f"{download}/SHA256SUMS",
                member=f"{folder}/etcd",
            ),
            build=Build(tree=OURS, package="./cmd/etcd"),
        ),
        Component(
            name="agnhost",
            version=VERSIONS["kubernetes"],
            build=Build(tree=OURS, package="k8s.io/kubernetes/test/images/agnhost"),
        ),
        Component(name="nginx", version="debian", debian=("nginx", "nginx-core")),
        Component(name="keepalived", version="debian", debian=("keepalived",)),
        Component(name="metallb-controller", version=metallb, build=Build(tree=tree, package="./controller")),
        Component(name="metallb-speaker", version=metallb, build=Build(tree=tree, package="./speaker")),
        Component(
            name="metallb-manifest",
            version=metallb,
            build=Build(tree=tree, file="config/manifests/metallb-native.yaml"),
        ),
    ]
    return {component.name: component for component in found}
