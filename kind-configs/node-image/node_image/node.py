"""The node itself: kind's own files and ours laid over Debian, and containerd's store filled with images."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError
from lbproof.lab.components import VERSIONS
from lbproof.witnesses.wait import EventuallyFailed, eventually
from node_image import images

if TYPE_CHECKING:
    from collections.abc import Mapping

FILES = Path(__file__).parents[1] / "files"
RUNC = Path(__file__).parents[2] / "engine/runc"
"""The wrapper that the engine uses where CAP_SYS_RESOURCE is missing; a node needs the same."""
_WITHIN = 20.0
_UNITS = ("kubelet", "containerd", "undo-mount-hacks")


def lay_out(node: Path, kind: Path, paths: Mapping[str, Path]) -> None:
    """Put everything but the images into a folder that will be a layer over Debian; `kind` holds kind's sources."""
    _kinds_files(kind / "images/base/files", node)
    shutil.copytree(FILES, node, dirs_exist_ok=True)
    _program(RUNC, node / "usr/local/lib/lbproof/runc")
    for name in ("containerd", "ctr", "containerd-shim-runc-v2", "crictl"):
        _program(paths[name], node / "usr/local/bin" / name)
    for name in ("kubelet", "kubeadm", "kubectl"):  # kind's units and kind itself look for them there
        _program(paths[name], node / "usr/bin" / name)
    for unit in _UNITS:
        wants = node / "etc/systemd/system/multi-user.target.wants" / f"{unit}.service"
        wants.parent.mkdir(parents=True, exist_ok=True)
        wants.symlink_to(f"/etc/systemd/system/{unit}.service")
    (node / "etc/systemd/system/systemd-binfmt.service").symlink_to("/dev/null")  # it would change the machine
    (node / "etc/kubernetes/manifests").mkdir(parents=True)
    _sandbox(node / "etc/containerd/config.toml", images.of_kubeadm(paths["kubeadm"])["pause"])
    _base_spec(node / "etc/containerd/cri-base.json", paths["ctr"])
    (node / "kind/version").write_text(f"v{VERSIONS['kubernetes']}", encoding="utf-8")
    source = (kind / "pkg/build/nodeimage/const_cni.go").read_text(encoding="utf-8")
    (node / "kind/manifests/default-cni.yaml").write_text(cni_manifest(source), encoding="utf-8")


def cni_manifest(source: str) -> str:
    """Kind's own manifest of its network, out of its Go source, with our image in place of kindnetd's.

    So rights, environment and mounts are kind's, and so is the template that kind fills in.
    """
    found = re.search(r"^const defaultCNIManifest = `\n(.*?)^`$", source, re.MULTILINE | re.DOTALL)
    if found is None:
        raise LabError("kind's sources do not hold the manifest of its network where they did: const_cni.go")
    manifest = found[1].replace("` + kindnetdImage + `", images.CNI)
    if "`" in manifest or images.CNI not in manifest:
        raise LabError("the manifest of kind's network does not name its image as it did: const_cni.go")
    return manifest


def _kinds_files(source: Path, node: Path) -> None:
    shutil.copytree(source, node, dirs_exist_ok=True, copy_function=shutil.copyfile)
    shutil.rmtree(node / "LICENSES")
    (node / "etc/systemd/system/containerd-fuse-overlayfs.service").unlink()
    for path in node.rglob("*"):
        if path.is_dir() or path.parent in {node / "usr/local/bin", node / "kind/bin"}:
            path.chmod(0o755)
        else:
            path.chmod(0o644)


def _program(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source.resolve(), target)
    target.chmod(0o755)


def _sandbox(config: Path, pause: str) -> None:
    text = config.read_text(encoding="utf-8")
    changed = re.sub(r'sandbox_image = ".*"', f'sandbox_image = "{pause}"', text)
    config.write_text(changed, encoding="utf-8")


def _base_spec(target: Path, ctr: Path) -> None:
    """What every container of a node begins with: as in kind's Dockerfile."""
    spec = json.loads(subprocess.run([str(ctr), "oci", "spec"], capture_output=True, check=True).stdout)
    spec.setdefault("hooks", {}).setdefault("createContainer", []).append({"path": "/kind/bin/mount-product-files.sh"})
    spec["process"].pop("rlimits", None)
    target.write_text(json.dumps(spec), encoding="utf-8")


def fill_store(store: Path, archive: Path, paths: Mapping[str, Path]) -> None:
    """Unpack an archive of images into containerd's folder, by a containerd of its own that ends with it.

    Only unpacked images are kept: a node never pushes, and each node gets a copy of its own.
    """
    with tempfile.TemporaryDirectory(prefix="lbproof-containerd-") as temporary:
        here = Path(temporary)
        config = here / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{store}"\nstate = "{here}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri"]\n'
            f'[grpc]\naddress = "{here}/containerd.sock"\n'
            f'[ttrpc]\naddress = "{here}/containerd.sock.ttrpc"\n',
            encoding="utf-8",
        )
        log = here / "containerd.log"
        with log.open("wb") as output:
            # in a mount namespace of its own, so that nothing stays mounted whatever happens
            command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", str(paths["containerd"])]
            daemon = subprocess.Popen([*command, "--config", str(config)], stdout=output, stderr=output)
            try:
                ctr = [str(paths["ctr"]), "--address", f"{here}/containerd.sock", "--namespace", "k8s.io"]
                _wait_for(ctr, daemon, log)
                # the node's CRI plugin takes notice of them when it starts
                how = ["images", "import", "--local", "--all-platforms", "--discard-unpacked-layers", str(archive)]
                done = subprocess.run([*ctr, *how], capture_output=True, text=True, check=False)
                if done.returncode:
                    raise LabError(f"containerd does not take the images: {done.stderr.strip()[-500:]}")
                # what has been let go is collected now, not in each node
                subprocess.run([*ctr, "content", "prune", "references"], capture_output=True, check=False)
            finally:
                daemon.terminate()
                daemon.wait()


def _wait_for(ctr: list[str], daemon: subprocess.Popen[bytes], log: Path) -> None:
    def state() -> str:
        if daemon.poll() is not None:
            return "ended"
        return "waits" if subprocess.run([*ctr, "version"], capture_output=True, check=False).returncode else "up"

    try:
        found = eventually(state, lambda seen: seen != "waits", what="containerd", within=_WITHIN, every=0.1).value
    except EventuallyFailed:
        found = "silent"
    if found != "up":
        last = log.read_text(encoding="utf-8").splitlines()[-1:]
        raise LabError(f"containerd did not come up to take the images: {''.join(last)}")
