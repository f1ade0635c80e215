"""Bad input gets one line that says what, where and what is allowed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lbproof.lab import registry
from lbproof.lab.base import Topology
from lbproof.run.options import read
from lbproof.spec import BadOption, UnknownName, claims
from lbproof.spec.families import Family

KIND = Path(__file__).parents[2] / "kind-configs"
BOTH = ["POOL-01", "POOL-01-IPv6"]
CLAIMED = claims({"core", "pool", "l2", "explicit-ip", "events"})


def test_a_flag_wins_over_the_file(tmp_path: Path) -> None:
    """Precedence is the same for every option."""
    file = tmp_path / "lbproof.toml"
    file.write_text('profile = "core"\nworkers = 2\n[budgets]\nfailover = 20\n')

    options = read(file, {"workers": 4})

    assert (options.profile, options.lab_options()["workers"], options.budgets) == ("core", 4, {"failover": 20})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('profil = "core"', "unknown option 'profil' in {file}; did you mean 'profile'?"),
        ('profile = "layer3"', "unknown profile 'layer3' in {file}; did you mean 'layer2'?"),
        ("workers = 0", "option workers = 0 in {file}: input should be greater than or equal to 1"),
        ("labs = 0", "option labs = 0 in {file}: input should be greater than or equal to 1"),
        ('requirements = ["PEND-1"]', "unknown requirement 'PEND-1' in {file}; did you mean 'PEND-01'?"),
        ("[budgets]\nfailovr = 1", "unknown budget 'failovr' in {file}; did you mean 'failover'?"),
        ("[budgets]\nfailover = 1000", "budget failover = 1000 in {file}: more than 0 and at most 40 s is allowed"),
        ('features = ["l2-anounce"]', "unknown feature 'l2-anounce' in {file}"),
        ('proxy_mode = "ipvs"', "proxy mode 'ipvs' in {file}: iptables, nftables, none are allowed"),
        ("profile = ", "options file {file} is not valid TOML: "),
        ('profile = "\\', "options file {file} is not valid TOML: "),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    """What, where, and what is allowed, in one line."""
    file = tmp_path / "lbproof.toml"
    file.write_text(text)

    with pytest.raises((UnknownName, BadOption)) as caught:
        read(file, {})

    assert says.format(file=file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"profile": "core2"}, "unknown profile 'core2' in --profile; did you mean 'core'?"),
        ({"requirements": ("POL",)}, "unknown requirement 'POL' in --requirement; did you mean 'POOL'?"),
        ({"features": ("l3",)}, "unknown feature 'l3' in --feature; did you mean 'l2'?"),
        ({"budgets": {"failover": -1.0}}, "budget failover = -1 in --budget: more than 0"),
        ({"provider": "docker"}, "unknown provider 'docker' in --provider"),
        ({"topology": Path("t.yaml")}, "topology in --topology: it is for --provider kind, not netns"),
        ({"node_image": "n:1"}, "node image in --node-image: it is for --provider kind, not netns"),
        (
            {"lab": "mine", "families": "ipv4"},
            "families in --families: it is for a lab that is booted, and lab mine runs already",
        ),
    ],
)
def test_a_mistake_in_a_flag_is_named(flags: dict[str, Any], says: str) -> None:
    """The flag is named as the user typed it."""
    with pytest.raises((UnknownName, BadOption)) as caught:
        read(None, flags)

    assert says in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The system's own reason is given."""
    with pytest.raises(BadOption, match=r"options file .*none.toml: No such file"):
        read(tmp_path / "none.toml", {})


def test_what_is_not_claimed_and_what_is_left_out_are_two_facts() -> None:
    """The first is the implementation's, the second the operator's."""
    run, not_run = read(None, {"requirements": ("L2-03", "POOL-01", "REQ-02"), "skip": ("REQ-02",)}).cases(CLAIMED)

    assert run == ["POOL-01"]
    assert not_run == {"L2-03": "unsupported: l2-nonic not claimed", "REQ-02": "skipped: excluded by --skip"}


def test_a_profile_is_the_requirements_that_its_features_reach() -> None:
    """`core` holds nothing of the wire."""
    run, not_run = read(None, {"profile": "core"}).cases(CLAIMED | {"class", "pool-mark"})

    assert not [case for case in [*run, *not_run] if case.startswith(("L2", "FAIL", "ARTICLE"))]
    assert "POOL-01" in run


def test_an_adapter_s_proxy_mode_replaces_the_default_and_nothing_else() -> None:
    """The operator's own choice stays, and an option that the provider does not have is not made."""
    defaults = {"proxy_mode": "nftables", "unknown": "x"}

    assert read(None, {}).lab_options(**defaults)["proxy_mode"] == "nftables"
    assert read(None, {"proxy_mode": "iptables"}).lab_options(**defaults)["proxy_mode"] == "iptables"
    assert read(None, {}).lab_options(proxy_mode="")["proxy_mode"] == "iptables"
    assert "unknown" not in read(None, {}).lab_options(**defaults)


def test_what_a_lab_is_booted_without_is_not_judged() -> None:
    """A lab of one family shows a part of what is claimed for both; without the claim nothing changes."""
    both = CLAIMED | {"ipv6"}
    everything, _ = read(None, {"requirements": ("POOL-01", "CLASS-01a")}).cases(both | {"default-class"})
    one, not_run = read(None, {"requirements": ("POOL-01",), "families": "ipv4"}).cases(both)

    assert everything == ["POOL-01", "POOL-01-IPv6", "CLASS-01a"]
    assert (one, not_run) == (["POOL-01"], {})
    assert read(None, {"families": "ipv6", "requirements": ("POOL-01",)}).cases(both)[0] == ["POOL-01-IPv6"]
    assert read(None, {"families": "ipv6", "requirements": ("POOL-01",)}).cases(CLAIMED)[0] == ["POOL-01"]
    assert read(None, {"families": "ipv4", "requirements": ("POOL-01-IPv6",)}).cases(both)[0] == ["POOL-01-IPv6"]


@pytest.mark.parametrize(
    ("name", "found"), [("article", ["POOL-01"]), ("ipv6", ["POOL-01-IPv6"]), ("dual-stack", BOTH)]
)
def test_a_topology_file_says_which_families_are_judged(name: str, found: list[str]) -> None:
    """As the file that kind reads does, whatever the options of a cluster are."""
    given = {"provider": "kind", "topology": KIND / f"{name}.yaml", "requirements": ("POOL-01",)}

    assert read(None, given).cases(CLAIMED | {"ipv6"})[0] == found


def test_a_topology_file_that_cannot_be_read_is_bad_input() -> None:
    """Also one that is no topology."""
    with pytest.raises(BadOption, match=r"topology file .*README.md"):
        read(None, {"provider": "kind", "topology": KIND / "README.md"}).cases(CLAIMED | {"ipv6"})


@pytest.mark.parametrize(("families", "found"), [((Family.IPV4,), ["POOL-01"]), ((Family.IPV4, Family.IPV6), BOTH)])
def test_a_running_lab_says_which_families_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, families: tuple[Family, ...], found: list[str]
) -> None:
    """By its record; a dead lab of the name says nothing."""
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    (tmp_path / "mine").mkdir()
    registry.record("mine", os.getpid(), Topology(families=families), provider="netns")

    assert read(None, {"lab": "mine", "requirements": ("POOL-01",)}).cases(CLAIMED | {"ipv6"})[0] == found
    assert read(None, {"lab": "other", "requirements": ("POOL-01",)}).cases(CLAIMED | {"ipv6"})[0] == BOTH
