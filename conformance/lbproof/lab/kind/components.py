"""Components for kind, besides those of `catalogue`: kind itself, and the parts of a node image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.lab.components.catalogue import OURS, VERSIONS, Build, Component, GoTree, Release, catalogue, kube_ldflags

if TYPE_CHECKING:
    from collections.abc import Mapping

NODE_OF_OURS = "1"
"""Version of lbproof's own programs for nodes (`pause`, `lbproof-cni`), increased with each change of them."""
_CONTAINERD = ("containerd", "ctr", "containerd-shim-runc-v2")


def kind_sources() -> GoTree:
    """Return the Go module of kind, which also contains the files of kind's own node image."""
    return _module("kind", "sigs.k8s.io/kind")


def complete(kubernetes: str = VERSIONS["kubernetes"]) -> Mapping[str, Component]:
    """Return the components of `catalogue` and those for kind."""
    found = [_kind(), *_kubernetes(kubernetes), *_containerd()]
    found += [
        Component(
            name="crictl",
            version=VERSIONS["cri-tools"],
            build=Build(tree=_module("cri-tools", "sigs.k8s.io/cri-tools"), package="./cmd/crictl"),
        ),
        Component(
            name="coredns",
            version=VERSIONS["coredns"],
            build=Build(tree=_module("coredns", "github.com/coredns/coredns"), package="."),
        ),
        Component(name="pause", version=NODE_OF_OURS, build=Build(tree=OURS, package="./cmd/pause")),
        Component(name="lbproof-cni", version=NODE_OF_OURS, build=Build(tree=OURS, package="./cmd/cni")),
    ]
    return {**catalogue(kubernetes), **{component.name: component for component in found}}


def _module(name: str, path: str) -> GoTree:
    return GoTree(module=f"{path}@v{VERSIONS[name]}", sum=VERSIONS[f"{name}-sum"])


def _kind() -> Component:
    path = f"/kubernetes-sigs/kind/releases/download/v{VERSIONS['kind']}/kind-linux-{{arch}}"
    return Component(
        name="kind",
        version=VERSIONS["kind"],
        release=Release(host="https://github.com", path=path, sums=f"{path}.sha256sum"),
        build=Build(tree=kind_sources(), package="."),
    )


def _kubernetes(version: str) -> list[Component]:
    path = f"/release/v{version}/bin/linux/{{arch}}"
    return [
        Component(
            name=name,
            version=version,
            release=Release(host="https://dl.k8s.io", path=f"{path}/{name}", sums=f"{path}/{name}.sha256"),
            build=Build(tree=OURS, package=f"k8s.io/kubernetes/cmd/{name}", ldflags=kube_ldflags(version))
            if version == VERSIONS["kubernetes"]
            else None,
        )
        for name in ("kubelet", "kubeadm")
    ]


def _containerd() -> list[Component]:
    version = VERSIONS["containerd"]
    stamp = f"-s -w -X github.com/containerd/containerd/v2/version.Version=v{version}"
    tree = GoTree(module=f"github.com/containerd/containerd/v2@v{version}", sum=VERSIONS["containerd-sum"])
    tags = "no_aufs,no_zfs,no_btrfs,no_devmapper,static_build"  # kind's own, and static
    return [
        Component(name=name, version=version, build=Build(tree=tree, package=f"./cmd/{name}", ldflags=stamp, tags=tags))
        for name in _CONTAINERD
    ]
