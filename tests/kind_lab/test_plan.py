"""What kind is given for a topology, and where a lab's addresses lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lbproof.lab.base import LabError, Topology
from lbproof.lab.kind import plan
from lbproof.spec.families import Family

CONFIGS = Path(__file__).parents[2] / "kind-configs"


def without_patches(config: dict[str, Any]) -> dict[str, Any]:
    """What a configuration says of the cluster's shape."""
    return {key: value for key, value in config.items() if key not in {"kubeadmConfigPatches", "name"}}


def test_the_default_is_the_articles_cluster() -> None:
    """The topology that is booted by default and the file that a person reads do not drift apart."""
    written = yaml.safe_load((CONFIGS / "dual-stack.yaml").read_text())

    assert without_patches(plan.config(Topology())) == without_patches(written)


@pytest.mark.parametrize(("name", "mode"), [("nftables", "nftables"), ("no-kube-proxy", "none"), ("ipvs", "ipvs")])
def test_a_file_says_which_kube_proxy_it_has(name: str, mode: str) -> None:
    """The report names the mode of the file, not that of the options."""
    config = plan.of_file(CONFIGS / f"{name}.yaml")

    assert plan.proxy_mode_of(config) == mode
    assert plan.workers_of(config) == sum(node["role"] == "worker" for node in config["nodes"])


@pytest.mark.parametrize(("name", "family"), [("article", "ipv4"), ("dual-stack", "dual"), ("ipv6", "ipv6")])
def test_a_file_says_its_address_family(name: str, family: str) -> None:
    """Which decides whether the lab's network has IPv6."""
    assert plan.family_of(plan.of_file(CONFIGS / f"{name}.yaml")) == family


def test_flags_of_kube_proxy_become_fields() -> None:
    """Kind takes a configuration and no flags; what has no field is refused in one line."""
    config = plan.config(Topology(proxy_mode="nftables", proxy_args=("--nftables-min-sync-period=10ms",)))
    patches = [yaml.safe_load(patch) for patch in config["kubeadmConfigPatches"]]

    assert config["networking"]["kubeProxyMode"] == "nftables"
    assert patches[0]["nftables"] == {"minSyncPeriod": "10ms"}
    with pytest.raises(LabError, match=r"kube-proxy argument '--v=4': a kind lab takes --iptables-min-sync-period, "):
        plan.config(Topology(proxy_args=("--v=4",)))


def test_kubelets_of_cgroup_v1_are_told_once() -> None:
    """The patch is added where this machine needs it, and not beside one that is there."""
    bare, needed = plan.config(Topology()), plan.config(Topology(), cgroup_v1=True)
    of_file = plan.of_file(CONFIGS / "article.yaml", cgroup_v1=True)

    assert "kubeadmConfigPatches" not in bare
    assert yaml.safe_load(needed["kubeadmConfigPatches"][0])["failCgroupV1"] is False
    assert str(of_file["kubeadmConfigPatches"]).count("failCgroupV1") == 1


def test_the_node_grace_reaches_the_controller_manager() -> None:
    """How long a node without a lease is still called Ready."""
    patch = yaml.safe_load(plan.config(Topology(node_grace=8))["kubeadmConfigPatches"][0])

    assert patch["controllerManager"]["extraArgs"] == [{"name": "node-monitor-grace-period", "value": "8s"}]


@pytest.mark.parametrize(
    ("text", "why"),
    [("a: [", "is not YAML"), ("kind: Pod", "is not a `kind: Cluster`"), ("- 1", "is not a `kind: Cluster`")],
)
def test_a_file_that_is_no_topology_is_refused_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    """Which file, and what is wrong with it."""
    file = tmp_path / "t.yaml"
    file.write_text(text)

    with pytest.raises(LabError, match=why) as caught:
        plan.of_file(file)

    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(LabError, match="No such file"):
        plan.of_file(tmp_path / "none.yaml")


def test_no_address_of_a_segment_has_two_owners() -> None:
    """Nodes, client, router and the pools' addresses lie apart, in both families."""
    subnet = plan.Subnet.of("192.168.180.0/24")
    free = set(subnet.lan.segment("lan", Family).free)
    nodes = {*subnet.nodes, *(subnet.lan.ipv6[number] for number in range(2, 50))}
    hosts = (1, plan.CLIENT, plan.ROUTER)
    around = {address for number in hosts for address in subnet.lan.hosts(number, Family)}
    apart = [{*free}, around]

    assert sum(len(one) for one in apart) == len(set.union(*apart))
    assert nodes.isdisjoint(free)
    assert subnet.nodes.overlaps(subnet.lan.ipv4)
    assert {address.version for address in subnet.lan.segment("lan", [Family.IPV6]).free} == {6}
    assert len({one.lan.ipv4 for one in plan.Subnet.all()}) == plan.SUBNETS


def test_families_are_kind_s_ip_family() -> None:
    """IPv4 is kind's default; the API server of an IPv6 cluster is published where this machine looks for it."""
    configs = [plan.config(Topology(families=families)) for families in plan.FAMILIES.values()]

    assert [plan.family_of(config) for config in configs] == ["ipv4", "ipv6", "dual"]
    assert "networking" not in configs[0]
    assert configs[1]["networking"]["apiServerAddress"] == "127.0.0.1"
