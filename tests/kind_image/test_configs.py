"""The topologies: each is a cluster of kind, and says for itself what it can show."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

CONFIGS = sorted((Path(__file__).parents[2] / "kind-configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_topology_says_what_it_shows_and_boots_on_cgroup_v1(path: Path) -> None:
    """The cluster is called as its file, and its kubelets are told to start where cgroups are of version 1."""
    text = path.read_text()
    cluster = yaml.safe_load(text)
    patches = [yaml.safe_load(patch) for patch in cluster["kubeadmConfigPatches"]]

    assert text.startswith("# ")
    assert "annot show" in text or "not show" in text
    assert (cluster["kind"], cluster["name"]) == ("Cluster", path.stem)
    assert any(patch["kind"] == "KubeletConfiguration" and patch["failCgroupV1"] is False for patch in patches)


def test_the_articles_cluster_has_three_workers() -> None:
    """As in the article."""
    cluster = yaml.safe_load(next(path for path in CONFIGS if path.stem == "article").read_text())

    assert [node["role"] for node in cluster["nodes"]] == ["control-plane", "worker", "worker", "worker"]
