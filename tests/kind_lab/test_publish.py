"""The image is pushed to a real registry, and the manifests name what that registry serves."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lbproof.lab.base import LabError
from lbproof.lab.components import ensure
from lbproof.lab.components.catalogue import Build, Component, GoTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.kind.engine import Engine

ROOT = Path(__file__).parents[2]
REGISTRY = Component(
    name="registry",
    version="0.22.1",
    build=Build(
        tree=GoTree(
            module="github.com/google/go-containerregistry@v0.22.1",
            sum="h1:RZuuSYhTvlDvtsK+NkutoCZ//C0X2ebLK8X8l3ULs84=",
        ),
        package="./cmd/registry",
    ),
)


@pytest.fixture
def registry(engine: Engine) -> Iterator[str]:
    """Host and port of a registry in the engine's network."""
    program = ensure(["registry"], progress=print, known={"registry": REGISTRY})["registry"]
    process = subprocess.Popen(engine.inside([str(program)]), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    port = re.search(r"serving on port (\d+)", line)
    assert port is not None, line
    yield f"localhost:{port[1]}"
    process.terminate()
    process.communicate()


@pytest.fixture
def image(engine: Engine, registry: str, reference_image: str) -> Iterator[str]:
    """The reference's image, under a name in the registry."""
    image = f"{registry}/owner/reference:v1.0.0"
    engine.run("tag", reference_image, image)
    yield image
    engine.run("rmi", image)


def publish(engine: Engine, image: str, out: Path) -> subprocess.CompletedProcess[str]:
    """What `tools/publish/image` says."""
    env = os.environ | {"DOCKER_HOST": engine.host, "OUT": str(out), "GITHUB_OUTPUT": str(out / "output")}
    env.pop("REGISTRY_TOKEN", None)
    return subprocess.run([ROOT / "tools/publish/image", image], env=env, capture_output=True, text=True, check=False)


def test_the_manifests_name_the_digest_that_the_registry_serves(engine: Engine, image: str, tmp_path: Path) -> None:
    """An engine that has forgotten the image has the same one again after it pulled what the manifests name."""
    before = json.loads(engine.run("image", "inspect", image))[0]["Id"]
    done = publish(engine, image, tmp_path)
    name = image.removesuffix(":v1.0.0")

    assert done.returncode == 0, done.stderr
    pushed = done.stdout.strip()
    assert re.fullmatch(rf"{name}@sha256:[0-9a-f]{{64}}", pushed)
    text = (tmp_path / "reference.yaml").read_text()
    assert set(re.findall(r"image: (.*)", text)) == {pushed}
    assert (tmp_path / "output").read_text() == f"name={name}\ndigest={pushed.partition('@')[2]}\n"
    engine.run("rmi", pushed)
    engine.run("pull", "--quiet", pushed)
    assert json.loads(engine.run("image", "inspect", pushed))[0]["Id"] == before


def test_a_registry_that_does_not_answer_is_one_line_and_leaves_no_manifests(engine: Engine, tmp_path: Path) -> None:
    """Which image, and what the engine said."""
    image = "localhost:1/owner/reference:v1.0.0"
    with pytest.raises(LabError):
        engine.run("image", "inspect", image)
    done = publish(engine, image, tmp_path)

    assert done.returncode == 69
    assert re.fullmatch(rf"publish-image: {image} cannot be pushed: .*\n", done.stderr)
    assert list(tmp_path.iterdir()) == []
