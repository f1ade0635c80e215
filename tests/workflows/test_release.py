"""What a release attaches and is built from names each image by its digest."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from tools.publish.manifests import main, release

ROOT = Path(__file__).parents[2]
IMAGE = f"registry.invalid/owner/reference@sha256:{'0123456789abcdef' * 4}"


def test_the_manifests_of_a_release_are_those_of_the_tree_with_the_digest(capsys: pytest.CaptureFixture[str]) -> None:
    """One file, in the order in which a cluster takes the objects, in which nothing else differs."""
    code = main([IMAGE])
    said = capsys.readouterr().out
    tree = [
        made
        for path in sorted((ROOT / "reference/manifests").glob("*.yaml"))
        for made in yaml.safe_load_all(path.read_text().replace("lbproof/reference:dev", IMAGE))
    ]

    assert list(yaml.safe_load_all(said)) == tree
    assert (tree[0]["kind"], code) == ("Namespace", 0)
    assert set(re.findall(r"image: (.*)", said)) == {IMAGE}


@pytest.mark.parametrize(
    "image",
    [
        "lbproof/reference:dev",
        "registry.invalid/owner/reference:v1.0.0",
        "registry.invalid/owner/reference",
        "registry.invalid/owner/reference@sha256:0123",
        f"{IMAGE} # {IMAGE}0",
    ],
)
def test_an_image_without_a_digest_is_refused(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line names it and what is allowed; nothing is printed that could be installed."""
    code = main([image])
    said = capsys.readouterr()

    assert (code, said.out) == (65, "")
    assert re.fullmatch(r"manifests: the release names .*; allowed is an image with its digest, .*\n", said.err)


@pytest.fixture
def gh(tmp_path: Path) -> Path:
    """A program `gh` that writes down what it is called with."""
    program = tmp_path / "bin/gh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/gh.log\n[ "$2" != view ]\n')
    program.chmod(0o755)
    return tmp_path / "gh.log"


def attach(folder: Path) -> subprocess.CompletedProcess[str]:
    """What `tools/publish/attach` says of the manifests in a folder."""
    env = os.environ | {"OUT": str(folder), "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    return subprocess.run([ROOT / "tools/publish/attach", "v1"], env=env, capture_output=True, text=True, check=False)


def test_manifests_with_digests_are_attached_to_the_release_of_the_tag(gh: Path, tmp_path: Path) -> None:
    """The release is made, since there is none yet."""
    (tmp_path / "reference.yaml").write_text(release(IMAGE))

    done = attach(tmp_path)

    assert done.returncode == 0, done.stderr
    assert gh.read_text().splitlines() == [
        "release view v1",
        "release create v1 --verify-tag --notes-from-tag",
        f"release upload v1 {tmp_path}/reference.yaml",
    ]


def test_manifests_with_a_tag_are_not_attached(gh: Path, tmp_path: Path) -> None:
    """Not even a single container that names one; GitHub is not asked for anything."""
    text = release(IMAGE)
    (tmp_path / "reference.yaml").write_text(text.replace(f"image: {IMAGE}", "image: lbproof/reference:dev", 1))

    done = attach(tmp_path)

    assert done.returncode == 65
    assert f"{tmp_path}/reference.yaml names lbproof/reference:dev; allowed is" in done.stderr
    assert not gh.exists()


def test_the_base_of_the_image_is_pinned_in_one_place() -> None:
    """By digest, with a tag that says which Debian it is; the build reads it from there."""
    text = (ROOT / "reference/image/Dockerfile").read_text()
    bases = re.findall(r"^(?:ARG BASE=|FROM )(\S+)", text, re.MULTILINE)

    assert re.fullmatch(r"debian:bookworm-\d{8}-slim@sha256:[0-9a-f]{64}", bases[0])
    assert bases[1:] == ["${BASE}", "scratch"]
    assert re.findall(r"debian:\S*", (ROOT / "reference/image/build").read_text()) == ["debian:bookworm-python3"]


@pytest.mark.parametrize(
    "name", ["requirements.lock", "reference/image/requirements.lock", "tools/publish/requirements.lock"]
)
def test_every_python_package_is_pinned_by_hashes(name: str) -> None:
    """A lock without a hash would be refused by pip at the worst time."""
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE))

    assert [entry for entry in entries if not re.match(r"[\w.-]+==[^ ]+( ; .*)? \\\n    --hash=sha256:", entry)] == []
