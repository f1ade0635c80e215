"""Archives of images: another reader finds in them what was put in, and equal input makes equal bytes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from node_image.archive import Layer, LayerFiles, Picture, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A file that can be run."""
    path = tmp_path / "program"
    path.write_bytes(b"#!/bin/sh\n")
    path.chmod(0o755)
    return path


def written(*pictures: Picture) -> dict[str, bytes]:
    """What an archive of images holds, by names."""
    stream = io.BytesIO()
    write(pictures, stream)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as tar:
        return {member.name: content.read() for member in tar if (content := tar.extractfile(member))}


def test_a_layer_holds_what_it_was_given_as_roots_and_without_times(tmp_path: Path, program: Path) -> None:
    """Files keep only whether they can be run; links and folders are as asked."""
    files = LayerFiles(files={"usr/bin/p": program}, links={"usr/bin/q": "p"}, folders={"tmp": 0o1777})

    layer = files.write(tmp_path / "layer.tar")

    with tarfile.open(layer.path) as tar:
        found = {member.name: member for member in tar}
    assert (found["usr/bin/p"].mode, found["usr/bin/p"].uid, found["usr/bin/p"].mtime) == (0o755, 0, 0)
    assert found["usr/bin/q"].linkname == "p"
    assert found["tmp"].isdir()
    assert found["tmp"].mode == 0o1777
    assert layer.digest == hashlib.sha256(layer.path.read_bytes()).hexdigest()


def test_equal_files_make_an_equal_layer(tmp_path: Path, program: Path) -> None:
    """Order and time of writing leave no trace, so the image's name can be a hash of its input."""
    one = LayerFiles(files={"a": program, "b": program}).write(tmp_path / "1.tar")
    program.touch()
    other = LayerFiles(files={"b": program, "a": program}).write(tmp_path / "2.tar")

    assert one.digest == other.digest


def test_an_archive_lists_each_image_with_its_layers_in_order(tmp_path: Path, program: Path) -> None:
    """The manifest leads to a configuration, which names the layers by their digests."""
    below = LayerFiles(folders={"etc": 0o755}).write(tmp_path / "below.tar")
    above = LayerFiles(files={"p": program}).write(tmp_path / "above.tar")
    picture = Picture(tags=("a:1", "a:2"), layers=(below, above), entrypoint=("/p",), stop_signal="SIGRTMIN+3")

    found = written(picture)

    (row,) = json.loads(found["manifest.json"])
    config = json.loads(found[row["Config"]])
    assert row["RepoTags"] == ["a:1", "a:2"]
    assert [hashlib.sha256(found[name]).hexdigest() for name in row["Layers"]] == [below.digest, above.digest]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{below.digest}", f"sha256:{above.digest}"]
    assert config["config"]["Entrypoint"] == ["/p"]
    assert config["config"]["StopSignal"] == "SIGRTMIN+3"
    assert "Cmd" not in config["config"]
    assert row["Config"] == f"{hashlib.sha256(found[row['Config']]).hexdigest()}.json"


def test_a_layer_of_several_images_is_stored_once(tmp_path: Path) -> None:
    """Two images on one base make an archive of one base."""
    base: Layer = LayerFiles(folders={"etc": 0o755}).write(tmp_path / "base.tar")

    found = written(Picture(tags=("a:1",), layers=(base,)), Picture(tags=("b:1",), layers=(base,), user="1"))

    assert sorted(name for name in found if name.endswith(".tar")) == [f"{base.digest}.tar"]
    assert len(json.loads(found["manifest.json"])) == 2
