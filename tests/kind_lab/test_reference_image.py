"""The reference's image: what is in it, what is not, and that its pins are the project's own."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.kind.engine import Engine

ROOT = Path(__file__).parents[2]
HERE = ROOT / "reference/image"


def pins(path: Path) -> dict[str, set[str]]:
    """`name==version` → its hashes."""
    found = {}
    for entry in re.split(r"\n(?=\w)", path.read_text()):
        if pin := re.match(r"([\w.-]+==[\w.]+)", entry):
            found[pin[1]] = set(re.findall(r"sha256:\w+", entry))
    return found


@pytest.fixture
def image(engine: Engine, reference_image: str) -> dict[str, Any]:
    """What the engine knows of the image."""
    row: dict[str, Any] = json.loads(engine.run("image", "inspect", reference_image))[0]
    return row


@pytest.fixture
def names(engine: Engine, image: dict[str, Any], tmp_path: Path) -> Iterator[set[str]]:
    """Every path in the image."""
    container = engine.run("create", image["Id"], "controller")
    subprocess.run(
        ["docker", "--host", engine.host, "export", "--output", tmp_path / "image.tar", container], check=True
    )
    engine.run("rm", container)
    with tarfile.open(tmp_path / "image.tar") as tar:
        yield {name for name in tar.getnames() if not name.startswith(("dev", "proc", "sys", "etc"))}


def test_its_pins_are_those_that_the_tests_ran_with() -> None:
    """Version and hashes; what is judged in the embedded lab is what the image holds."""
    every = pins(ROOT / "requirements.lock")

    assert {pin for pin, hashes in pins(HERE / "requirements.lock").items() if every.get(pin) != hashes} == set()


def test_it_holds_what_the_reference_imports() -> None:
    """No more and no less is asked for."""
    sources = (ROOT / "reference/lbproof_reference").rglob("*.py")
    imported = {
        name for path in sources for name in re.findall(r"^(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
    }
    asked = [line for line in (HERE / "requirements.in").read_text().splitlines() if not line.startswith("#")]

    assert {name for name in imported if pin_of(name)} == set(asked)


def pin_of(name: str) -> bool:
    """Whether a module is of a package in the lock and not of the standard library."""
    return any(pin.startswith(f"{name}==") for pin in pins(ROOT / "requirements.lock"))


def test_it_is_small_and_nobody(image: dict[str, Any]) -> None:
    """The controller runs as it is; the speaker's manifest asks for more."""
    assert image["Config"]["User"] == "65534:65534"
    assert image["Size"] < 80e6


def test_there_is_nothing_to_break_in_with(names: set[str]) -> None:
    """One program, the interpreter; no shell, no package manager, nothing of the suite's."""
    programs = {name for name in names if re.match(r"(usr/)?s?bin/.", name)}
    packages = {name.split("dist-packages/")[1].split("/")[0] for name in names if "dist-packages/" in name}

    assert {re.sub(r"3[\d.]*$", "", name) for name in programs} == {"usr/bin/python"}
    assert "lbproof_reference" in packages
    assert packages & {"scapy", "pytest_kind", "pytest", "pip", "lbproof", "lbproof_perf"} == set()


def test_it_runs_with_a_read_only_root_and_no_network(engine: Engine, image: dict[str, Any]) -> None:
    """Both roles find all that they import."""
    flags = ["--rm", "--read-only", "--network", "none", "--cap-drop", "ALL"]
    said = [engine.run("run", *flags, image["Id"], role, "--help") for role in ("controller", "speaker")]

    assert all(text.startswith("usage: ") for text in said)


@pytest.mark.parametrize(("file", "capabilities"), [("20-controller", []), ("30-speaker", ["NET_RAW", "SYS_NICE"])])
def test_the_manifests_ask_for_no_more_than_they_need(file: str, capabilities: list[str]) -> None:
    """A read-only root, no escalation, and only the capabilities of packet sockets and of coming first."""
    documents = list(yaml.safe_load_all((ROOT / f"reference/manifests/{file}.yaml").read_text()))
    pods = [one["spec"]["template"]["spec"] for one in documents if one["kind"] in {"Deployment", "DaemonSet"}]
    asked = pods[0]["containers"][0]["securityContext"]

    assert asked["readOnlyRootFilesystem"]
    assert not asked["allowPrivilegeEscalation"]
    assert asked["seccompProfile"] == {"type": "RuntimeDefault"}
    assert asked["capabilities"]["drop"] == ["ALL"]
    assert asked["capabilities"].get("add", []) == capabilities
