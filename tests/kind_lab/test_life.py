"""Two labs side by side, Ctrl-C, SIGKILL and `clean`: nothing of ours is left in the engine, all else is."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lbproof.lab import provide, registry
from lbproof.lab.kind import leftovers
from lbproof.witnesses import neighbour
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.kind.engine import Engine
    from lbproof.lab.kind.lab import KindLab

WITHIN = 60


def containers_and_network(engine: Engine, lab: str) -> list[str]:
    """What the engine holds of a lab: containers by kind's label or ours, networks by ours."""
    cluster = engine.containers(f"io.x-k8s.kind.cluster=lbproof-{lab}")
    return [*cluster, *engine.containers(f"dev.lbproof.lab={lab}"), *engine.networks(f"dev.lbproof.lab={lab}")]


def volumes(engine: Engine) -> set[str]:
    """Every volume of the engine."""
    return set(engine.run("volume", "ls", "--quiet").split())


@pytest.fixture
def name(engine: Engine, node_image: str) -> Iterator[str]:  # noqa: ARG001 - a lab takes one
    """A name for a lab, of which nothing is left afterwards."""
    name = registry.free_name("beside")
    yield name
    leftovers.remove(engine, name)
    if registry.directory(name).exists():
        provide.clean(name)


def boot(name: str) -> subprocess.Popen[str]:
    """`lbproof lab up --provider kind`, as a person starts it."""
    command = [sys.executable, "-m", "lbproof", "lab", "up", "--provider=kind", f"--name={name}", "--workers=1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def has_a_node(engine: Engine, name: str) -> None:
    """Wait until kind has made the first container of a lab."""
    eventually(lambda: engine.containers(f"io.x-k8s.kind.cluster=lbproof-{name}"), bool, what="a node", within=WITHIN)


def test_two_labs_do_not_see_each_other(engine: Engine, lab: KindLab, name: str) -> None:
    """Another lab boots beside one that runs, on a segment of its own; `clean` with its name spares the first."""
    before = volumes(engine)
    other = boot(name)
    said = other.communicate()[0]
    beside = registry.find(name)
    foreign = f"{name}-foreign"
    engine.run(
        "run",
        "--detach",
        "--name",
        foreign,
        "--label",
        "io.x-k8s.kind.cluster=theirs",
        "--entrypoint",
        "sleep",
        lab.describe()["node image"],
        "infinity",
    )
    engine.run("network", "create", foreign)
    segment = re.findall(r"192\.168\.\d+\.0/24", engine.run("network", "inspect", f"lbproof-{name}"))
    removed = provide.clean(name)
    spared = (
        engine.containers("io.x-k8s.kind.cluster=theirs"),
        engine.run("network", "ls", "--quiet", "--filter", f"name={foreign}"),
    )
    engine.run("rm", "--force", "--volumes", foreign)
    engine.run("network", "rm", foreign)

    assert other.returncode == 0, said
    assert beside.alive
    assert str(lab.segment.subnets[0]) not in segment
    assert f"container lbproof-{name}-worker" in removed[0]
    assert containers_and_network(engine, name) == []
    assert volumes(engine) == before
    assert spared[0] == [foreign]
    assert spared[1]
    assert neighbour.ask(lab.client(), lab.nodes[1].address)
    assert lab.cluster.request("GET", "/readyz")[0] == 200


def test_ctrl_c_in_the_middle_of_a_boot_leaves_nothing(engine: Engine, lab: KindLab, name: str) -> None:
    """Exit 2, one line, and no container, network, volume or folder of it; the other lab runs on."""
    before = volumes(engine)
    booting = boot(name)
    has_a_node(engine, name)
    booting.send_signal(signal.SIGINT)
    said = booting.communicate(timeout=WITHIN)[0]

    assert booting.returncode == 2, said
    assert said.splitlines()[-1] == "lbproof: interrupted"
    assert containers_and_network(engine, name) == []
    assert volumes(engine) == before
    assert not registry.directory(name).exists()
    assert lab.cluster.request("GET", "/readyz")[0] == 200


def test_a_lab_goes_with_the_process_that_boots_it(engine: Engine, name: str) -> None:
    """SIGKILL in the middle of a boot: the supervisor removes what there is."""
    before = volumes(engine)
    booting = boot(name)
    has_a_node(engine, name)
    booting.kill()
    booting.communicate()
    eventually(
        lambda: containers_and_network(engine, name), lambda left: not left, what="nothing is left", within=WITHIN
    )
    eventually(registry.directory(name).exists, lambda there: not there, what="the folder is gone", within=WITHIN)

    assert volumes(engine) == before


def test_clean_finds_what_has_no_folder_any_more(engine: Engine, lab: KindLab, name: str) -> None:
    """As after a restart of the machine: a network by its label alone."""
    engine.run("network", "create", "--label", f"dev.lbproof.lab={name}", f"lbproof-{name}")
    removed = provide.clean()

    assert [line for line in removed if name in line] == [
        f"lab {name}, of which no directory is left: network lbproof-{name}"
    ]
    assert containers_and_network(engine, name) == []
    assert lab.name in {info.name for info in registry.labs()}
