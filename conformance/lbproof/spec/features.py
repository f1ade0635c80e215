"""Features that an implementation may claim, and profiles: named sets of them.

The claimed features select the requirements that run and must pass. `core` is always claimed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.spec.names import check_name

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Behaviour that an implementation may claim to support."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Named set of features: some are required, the others are judged if claimed."""

    name: str
    text: str
    features: frozenset[str]
    """Features that are judged if claimed."""
    requires: frozenset[str]
    """Those of `features` that an implementation must claim to be conformant to the profile."""


def _features(**texts: str) -> dict[str, Feature]:
    return {name.replace("_", "-"): Feature(name=name.replace("_", "-"), text=text) for name, text in texts.items()}


FEATURES = _features(
    core="allocation, Pending, reclaim and the reachability of every tier",
    l2="addresses are announced on the segment by ARP",
    l2_nonic="an announced address is on no interface of any node",
    garp="gratuitous ARP on assignment and on a move",
    pool="addresses come from pools that the operator declares",
    explicit_ip="a Service may ask for an address of its own",
    **{"class": "spec.loadBalancerClass is honoured"},
    events="allocation, refusal and announcement leave Events on the Service",
    pool_annotation="an annotation on the Service names the pool that holds its address",
    announcer_events="an Event names the node that announces",
    article="the article's cluster and claims",
)

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="core",
            text="what holds on any cluster: the API and the data path",
            features=frozenset({"core", "pool", "explicit-ip", "class", "events", "pool-annotation"}),
            requires=frozenset({"core", "pool"}),
        ),
        Profile(
            name="layer2",
            text="core, and an announcer by ARP on the nodes' segment",
            features=frozenset(FEATURES) - {"article"},
            requires=frozenset({"core", "pool", "l2"}),
        ),
        Profile(
            name="article",
            text="the article's environment and its twenty claims",
            features=frozenset(FEATURES),
            requires=frozenset(FEATURES),
        ),
        Profile(
            name="full",
            text="everything that there is a check for",
            features=frozenset(FEATURES),
            requires=frozenset(FEATURES),
        ),
    )
}
DEFAULT_PROFILE = "full"
"""Profile of a run that names none."""


def check_features(names: Iterable[str], where: str) -> None:
    """Validate names of features. Raises `UnknownName` for the first unknown one."""
    for name in names:
        check_name("feature", name, where, FEATURES, "lbproof list --features")
