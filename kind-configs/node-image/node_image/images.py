"""The images that a node has before it can pull any: what kubeadm asks for, the network, and the suite's workloads."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbproof.context.manifests import AGNHOST
from lbproof.lab.components import VERSIONS
from node_image import debian
from node_image.archive import Layer, LayerFiles, Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

COMPONENTS = (
    *("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubectl", "kubelet", "kubeadm"),
    *("etcd", "coredns", "pause", "lbproof-cni", "containerd", "ctr", "containerd-shim-runc-v2", "crictl"),
    *("agnhost", "metallb-controller", "metallb-speaker"),
)
"""All that a node or an image on it is made of."""
CNI = "localhost/lbproof-cni:v1"
NGINX = ("1.24.0", "1.22", "latest")
"""What Debian's nginx stands for; the first is the article's."""
_XTABLES = ("iptables", "ip6tables")
FILES = Path(__file__).parents[1] / "images"


def of_kubeadm(kubeadm: Path) -> dict[str, str]:
    """The images that kubeadm asks for: the last word of the name (`etcd`) → the reference."""
    command = [str(kubeadm), "config", "images", "list", f"--kubernetes-version=v{VERSIONS['kubernetes']}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return named(said)


def named(text: str) -> dict[str, str]:
    """References, one a line, by the last word of their names."""
    return {line.rpartition(":")[0].rpartition("/")[2]: line for line in text.split()}


def program_files(paths: Mapping[str, Path], names: tuple[str, ...], folder: str) -> LayerFiles:
    """Programs by their names in a folder; those that are one file are stored once and linked."""
    found = LayerFiles()
    for name in names:
        real = paths[name].resolve()
        found.files[f"{folder}/{real.name}"] = real
        if real.name != name:
            found.links[f"{folder}/{name}"] = real.name
    return found


def pictures(paths: Mapping[str, Path], tree: Path, layer: Callable[[LayerFiles], Layer]) -> list[Picture]:
    """Every image of a node; `layer` writes one."""
    references = of_kubeadm(paths["kubeadm"])
    base = layer(
        LayerFiles(
            folders={"etc": 0o755, "tmp": 0o1777},
            files={
                "etc/passwd": FILES / "passwd",
                "etc/group": FILES / "group",
                "etc/ssl/certs/ca-certificates.crt": tree / "etc/ssl/certs/ca-certificates.crt",
            },
        )
    )
    netfilter = layer(_netfilter(tree))

    def one(component: str, reference: str, at: str, **more: Any) -> Picture:  # noqa: ANN401 - whatever a Picture takes
        program = layer(LayerFiles(files={at: paths[component]}))
        return Picture(tags=(reference,), layers=(base, program), **more)

    kube = {
        name: layer(program_files(paths, group, "usr/local/bin"))
        for group in by_file(paths, [name for name in references if name.startswith("kube-")])
        for name in group
    }
    metallb = VERSIONS["metallb"]
    return [
        *(
            # the programs come first, since one above another layer is unpacked once more
            Picture(tags=(references[name],), layers=(base, program, *([netfilter] if name == "kube-proxy" else [])))
            for name, program in kube.items()
        ),
        one("etcd", references["etcd"], "usr/local/bin/etcd"),
        one("coredns", references["coredns"], "coredns", entrypoint=("/coredns",)),
        one("pause", references["pause"], "pause", entrypoint=("/pause",), user="65535:65535"),
        _cni(paths, base, netfilter, layer),
        one("agnhost", AGNHOST, "agnhost", entrypoint=("/agnhost",), command=("pause",)),
        *(
            one(f"metallb-{part}", f"quay.io/metallb/{part}:v{metallb}", part, entrypoint=(f"/{part}",))
            for part in ("controller", "speaker")
        ),
        _nginx(tree, base, layer),
    ]


def _cni(paths: Mapping[str, Path], base: Layer, netfilter: Layer, layer: Callable[[LayerFiles], Layer]) -> Picture:
    program = layer(LayerFiles(files={"lbproof-cni": paths["lbproof-cni"]}))
    return Picture(tags=(CNI,), layers=(base, netfilter, program), entrypoint=("/lbproof-cni",))


def by_file(paths: Mapping[str, Path], names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names in groups that are one file each."""
    groups: dict[Path, list[str]] = {}
    for name in names:
        groups.setdefault(paths[name].resolve(), []).append(name)
    return [tuple(group) for group in groups.values()]


def _netfilter(tree: Path) -> LayerFiles:
    """Iptables of both kinds with every extension, nft, conntrack, ipset.

    An extension may need a library that no program does (libxt_statistic: libm), and kube-proxy then fails to sync.
    """
    extensions = sorted((tree / "usr/lib").glob("*/xtables/*.so"))
    programs = ("xtables-nft-multi", "xtables-legacy-multi", "nft", "conntrack", "ipset")
    found = debian.programs(
        tree,
        [f"/usr/sbin/{name}" for name in programs],
        libraries_of=[f"/{path.relative_to(tree)}" for path in extensions],
    )
    for family in _XTABLES:
        for verb in ("", "-save", "-restore"):
            found.links[f"usr/sbin/{family}{verb}"] = "xtables-nft-multi"
            for kind in ("nft", "legacy"):
                found.links[f"usr/sbin/{family}-{kind}{verb}"] = f"xtables-{kind}-multi"
    return found


def _nginx(tree: Path, base: Layer, layer: Callable[[LayerFiles], Layer]) -> Picture:
    files = debian.programs(tree, ["/usr/sbin/nginx"])
    files.files["etc/nginx/nginx.conf"] = FILES / "nginx.conf"
    return Picture(
        tags=tuple(f"docker.io/library/nginx:{version}" for version in NGINX),
        layers=(base, layer(files)),
        entrypoint=("/usr/sbin/nginx", "-e", "stderr"),
        command=("-g", "daemon off;"),
    )
