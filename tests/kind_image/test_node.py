"""What goes into a node image: names, grouping of programs, kind's manifest, and the name of the image itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lbproof.lab.base import LabError
from lbproof.lab.components import VERSIONS, catalogue
from lbproof.lab.kind.components import complete
from node_image import images
from node_image.__main__ import fingerprint, name
from node_image.node import cni_manifest

if TYPE_CHECKING:
    from pathlib import Path

KINDS = (
    "package nodeimage\n\nconst defaultCNIManifest = `\n# would you kindly\nimage: {image}\nvalue: {{{{ .X }}}}\n`\n"
)


def test_kinds_manifest_is_kept_but_for_the_image() -> None:
    """Whatever kind fills in stays for kind to fill in."""
    found = cni_manifest(KINDS.format(image="` + kindnetdImage + `"))

    assert found == f"# would you kindly\nimage: {images.CNI}\nvalue: {{{{ .X }}}}\n"


@pytest.mark.parametrize(
    "source",
    ["package nodeimage\n", KINDS.format(image="fixed"), KINDS.format(image="` + another + `")],
    ids=["no manifest", "no image to replace", "an image by another name"],
)
def test_a_kind_that_has_changed_is_told_apart(source: str) -> None:
    """A manifest that names another image would pull it, so nothing is made of it."""
    with pytest.raises(LabError, match=r"const_cni\.go"):
        cni_manifest(source)


def test_kubeadms_images_are_known_by_their_last_word() -> None:
    """A registry with a port and a name of several words is no obstacle."""
    found = images.named("registry.k8s.io/etcd:3.6.8-0\nlocalhost:5000/coredns/coredns:v1.14.2\n")

    assert found == {
        "etcd": "registry.k8s.io/etcd:3.6.8-0",
        "coredns": "localhost:5000/coredns/coredns:v1.14.2",
    }


def test_programs_that_are_one_file_are_stored_once(tmp_path: Path) -> None:
    """The names of a program that looks at its name become links to it."""
    (tmp_path / "kube").touch()
    paths = {"kube-proxy": tmp_path / "kube-proxy", "kubelet": tmp_path / "kubelet", "kubectl": tmp_path / "kubectl"}
    paths["kube-proxy"].symlink_to("kube")
    paths["kubectl"].symlink_to("kube")
    paths["kubelet"].touch()

    groups = images.by_file(paths, ["kube-proxy", "kubelet", "kubectl"])
    found = images.program_files(paths, groups[0], "bin")

    assert groups == [("kube-proxy", "kubectl"), ("kubelet",)]
    assert found.files == {"bin/kube": tmp_path / "kube"}
    assert found.links == {"bin/kube-proxy": "kube", "bin/kubectl": "kube"}


def test_a_fingerprint_is_of_names_contents_and_the_right_to_run(tmp_path: Path) -> None:
    """Each of them makes another image; what Python leaves beside its sources does not."""
    file = tmp_path / "made" / "a"
    file.parent.mkdir()
    file.write_text("1")
    seen = [fingerprint(file.parent)]
    file.chmod(0o755)
    seen.append(fingerprint(file.parent))
    file.write_text("2")
    seen.append(fingerprint(file.parent))
    file = file.rename(file.with_name("b"))
    seen.append(fingerprint(file.parent))
    (file.parent / "b.pyc").touch()

    assert len(set(seen)) == 4
    assert fingerprint(file.parent) == seen[-1]


def test_the_images_name_tells_kubernetes_version_and_the_input() -> None:
    """The version is what kind and people look for, the hash what makes it new."""
    assert re.fullmatch(rf"lbproof/node:v{re.escape(VERSIONS['kubernetes'])}-[0-9a-f]{{12}}", name())


def test_all_that_a_node_is_made_of_is_a_component() -> None:
    """And can be built of Go modules, without a release that could be out of reach."""
    known = complete()

    assert [one for one in images.COMPONENTS if known[one].build is None] == []
    assert set(catalogue()) <= set(known)
