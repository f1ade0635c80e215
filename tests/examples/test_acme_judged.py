"""The example of a vendor, which is unlike MetalLB, judged in the embedded lab."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lbproof.context import manifests
from lbproof.lab import registry
from lbproof.lab.base import Topology
from lbproof.lab.netns.provider import NetnsProvider
from lbproof.lab.provider import LabRequest
from lbproof.spec.families import Family
from lbproof.witnesses import neighbour
from lbproof.witnesses.kube import Kube
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.netns.lab import NetnsLab

EXAMPLE = Path(__file__).parents[2] / "docs/examples/vendor"
NAMESPACE = "/api/v1/namespaces/acme-lb"
CASES = ("POOL-02a", "PEND-03", "REQ-01a", "REQ-03", "RECL-02a", "CLASS-02a", "CRD-01", "EVT-02a", "UPGR-01")
"""All that its DaemonSet, ConfigMap, annotation and Lease take part in."""


@pytest.fixture(scope="module")
def lab() -> Iterator[NetnsLab]:
    """A lab with two workers; the run below installs Acme LB in it."""
    request = LabRequest(name=registry.free_name("acme"), topology=Topology(workers=2))
    made, _ = NetnsProvider().boot(request, lambda _: None, lifeline=True)
    yield made
    made.down()


@pytest.mark.timeout(200)
def test_it_passes_what_it_claims(lab: NetnsLab, tmp_path: Path) -> None:
    """An implementation without controller, custom resources and Events is installed, given pools and judged."""
    command = [sys.executable, "-m", "lbproof", "run", "--lab", lab.name, "--implementation", "acme_lb_proof:Acme"]
    chosen = [f"--requirement={case}" for case in CASES]
    env = {**os.environ, "PYTHONPATH": str(EXAMPLE)}
    done = subprocess.run(
        [*command, *chosen, "--results", tmp_path], env=env, capture_output=True, text=True, check=False, timeout=180
    )

    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "latest" / "report.json").read_text())
    assert report["counts"]["passed"] == sum(report["counts"].values()) > len(CASES)


def adapter_check(lab: NetnsLab, home: Path) -> subprocess.CompletedProcess[str]:
    """Run `lbproof adapter check` in the lab, with the adapter of a folder."""
    command = [sys.executable, "-m", "lbproof", "adapter", "check", "acme_lb_proof:Acme", "--lab", lab.name]
    env = {**os.environ, "PYTHONPATH": str(home)}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=100)


def test_an_adapter_that_is_right_is_verified_in_the_lab(lab: NetnsLab) -> None:
    """Each step has its line."""
    done = adapter_check(lab, EXAMPLE)

    assert done.returncode == 0, done.stdout + done.stderr
    assert all(line.startswith("✓ ") for line in done.stdout.splitlines())
    assert "✓ removal" in done.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        (
            '"acme.example/address"',
            '"acme.example/ip"',
            r"✗ service .*first asked for \S+ by annotation and is given",
        ),
        ('", ".join', '"; ".join', r"✗ service .*first is given an address: not within"),
    ],
    ids=["annotation", "separator"],
)
def test_what_only_a_cluster_shows_is_a_line(lab: NetnsLab, tmp_path: Path, right: str, wrong: str, line: str) -> None:
    """A name that the implementation does not know, blocks that it cannot read."""
    shutil.copytree(EXAMPLE, tmp_path / "copy")
    adapter = tmp_path / "copy/acme_lb_proof.py"
    assert right in adapter.read_text()
    adapter.write_text(adapter.read_text().replace(right, wrong))

    done = adapter_check(lab, tmp_path / "copy")

    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(line, done.stdout), done.stdout


def test_a_frozen_leader_is_replaced_and_says_nothing_more(lab: NetnsLab) -> None:
    """Its kernel, which goes on answering, removes the address in time: never do two nodes answer."""
    kube, names = Kube(lab.kubeconfig), {node.mac: node.name for node in lab.nodes}
    address = lab.segment.free_for(Family.IPV4)[0]
    kube.patch(f"{NAMESPACE}/configmaps/pools", {"data": {"only": str(address)}})
    kube.create("/api/v1/namespaces/default/services", manifests.service("default", "web"))
    seen: list[set[str]] = []

    def answerers() -> set[str]:
        seen.append({names[answer.mac] for answer in neighbour.ask(lab.client(), address)})
        return seen[-1]

    (old,) = eventually(answerers, bool, what="somebody answers", within=20).value
    pods = {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in kube.list(f"{NAMESPACE}/pods")}
    frozen = lab.freeze_pod("acme-lb", pods[old])
    (new,) = eventually(answerers, lambda who: who and who != {old}, what="another node answers", within=20).value
    frozen.undo()
    eventually(answerers, lambda who: who == {new}, what="it stays", within=20, in_a_row=10)

    assert max(map(len, seen)) == 1
    assert new != old
